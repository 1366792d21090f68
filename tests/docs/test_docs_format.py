"""`docs/format.md` is true: the real writer writes its bytes, the real reader reads them so."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import pytest
from docs_kit import (
    PAGE,
    Example,
    Story,
    examples,
    files_of,
    session_of,
    spelled_out,
)

from session_store.files import FileSystem, InMemoryFileSystem, RealFileSystem
from session_store.index.records import _REQUIRED, JournalRecord
from session_store.jsonl.lines import close_line
from session_store.locks.decision import LockFile
from session_store.model.records import LogMark, Message, SessionMetadata
from session_store.store.records import BranchRecord
from session_store.sync import SessionStore

Files = Callable[[Path], FileSystem]

_FILE = re.compile(
    r"file: (?P<path>\S+?)(?:, lines? (?P<first>\d+)(?:-(?P<last>\d+))?)?(?P<later>, after.*)?"
)

engines = pytest.mark.parametrize(
    "open_files", [lambda _: InMemoryFileSystem(), RealFileSystem], ids=["memory", "folder"]
)


def shown_part(example: Example, files: dict[str, bytes]) -> tuple[str, range, bytes]:
    """Return the path, the lines and the bytes that an example is about."""
    mark = _FILE.fullmatch(example.mark)
    assert mark is not None, example.mark
    session = next(path.partition("/")[0] for path in files if path.endswith("/messages.jsonl"))
    path = mark["path"].replace("SESSION", session)
    lines = files[path].splitlines(keepends=True)
    first = int(mark["first"] or 1)
    last = int(mark["last"] or mark["first"] or len(lines))
    numbers = range(first, last + 1)
    return path, numbers, b"".join(lines[number - 1] for number in numbers)


@engines
def test_the_writer_writes_what_the_page_shows(open_files: Files, tmp_path: Path) -> None:
    story = Story(open_files(tmp_path))

    story.first()

    written = files_of(story.files)
    shown = [example for example in examples("file: ") if "after" not in example.mark]
    assert len(shown) == 10
    for example in shown:
        assert spelled_out(example.text) == shown_part(example, written)[2], example.mark


@engines
def test_the_writer_answers_the_original_as_the_page_shows(
    open_files: Files, tmp_path: Path
) -> None:
    story = Story(open_files(tmp_path))
    story.first()

    story.later()

    written = files_of(story.files)
    shown = [example for example in examples("file: ") if "after" in example.mark]
    assert len(shown) == 2
    for example in shown:
        assert spelled_out(example.text) == shown_part(example, written)[2], example.mark
    assert json.loads(written["sessions.json.prev"])["keys"].keys() == {"telegram:123"}
    assert written["sessions.1.jsonl"].count(b"\n") == 13


def test_the_page_shows_every_line_of_the_dialogue() -> None:
    story = Story(InMemoryFileSystem())
    story.first()
    written = files_of(story.files)

    shown: dict[str, list[int]] = {}
    for example in examples("file: "):
        if "after" not in example.mark:
            path, numbers, _ = shown_part(example, written)
            shown.setdefault(path, []).extend(numbers)

    for path, data in written.items():
        assert path in shown
        if "/" in path:
            assert sorted(shown[path]) == list(range(1, data.count(b"\n") + 1)), path


@pytest.mark.parametrize("example", examples("read: "), ids=lambda example: example.mark)
def test_the_reader_reads_what_the_page_says(example: Example) -> None:
    (answer,) = examples(example.mark.replace("read: ", "finds: "))
    expected = json.loads(answer.text)

    with SessionStore(session_of(spelled_out(example.text))) as store:
        messages = [message.id for message in store.get_messages("s1")]
        findings = [
            [finding.code, finding.offset, finding.length]
            for finding in store.check().findings
            if finding.path == "s1/messages.jsonl"
        ]

    assert {"messages": messages, "findings": findings} == expected


def test_every_reading_has_its_answer() -> None:
    readings = [example.mark.removeprefix("read: ") for example in examples("read: ")]

    assert readings == [example.mark.removeprefix("finds: ") for example in examples("finds: ")]
    assert len(readings) == PAGE.read_text("utf-8").count("<!-- read: ") == 6


def test_every_line_of_ours_on_the_page_has_a_right_checksum() -> None:
    closed = re.findall(r'^(\{.*),"crc":"([0-9a-f]{8})"\}$', PAGE.read_text("utf-8"), flags=re.M)

    wrong = [body for body, crc in closed if f"{crc32(body.encode()):08x}" != crc]

    # One of them is there to be wrong.
    assert len(closed) > 15
    assert [body for body in wrong if '"content":"One"' not in body] == []
    assert len(wrong) == 1
    body, crc = closed[-1]
    assert close_line(f"{body}}}".encode()) == f'{body},"crc":"{crc}"}}\n'.encode()


def test_the_page_names_every_field_and_every_kind_of_record() -> None:
    story = Story(InMemoryFileSystem())
    story.first()
    lines = [line for data in files_of(story.files).values() for line in data.splitlines()]
    kinds = {kind.decode() for line in lines for kind in re.findall(rb'"kind":"(\w+)"', line)}
    structs = (Message, SessionMetadata, LogMark, BranchRecord, LockFile, JournalRecord)
    fields = {name for struct in structs for name in struct.__struct_encode_fields__}

    named = set(re.findall(r"`(\w+)`", PAGE.read_text("utf-8")))

    assert kinds == {"head", "fence", "seal", "branch_deleted", "reset"}
    assert (kinds | fields | _REQUIRED.keys()) - named == set()
