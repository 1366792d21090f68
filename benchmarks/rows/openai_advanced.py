"""openai-agents: `AdvancedSQLiteSession`, which knows branches."""

from typing import Any

from agents.extensions.memory import AdvancedSQLiteSession

from benchmarks.kit.chat import serve_chat

from . import openai_sqlite


class Row(openai_sqlite.Row):
    """As `SQLiteSession`, with the structure of turns beside the messages."""

    def make(self, session: str) -> Any:
        return AdvancedSQLiteSession(session_id=session, db_path=self._path, create_tables=True)


if __name__ == "__main__":
    serve_chat(Row)
