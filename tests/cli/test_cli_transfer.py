import io
import json
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from session_store.cli import importing
from session_store.cli.app import run
from session_store.cli.transcript import MAX_LINE_BYTES, Transcript
from session_store.sync import SessionStore

Cli = Callable[..., Any]

FOREIGN = (
    b'{"id":"f1","timestamp":1.5,"type":"user","role":"user","content":"caf\xc3\xa9 \\ud83d",'
    b'"parentId":null,"theirs":{"a":1}}\n'
)


def write(path: Path, *lines: dict[str, Any] | bytes) -> str:
    raw = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    path.write_bytes(b"".join(line.rstrip(b"\n") + b"\n" for line in raw))
    return str(path)


def message(id: str, parent: str | None, content: str = "text") -> dict[str, Any]:
    return {
        "id": id,
        "parentId": parent,
        "type": "user",
        "role": "user",
        "timestamp": 1_700_000_000_000,
        "content": content,
    }


def ids(store: SessionStore, key: str) -> list[tuple[str, str | None]]:
    session_id = store.get_session_id(key)
    assert session_id is not None
    return [(one.id, one.parent_id) for one in store.get_messages(session_id)]


def test_an_export_holds_the_lines_as_they_stand_in_the_log(
    cli: Cli, chat: SessionStore, folder: Path
) -> None:
    session_id = chat.resolve("chat")
    chat.switch_to_branch(session_id, "small")
    chat.close()
    log = folder / session_id / "messages.jsonl"
    with log.open("ab") as file:
        file.write(FOREIGN)
    before = log.read_bytes().splitlines()

    ended = cli("export", "chat")

    assert ended.out.encode().splitlines() == [line for line in before if b'"kind"' not in line]
    assert '"theirs":{"a":1}' in ended.out


def test_an_export_leaves_out_what_a_reset_hides(cli: Cli, chat: SessionStore) -> None:
    session_id = chat.resolve("chat")
    chat.reset_session(session_id)
    chat.append(session_id, {"role": "user", "content": "x", "id": "anew"})

    assert [line["id"] for line in cli("export", "chat").lines] == ["anew"]


def test_an_export_says_that_it_left_damage_out(cli: Cli, chat: SessionStore, folder: Path) -> None:
    log = folder / chat.resolve("chat") / "messages.jsonl"
    log.write_bytes(log.read_bytes().replace(b"PostgreSQL", b"PostgresQL"))

    ended = cli("export", "chat")

    assert [line["id"] for line in ended.lines] == ["question", "sqlite"]
    assert "1 place" in ended.err


