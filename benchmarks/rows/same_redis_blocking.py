"""The round trips of `same_redis`, asked for by a thread that has no event loop."""

from pathlib import Path

from benchmarks.kit.chat import serve_chat
from benchmarks.kit.elsewhere import Elsewhere
from benchmarks.rows.same_redis import Row


def elsewhere(folder: Path, url: str) -> Elsewhere:
    """Return the row, with its loop in another thread."""
    return Elsewhere(lambda: Row(folder, url))


if __name__ == "__main__":
    serve_chat(elsewhere)
