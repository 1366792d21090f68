"""What `check` tells of messages that contradict each other, and of locks that were left."""

import time
from pathlib import Path

import pytest

from session_store import CheckReport, Message
from session_store.jsonl.lines import close_line
from session_store.model.messages import encode_message
from session_store.store import census
from session_store.sync import Session, SessionStore


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "sessions"


@pytest.fixture
def chat(root: Path) -> Session:
    with SessionStore.open(root, durability="os") as store:
        return store.session("k")


def write(root: Path, chat: Session, *messages: Message) -> None:
    """Append lines as a foreign writer may have."""
    (root / chat.id).mkdir(exist_ok=True)
    with (root / chat.id / "messages.jsonl").open("ab") as log:
        log.writelines(close_line(encode_message(message)) for message in messages)


def said(message_id: str, parent_id: str | None) -> Message:
    return Message(id=message_id, parent_id=parent_id, type="user", role="user", timestamp=1)


def check(root: Path) -> CheckReport:
    with SessionStore.open(root, durability="os") as store:
        return store.check()


def of(report: CheckReport, code: str) -> list[int | None]:
    return [finding.offset for finding in report.findings if finding.code == code]


@pytest.mark.parametrize("recent", [1, 2, 1 << 14], ids=["1", "2", "all"])
def test_messages_that_contradict_each_other_are_named_where_they_stand(
    root: Path, chat: Session, monkeypatch: pytest.MonkeyPatch, recent: int
) -> None:
    monkeypatch.setattr(census, "_RECENT", recent)
    switch = Message(id="c", type="custom", timestamp=1, control={"kind": "switch", "leaf": "a"})
    messages = [
        said("a", None),
        said("before", "later"),
        said("b", "a"),
        switch,
        said("later", "b"),
        said("lost", "nobody"),
        said("a", "b"),
    ]
    write(root, chat, *messages)
    starts = [0]
    for message in messages:
        starts.append(starts[-1] + len(close_line(encode_message(message))))

    report = check(root)

    assert of(report, "parent_behind") == [starts[1]]
    assert of(report, "missing_parent") == [starts[5]]
    assert of(report, "duplicate_id") == [starts[6]]
    assert report.messages == 6


def test_a_lock_that_was_left_is_told_once_it_has_expired(root: Path) -> None:
    store = SessionStore.open(root, durability="os", lock_timeout_ms=50)
    chat = store.session("k")
    chat.append("user", "hello")
    store.acquire_lock(chat.id, "gone")
    expires = time.time() + 0.06

    while time.time() < expires:
        time.sleep(0.01)
    report = check(root)

    [left] = [finding for finding in report.findings if finding.code == "expired_lock"]
    assert (left.severity, left.session_id) == ("info", chat.id)
    assert "'gone'" in left.detail
    assert report.ok
    store.close()
    assert check(root).findings == []