def test_an_exported_file_is_private_and_whole(
    cli: Cli, chat: SessionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.jsonl"
    target.write_text("before")

    assert cli("export", "chat", "out.jsonl").out == "exported 3 messages to out.jsonl\n"

    assert len(target.read_bytes().splitlines()) == 3
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_an_export_that_fails_leaves_the_file_as_it_was(
    cli: Cli, chat: SessionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.jsonl"
    target.write_text("before")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("session_store.cli.exporting.Path.replace", fail)

    assert cli("export", "chat", "out.jsonl").code == 5
    assert target.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "sessions"]


def test_an_export_into_a_pipe_does_not_replace_it(
    cli: Cli, chat: SessionStore, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    ended = cli("export", "chat", str(pipe))

    assert ended.code == 0
    assert len(os.read(reader, 1 << 16).splitlines()) == 3
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    os.close(reader)


def test_an_export_is_whole_where_the_output_takes_only_parts(
    cli: Cli, chat: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unbuffered(io.BytesIO):
        def write(self, data: Any) -> int:
            return super().write(data[:7])

    output = io.TextIOWrapper(Unbuffered())
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", output)
        assert run(["export", "chat"]) == 0

    lines = output.detach().getvalue().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["question", "postgres", "sqlite"]


def test_an_import_keeps_ids_parents_and_times(
    cli: Cli, store: SessionStore, tmp_path: Path
) -> None:
    file = write(tmp_path / "talk.jsonl", message("a", None), message("b", "a"), message("c", "a"))

    ended = cli("import", file)

    assert ended.out == "imported 3 messages into talk\n"
    assert ids(store, "talk") == [("a", None), ("b", "a"), ("c", "a")]
    stored = store.get_message(store.resolve("talk"), "a")
    assert stored is not None
    assert stored.timestamp == 1_700_000_000_000


def test_what_was_exported_comes_back_the_same(cli: Cli, chat: SessionStore) -> None:
    exported = cli("export", "chat").out

    cli("import", "-", "--key", "copy", stdin=exported.encode())

    assert ids(chat, "copy") == ids(chat, "chat")
    first, second = (chat.get_messages(chat.resolve(key)) for key in ("chat", "copy"))
    assert [one.content for one in first] == [one.content for one in second]


def test_an_import_finds_its_session_by_the_key_in_the_file(
    cli: Cli, chat: SessionStore, tmp_path: Path
) -> None:
    exported = cli("export", "chat").out.encode()
    (tmp_path / "anything.jsonl").write_bytes(exported)

    again = cli("import", "anything.jsonl", "--json")
    nameless = cli("import", "-", stdin=b'{"role":"user","content":"hi"}\n')

    assert (again.json["key"], again.json["added"], again.json["alreadyThere"]) == ("chat", 0, 3)
    assert nameless.code == 2


def test_an_interrupted_import_is_completed_by_another(
    cli: Cli, store: SessionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [message(f"m{n}", f"m{n - 1}" if n else None) for n in range(100)]
    file = write(tmp_path / "talk.jsonl", *lines)
    append_many, left = SessionStore.append_many, [3]

    def killed(self: SessionStore, *arguments: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return append_many(self, *arguments)

    monkeypatch.setattr(importing, "BATCH_MESSAGES", 7)
    with monkeypatch.context() as patch:
        patch.setattr(SessionStore, "append_many", killed)
        assert cli("import", file).code == 130
    before = len(ids(store, "talk"))
    monkeypatch.setattr(importing, "BATCH_MESSAGES", 11)

    ended = cli("import", file, "--json")

    assert 0 < before < 100
    assert (ended.json["added"], ended.json["alreadyThere"]) == (100 - before, before)
    assert [id for id, _ in ids(store, "talk")] == [f"m{n}" for n in range(100)]


def test_an_import_into_a_session_where_an_id_says_something_else_is_a_conflict(
    cli: Cli, store: SessionStore, tmp_path: Path
) -> None:
    cli("import", write(tmp_path / "talk.jsonl", message("a", None)))

    ended = cli("import", write(tmp_path / "talk.jsonl", message("a", None, "otherwise")))

    assert ended.code == 4
    assert ids(store, "talk") == [("a", None)]


BAD = [
    b"not json",
    b"[1]",
    b'{"id":"x"}',
    b'{"id":"x","parentId":null,"type":"user","content":7}',
    b'{"id":"x","parentId":null,"type":"user","timestamp":"now"}',
    b'{"id":"x","parentId":"nobody","type":"user"}',
    b'{"id":"a","parentId":null,"type":"user","content":"another a"}',
    b'{"id":"x","parentId":null,"type":"user","crc":"00000000"}',
    b'{"id":"x","parentId":null,"type":"user","metadata":{"n":9223372036854775808}}',
    b"\0\0\0",
]


@pytest.mark.parametrize("bad", BAD)
def test_one_bad_line_and_nothing_is_written(
    cli: Cli, folder: Path, tmp_path: Path, bad: bytes
) -> None:
    file = write(tmp_path / "talk.jsonl", message("a", None), b"", bad, message("b", "a"))

    told = cli("import", file)
    parsed = cli("import", file, "--json")

    assert told.code == parsed.code == 1
    assert told.err.startswith("line 3: ")
    assert "--skip-bad" in told.err
    assert [line["line"] for line in json.loads(parsed.err)["lines"]] == [3]
    assert not folder.exists()


@pytest.mark.parametrize("bad", [line for line in BAD if b"nobody" not in line])
def test_bad_lines_are_left_out_when_asked_for(
    cli: Cli, store: SessionStore, tmp_path: Path, bad: bytes
) -> None:
    file = write(tmp_path / "talk.jsonl", message("a", None), bad, message("b", "a"))

    for added in (2, 0):
        ended = cli("import", file, "--skip-bad", "--json")

        assert (ended.code, ended.json["added"]) == (0, added)
    assert ids(store, "talk") == [("a", None), ("b", "a")]


def test_a_message_whose_parent_is_missing_becomes_a_root_when_asked_for(
    cli: Cli, store: SessionStore, tmp_path: Path
) -> None:
    file = write(tmp_path / "talk.jsonl", message("a", "gone"), message("b", "a"))

    codes = [cli("import", file, "--skip-bad").code for _ in range(2)]

    assert codes == [0, 0]
    assert ids(store, "talk") == [("a", None), ("b", "a")]


def test_many_bad_lines_are_not_all_told(cli: Cli, folder: Path, tmp_path: Path) -> None:
    ended = cli("import", write(tmp_path / "talk.jsonl", *[b"bad"] * 500))

    assert "and 480 more lines" in ended.err
    assert len(ended.err.splitlines()) == 22


def test_control_records_and_repeated_lines_are_passed_over(
    cli: Cli, store: SessionStore, tmp_path: Path
) -> None:
    control = {"id": "c", "parentId": None, "type": "custom", "control": {"kind": "reset"}}
    file = write(tmp_path / "talk.jsonl", message("a", None), control, message("a", None))

    ended = cli("import", file)

    assert ended.code == 0
    assert ids(store, "talk") == [("a", None)]


def test_fields_that_cannot_be_kept_are_told(cli: Cli, store: SessionStore, tmp_path: Path) -> None:
    calls = [{"id": "1", "name": "f", "arguments": {}, "kind": "function"}]
    line = {**message("a", None), "theirs": 1, "toolCalls": calls}

    ended = cli("import", write(tmp_path / "talk.jsonl", line))

    assert "'theirs' of 1 message" in ended.err
    assert "'toolCalls.kind' of 1 message" in ended.err
    assert ids(store, "talk") == [("a", None)]


def test_what_others_wrote_is_read_leniently(cli: Cli, store: SessionStore, tmp_path: Path) -> None:
    lines = b"\xef\xbb\xbf" + FOREIGN.replace(b"\n", b"\r\n") + b'{"role":"user","content":"end"}'
    (tmp_path / "talk.jsonl").write_bytes(lines)

    ended = cli("import", "talk.jsonl")

    assert ended.code == 0
    first, last = store.get_messages(store.resolve("talk"))
    assert (first.timestamp, first.content) == (1.5, "café \ufffd")
    assert (last.parent_id, last.content) == ("f1", "end")


def test_lines_without_ids_can_be_imported_twice(
    cli: Cli, store: SessionStore, tmp_path: Path
) -> None:
    plain = [{"role": role, "content": "same"} for role in ("user", "assistant", "user")]
    file = write(tmp_path / "talk.jsonl", *plain)

    added = [cli("import", file, "--json").json["added"] for _ in range(2)]

    assert added == [3, 0]
    chain = ids(store, "talk")
    assert [parent for _, parent in chain] == [None, chain[0][0], chain[1][0]]


def test_a_message_hidden_by_a_reset_is_not_imported_again(
    cli: Cli, store: SessionStore, tmp_path: Path
) -> None:
    file = write(tmp_path / "talk.jsonl", message("a", None), message("b", "a"))
    cli("import", file)
    store.reset_session(store.resolve("talk"))

    ended = cli("import", file, "--json")

    assert (ended.code, ended.json["added"]) == (0, 0)


def test_a_child_of_what_a_reset_hides_is_a_bad_line(
    cli: Cli, store: SessionStore, tmp_path: Path
) -> None:
    cli("import", write(tmp_path / "talk.jsonl", message("a", None)))
    store.reset_session(store.resolve("talk"))

    ended = cli("import", write(tmp_path / "talk.jsonl", message("a", None), message("b", "a")))

    assert ended.code == 1


def test_a_line_without_end_does_not_fill_the_memory() -> None:
    file = io.BytesIO(b"x" * (2 * MAX_LINE_BYTES + 10) + b'\n{"role":"user"}\n')

    long, fine = Transcript(file, used=set(), visible=set()).read()

    assert long.reason is not None
    assert (fine.number, fine.end, fine.reason) == (2, len(file.getvalue()), None)


def test_a_file_that_is_not_there_is_told_in_one_line(cli: Cli, folder: Path) -> None:
    ended = cli("import", "nowhere.jsonl")

    assert ended.code == 3
    assert len(ended.err.splitlines()) == 1
    assert not folder.exists()
