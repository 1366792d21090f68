"""The rows of the benchmark: what there is, and what each needs."""

from typing import NamedTuple


class Row(NamedTuple):
    """A program in `rows/`, and the environment that it runs in."""

    name: str
    """The file in `rows/`, without its ending."""
    label: str
    environment: str | None = None
    """The file in `requirements/`; None is the environment that the harness runs in."""
    promise: str = ""
    """What an acknowledged message survives: `power` or `process`; said for peers."""
    language: str = "Python"


OURS = Row("ours", "session-store")
OURS_BLOCKING = Row("ours_blocking", "session-store, blocking")
LIMITS = Row("limits", "limit")
SQLITE = Row("sqlite", "SQLite (apsw)", "sqlite")

PEERS = (
    Row("openai_sqlite", "openai-agents SQLiteSession", "openai-agents", "power"),
    Row("openai_advanced", "openai-agents AdvancedSQLiteSession", "openai-agents", "power"),
    Row("langgraph", "langgraph SqliteSaver", "langgraph", "power"),
    Row("google_adk", "google-adk SqliteSessionService", "google-adk", "power"),
    Row("agno", "agno SqliteDb", "agno", "power"),
    Row("llama_index", "llama-index SQLAlchemyChatStore", "llama-index", "power"),
    Row("strands", "strands FileSessionManager", "strands", "process"),
    Row("agent_framework", "agent-framework FileHistoryProvider", "agent-framework", "process"),
    Row("langchain", "langchain FileChatMessageHistory", "langchain", "process"),
    Row("tinydb", "TinyDB", "tinydb", "process"),
    Row("pi", "pi SessionManager (TypeScript)", "pi", "process", "TypeScript"),
)
EVERY = (OURS, OURS_BLOCKING, LIMITS, SQLITE, *PEERS)
