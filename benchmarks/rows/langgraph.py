"""LangGraph: `SqliteSaver`, a checkpoint a message, as a graph with a list of messages has."""

import sqlite3
from pathlib import Path

from langgraph.checkpoint.sqlite import SqliteSaver

from benchmarks.kit.chat import serve_chat
from benchmarks.kit.checkpoints import Checkpoints


class Row(Checkpoints):
    """WAL, synchronous FULL."""

    def __init__(self, folder: Path) -> None:
        connection = sqlite3.connect(folder / "checkpoints.sqlite", check_same_thread=False)
        super().__init__(connection, SqliteSaver(connection))


if __name__ == "__main__":
    serve_chat(Row)
