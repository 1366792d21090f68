"""`export`: messages out of a store."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Final, TypeAlias

from .failures import not_found
from .frame import Frame
from .lookup import find_session
from .options import SessionArgument, TargetArgument
from .output import counted, json_text, visible
from .rawlog import RawLog

PIPE: Final = Path("-")

Write: TypeAlias = Callable[[bytes], None]


def export(frame: Frame, session: SessionArgument, file: TargetArgument = None) -> None:
    """Write the messages of a session as JSON lines.

    They are written as they stand in its log: fields that this version does not know are
    kept. Branches, and what a reset hides, are not among them.
    """
    with frame.reading() as store, frame.files() as raw:
        session_id = find_session(store, session)
        log = RawLog(raw.files, session_id)
        count = 0
        with (
            frame.screen.progress("exporting", raw.driver.run(log.size())) as bar,
            _target(frame, file) as write,
        ):
            for line in raw.driver.iterate(log.lines(bar.advance)):
                write(line)
                count += 1
    if log.damage:
        places = counted(len(log.damage), "place")
        frame.screen.note(f"left out what is no message, at {places}: see `session-store check`")
    if file is None or file == PIPE:
        return
    if frame.json:
        frame.document({"file": str(file), "sessionId": session_id, "messages": count})
    else:
        frame.screen.line(f"exported {counted(count, 'message')} to {visible(str(file))}")


@contextmanager
def _target(frame: Frame, file: Path | None) -> Iterator[Write]:
    """Give what writes a line; a file is there afterwards whole, or as it was."""
    if file is None or file == PIPE:
        if frame.screen.terminal:
            yield lambda line: frame.screen.line(json_text(line))
        else:
            yield _into(sys.stdout.buffer)
            sys.stdout.buffer.flush()
    elif file.exists() and not file.is_file():
        with file.open("wb") as device:  # a pipe or a device is not to be replaced
            yield _into(device)
    else:
        yield from _draft(file.resolve())


def _draft(place: Path) -> Iterator[Write]:
    if not place.parent.is_dir():
        raise not_found("file", f"there is no folder {str(place.parent)!r}")
    with NamedTemporaryFile(dir=place.parent, prefix=f".{place.name}.", delete=False) as draft:
        try:
            yield _into(draft)
            draft.close()
            Path(draft.name).replace(place)
        except BaseException:
            Path(draft.name).unlink()
            raise


def _into(file: IO[bytes]) -> Write:
    def write(line: bytes) -> None:
        rest = line + b"\n"
        while rest:  # an unbuffered standard output (python -u) may take only a part
            rest = rest[file.write(rest) :]

    return write
