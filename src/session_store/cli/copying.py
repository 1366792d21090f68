"""`copy`: a whole store into another, of whatever engine."""

import asyncio
from collections.abc import Sequence
from typing import Final

from session_store.copying import Difference, copy_store, size_of, verify_copy

from .failures import FOUND_ERRORS
from .frame import Frame
from .options import FromArgument, ResumeOption, ToArgument, VerifyOption
from .output import counted, size, visible

SHOWN: Final = 20


def copy(
    frame: Frame,
    source: FromArgument,
    target: ToArgument,
    verify: VerifyOption = False,
    resume: ResumeOption = False,
) -> int:
    """Copy a store into another: a folder, a database, a server, a bucket.

    Logs are copied byte for byte, with all branches; keys and metadata come along, locks do
    not. Both stay usable meanwhile: what is written during the copy a second run with --resume
    brings.
    """
    with frame.at(source).files():
        pass  # there is a store
    total = asyncio.run(size_of(source))
    with frame.screen.progress("copying", total) as bar:
        done = asyncio.run(copy_store(source, target, resume=resume, progress=bar.advance))
    differences: list[Difference] = []
    if verify:
        with frame.screen.progress("comparing", total) as bar:
            differences = asyncio.run(verify_copy(source, target, progress=bar.advance))
    if frame.json:
        frame.document(
            {
                "sessions": done.sessions,
                "bytes": done.bytes,
                "leftOut": done.left_out,
                "replaced": done.replaced,
                "verified": verify,
                "differences": differences,
            }
        )
    else:
        frame.screen.line(
            f"copied {counted(done.sessions, 'session')}, {size(done.bytes)} added"
            f"{', and every byte compared' if verify else ''}"
        )
        _list(frame, done.left_out, "left out {}: {}")
        _list(frame, done.replaced, "of {} the target had other metadata, replaced: {}")
        _list(frame, differences, "{}: {}")
    return FOUND_ERRORS if differences or done.left_out else 0


def _list(frame: Frame, found: Sequence[Difference], how: str) -> None:
    for one in found[:SHOWN]:
        frame.screen.note(how.format(visible(one.path), visible(one.what)))
    if len(found) > SHOWN:
        frame.screen.note(f"and {len(found) - SHOWN} more of these")
