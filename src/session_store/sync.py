"""The blocking face: the same store and the same names, for threads instead of tasks.

    from session_store.sync import SessionStore

    with SessionStore.open("./sessions") as store:
        chat = store.session("telegram:123")
        chat.append("user", "Hello")

Every call drives the engine's coroutine in one step over a blocking file system. One store may
be shared by all threads of a process; a thread of its own runs only while a lock is held that
has to be renewed, and in the mode `interval`.
"""

from session_store.store.blocking import SessionStore
from session_store.store.blocking_session import Session

__all__ = ["Session", "SessionStore"]
