"""Logs of which only the end is read: what stands far back is found all the same."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from session_store import Message, MessageNotFoundError
from session_store.jsonl import file as jsonl_file
from session_store.jsonl.lines import close_line
from session_store.model.messages import encode_message
from session_store.runtime import run
from session_store.sync import Session, SessionStore

Open = Callable[..., SessionStore]

LONG = "x" * 3000
"""Thirty of these are more than is read of the end of a log."""


def fill(chat: Session, count: int = 30) -> list[Message]:
    return chat.append_many([{"role": "user", "content": f"{n} {LONG}"} for n in range(count)])


def numbers(messages: list[Message]) -> list[int]:
    return [int(str(message.content).split(" ")[0]) for message in messages]


def other(open_store: Open, chat: Session) -> Session:
    """The same session as another process opens it."""
    return open_store().session(chat.key)


@pytest.mark.parametrize("count", [30, 400])
def test_a_reset_far_back_hides_what_was_before_it(
    open_store: Open, chat: Session, count: int
) -> None:
    fill(chat, 3)
    chat.reset()
    behind = fill(chat, count)

    later = other(open_store, chat)

    assert list(later.store.stream_messages(later.id)) == behind
    assert len(list(open_store().stream_messages(chat.id, include_reset=True))) == 3 + count
    assert other(open_store, chat).messages() == behind


def test_a_message_that_only_looks_like_a_reset_hides_nothing(
    open_store: Open, chat: Session
) -> None:
    first = chat.append("user", "first", metadata={"kind": "reset"})
    behind = fill(chat, 400)

    later = open_store()

    assert list(later.stream_messages(chat.id)) == [first, *behind]


def test_the_last_messages_end_at_a_reset(open_store: Open, chat: Session) -> None:
    fill(chat)
    chat.reset()
    [first] = chat.append_many([{"role": "user", "content": "0 new"}])

    assert other(open_store, chat).history(limit=5) == [first]


def test_the_last_messages_are_those_of_the_way_to_the_leaf(
    open_store: Open, chat: Session
) -> None:
    trunk = fill(chat)
    for n in range(5):
        chat.append("user", f"{n} aside", parent=trunk[0])
    leaf = chat.append("user", "99 leaf", parent=trunk[-1])

    later = other(open_store, chat)

    assert numbers(later.history(limit=4)) == [27, 28, 29, 99]
    assert later.history(leaf, limit=100) == [*trunk, leaf]
    with pytest.raises(MessageNotFoundError, match="nobody"):
        other(open_store, chat).history("nobody", limit=4)


def test_a_short_way_through_a_wide_tree_is_read_from_its_places(
    open_store: Open, chat: Session
) -> None:
    root = chat.append("user", "0 root")
    ways = []
    for _ in range(3):
        chat.append("user", "1 begins", parent=root)
        ways.append(fill(chat, 20))

    later = other(open_store, chat)

    for way in ways:
        path = later.history(way[-1])
        assert numbers(path) == [0, 1, *range(20)]
        assert path[2:] == way


def test_an_answer_to_a_message_far_back_is_on_the_branch_that_ended_there(
    open_store: Open, chat: Session
) -> None:
    early = chat.append("user", "0 early")
    chat.create_branch("tried", early)
    chat.switch_to_branch("tried")
    tip = chat.append("user", "1 tried")
    fill(chat)
    chat.create_branch("main")
    chat.switch_to_branch("main")
    last = fill(chat)[-1]

    later = other(open_store, chat)
    aside = later.append("user", "2 aside", parent=early)
    on_main = later.append("user", "3 goes on", parent=last)

    assert aside.branch is None
    assert on_main.branch == "main"
    assert tip.branch == "tried"


def test_who_reads_every_message_for_the_first_time_reads_the_log_once(
    open_store: Open, chat: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl_file, "CHUNK_BYTES", 60_000)
    said = fill(chat, 100)
    later = open_store()
    later.init()
    files = later._engine._files
    size = run(files.stat(f"{chat.id}/messages.jsonl")).size
    pieces: list[int] = []
    read = files.read

    async def counted(path: str, *rest: Any) -> bytes:
        data = await read(path, *rest)
        if path.endswith("messages.jsonl"):
            pieces.append(len(data))
        return data

    monkeypatch.setattr(files, "read", counted)

    assert later.get_messages(chat.id) == said

    # The last line of a piece, and what there is of the next, is read again with the next piece.
    assert len(pieces) > 5
    assert size <= sum(pieces) < size + len(pieces) * 2 * (len(LONG) + 300)
    pieces.clear()
    assert later.get_messages(chat.id) == said
    assert sum(pieces) == 0


CONTROLS: list[dict[str, Any]] = [
    {"kind": "fence"},
    {"kind": "fence", "epoch": "high", "nonce": "n"},
    {"kind": "fence", "epoch": 3, "nonce": 7},
    {"kind": "branch_deleted"},
    {"kind": "branch_deleted", "name": 5, "created": 1},
    {"kind": "branch_deleted", "name": "tried"},
    {"kind": "of a later version"},
]


@pytest.mark.parametrize("whole", [False, True], ids=["from its end", "whole"])
def test_control_records_that_say_nothing_change_nothing(
    tmp_path: Path, open_store: Open, whole: bool
) -> None:
    root = tmp_path / "sessions"
    with SessionStore.open(root, durability="os") as store:
        chat = store.session("k")
        first = chat.append("user", "0 first")
        chat.create_branch("tried")
    with (root / chat.id / "messages.jsonl").open("ab") as log:
        for n, control in enumerate(CONTROLS):
            record = Message(id=f"control-{n}", type="custom", timestamp=1, control=control)
            log.write(close_line(encode_message(record)))

    with SessionStore.open(root, durability="os") as store:
        again = store.session("k")
        if whole:
            assert again.messages() == [first]
        branches = [branch.name for branch in again.branches()]
        after = again.append("user", "1 next")

        assert branches == ["tried"]
        assert after.parent_id == first.id
        assert again.messages() == [first, after]
        known = again.metadata()
        assert known is not None and known.message_count == 2
        with again.lock("me"):
            again.append("user", "2 locked")
        assert store.check().ok
