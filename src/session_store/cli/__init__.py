"""The command `session-store`: a store seen and changed from a terminal (extra `cli`)."""

import sys

from session_store.errors import MissingExtraError


def main() -> None:
    """Run the command and exit with its code; without the extra, say what to install."""
    try:
        # Only here: a library that is imported must not need the extra.
        from .app import run
    except MissingExtraError as error:
        print(f"session-store: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(run(sys.argv[1:]))


__all__ = ["main"]
