"""`import`: messages from a file into a store."""

import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, Final

from msgspec import Struct, field

from session_store.model.ids import check_key
from session_store.sync import SessionStore

from .exporting import PIPE
from .failures import FOUND_ERRORS, CommandError, usage
from .frame import Frame
from .lookup import known_session
from .options import KeyOption, SkipBadOption, SourceArgument
from .output import counted, visible
from .screen import Bar
from .transcript import Line, Transcript, recorded_key

BATCH_MESSAGES: Final = 500
BATCH_BYTES: Final = 1 << 20
TOLD_LINES: Final = 20


class Bad(Struct, frozen=True):
    """A line that cannot be imported as it is."""

    line: int
    reason: str


class Survey(Struct):
    """What a file holds, found out before anything is written."""

    bad: list[Bad] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


class Source:
    """A file to import, and what its messages will meet in the session."""

    def __init__(self, file: BinaryIO, used: set[str], visible_ids: set[str]) -> None:
        self.size = file.seek(0, os.SEEK_END)
        self.used = used
        self._file = file
        self._visible = visible_ids

    def transcript(self) -> Transcript:
        """Return the file, to be read from its beginning."""
        self._file.seek(0)
        return Transcript(self._file, used=self.used, visible=self._visible)


def import_(
    frame: Frame, file: SourceArgument, key: KeyOption = None, skip_bad: SkipBadOption = False
) -> None:
    """Add the messages of a file of JSON lines.

    They keep their ids, parents and times; doing it again adds only what is missing. If a
    line is bad nothing is written, unless with --skip-bad; then a message whose parent is
    missing becomes a root.
    """
    with _opened(file) as opened:
        name = check_key(key or _key_of(opened, file))
        source = Source(opened, *_known_ids(frame, name))
        with frame.screen.progress("checking", source.size) as bar:
            survey = _survey(source, bar)
        _tell(frame, survey, skip_bad)
        with frame.writing() as store, frame.screen.progress("importing", source.size) as bar:
            session_id = known_session(store, name) or store.resolve(name)
            added, there = _add(store, session_id, source, bar)
    if frame.json:
        frame.document(
            {
                "key": name,
                "sessionId": session_id,
                "added": added,
                "alreadyThere": there,
                "bad": survey.bad,
                "leftOut": survey.left_out,
            }
        )
        return
    said = f"imported {counted(added, 'message')} into {visible(name)}"
    frame.screen.line(f"{said}, {there:,} were there already" if there else said)


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    """Open a file that can be read twice; what comes from a pipe is put aside first."""
    if file != PIPE and file.is_file():
        with file.open("rb") as plain:
            yield plain
        return
    with TemporaryFile() as aside:
        if file == PIPE:
            shutil.copyfileobj(sys.stdin.buffer, aside)
        else:
            with file.open("rb") as stream:
                shutil.copyfileobj(stream, aside)
        yield aside


def _key_of(opened: BinaryIO, file: Path) -> str:
    opened.seek(0)
    recorded = recorded_key(opened)
    if recorded is None and file == PIPE:
        raise usage("say which session the messages belong to: --key KEY")
    return recorded or file.stem


def _known_ids(frame: Frame, name: str) -> tuple[set[str], set[str]]:
    """Return every id that the session has, and those that no reset hides."""
    with frame.opened() as raw:
        if not frame.is_store(raw):
            return set(), set()
    with frame.reading() as store:
        session_id = known_session(store, name)
        if session_id is None:
            return set(), set()
        return (
            {message.id for message in store.stream_messages(session_id, include_reset=True)},
            {message.id for message in store.stream_messages(session_id)},
        )


def _survey(source: Source, bar: Bar) -> Survey:
    transcript = source.transcript()
    bad: list[Bad] = []
    done = 0
    for line in transcript.read():
        if line.reason is not None:
            bad.append(Bad(line.number, line.reason))
        bar.advance(line.end - done)
        done = line.end
    return Survey(bad, transcript.left_out)


def _tell(frame: Frame, survey: Survey, skip_bad: bool) -> None:
    """Tell what cannot be kept; raise if it is bad and not to be skipped."""
    bad = survey.bad
    if not frame.json:
        for one in bad[:TOLD_LINES]:
            frame.screen.note(f"line {one.line}: {visible(one.reason)}")
        if len(bad) > TOLD_LINES:
            frame.screen.note(f"and {counted(len(bad) - TOLD_LINES, 'more line')}")
        for name, count in survey.left_out.items():
            what = f"{visible(name)!r} of {counted(count, 'message')}"
            frame.screen.note(f"left out {what}: there is no such field")
    if bad and not skip_bad:
        raise CommandError(
            "bad_lines",
            f"{counted(len(bad), 'bad line')}, nothing was imported; mend the file, "
            "or import the rest with --skip-bad",
            FOUND_ERRORS,
            lines=bad,
        )


def _add(store: SessionStore, session_id: str, source: Source, bar: Bar) -> tuple[int, int]:
    """Append what is missing, and return how many were added and how many were there."""
    added = there = done = 0
    for batch in _batches(source.transcript().read()):
        lines = (line for line in batch if line.message is not None)
        for known, run in groupby(lines, key=lambda line: _id(line) in source.used):
            # Those that are there are given again as well: the store tells whether they
            # are the same, and makes sure that they are durable.
            messages = [line.message for line in run if line.message is not None]
            store.append_many(session_id, messages)
            added += 0 if known else len(messages)
            there += len(messages) if known else 0
        bar.advance(batch[-1].end - done)
        done = batch[-1].end
    return added, there


def _id(line: Line) -> str:
    return line.message.id if line.message is not None else ""


def _batches(lines: Iterator[Line]) -> Iterator[list[Line]]:
    batch: list[Line] = []
    start = 0
    for line in lines:
        batch.append(line)
        if len(batch) == BATCH_MESSAGES or line.end - start >= BATCH_BYTES:
            yield batch
            batch, start = [], line.end
    if batch:
        yield batch
