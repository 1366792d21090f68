"""LangGraph: `PostgresSaver`, a checkpoint a message, as a graph with a list of messages has."""

from pathlib import Path
from typing import Any

import psycopg
from langgraph.checkpoint.postgres import PostgresSaver
from psycopg.rows import dict_row

from benchmarks.kit.chat import serve_chat
from benchmarks.kit.checkpoints import Checkpoints


class Row(Checkpoints):
    """The same as on SQLite, over one connection."""

    def __init__(self, folder: Path, url: str) -> None:
        connection: Any = psycopg.connect(
            url, autocommit=True, prepare_threshold=0, row_factory=dict_row
        )
        super().__init__(connection, PostgresSaver(connection))
        self._prefix = folder.parent.name

    def thread(self, session: str) -> str:
        """Return the name of a thread: all runs share the tables."""
        return f"{self._prefix}-{session}"


if __name__ == "__main__":
    serve_chat(Row)
