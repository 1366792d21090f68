"""The index in memory: what a snapshot and the journals after it say, and nothing else.

Pure. What a line does depends on keys and sessions alone, which every way to get here has
in common; so everybody who reads the same lines holds the same index.
"""

import msgspec

from .fields import Stored, merge, merge_noted, time_of
from .order import Order
from .records import JournalRecord


class IndexState:
    """Keys, sessions, and the ids whose delete is on record."""

    __slots__ = ("_keys_of", "_orders", "deleted", "extras", "halves", "keys", "sessions")

    def __init__(
        self,
        keys: dict[str, str] | None = None,
        sessions: dict[str, Stored] | None = None,
        extras: dict[str, msgspec.Raw] | None = None,
        halves: dict[str, dict[str, str]] | None = None,
    ) -> None:
        self.keys = {} if keys is None else keys
        self.sessions = {} if sessions is None else sessions
        self.extras = {} if extras is None else extras
        self.halves = {} if halves is None else halves
        self.deleted: set[str] = set()
        self._keys_of: dict[str, list[str]] | None = None
        self._orders: dict[str, Order] = {}

    def resolve(self, key: str) -> str | None:
        """Return the session that `key` names; a key of a session that is not there names none."""
        session_id = self.keys.get(key)
        return session_id if session_id in self.sessions else None

    def keys_of(self, session_id: str) -> list[str]:
        """Return the keys of a session."""
        return list(self._by_session().get(session_id, ()))

    def keys_as_read(self) -> dict[str, str]:
        """Return the keys for the original, those with half a character as it wrote them.

        `halves` has these under the name they show as, which several may share; the last of
        them is the one that is found. Once that name says something else they are gone.
        """
        written: dict[str, str] = {}
        for key, session_id in self.keys.items():
            alike = self.halves.get(key, {})
            if session_id in list(alike.values())[-1:]:
                written |= {name: id_ for name, id_ in alike.items() if id_ not in self.deleted}
            else:
                written[key] = session_id
        return written

    def order(self, sort: str) -> Order:
        """Return all sessions by time; made at the first call, kept up to date from then on."""
        order = self._orders.get(sort)
        if order is None:
            order = Order((time_of(stored, sort), id_) for id_, stored in self.sessions.items())
            self._orders[sort] = order
        return order

    def apply(self, record: JournalRecord) -> None:
        """Do what a line of the journal says; it creates nothing but by `register`."""
        session_id, key = record.session_id, record.key
        match record.op:
            case "register" if session_id is not None:
                self.deleted.discard(session_id)
                if session_id not in self.sessions:
                    # A copy: the bytes read at once are many, and would all stay.
                    self._put(session_id, record.metadata.copy())
                if key is not None:
                    self._point(key, session_id)
            case "update" if session_id in self.sessions and record.changes is not None:
                noted = record.lazy and not record.recount
                change = merge_noted if noted else merge
                self._put(session_id, change(self.sessions[session_id], record.changes))
            case "delete" if session_id is not None:
                self._remove(session_id)
                self.deleted.add(session_id)
            case "add_key" if session_id in self.sessions and key is not None:
                self._point(key, session_id)
            case "remove_key" if key is not None:
                self._point(key, None)
            case _:
                pass

    def _put(self, session_id: str, stored: Stored) -> None:
        self.sessions[session_id] = stored
        for sort, order in self._orders.items():
            order.put(session_id, time_of(stored, sort))

    def _remove(self, session_id: str) -> None:
        if self.sessions.pop(session_id, None) is None:
            return
        for order in self._orders.values():
            order.drop(session_id)
        for key in self._by_session().pop(session_id, ()):
            del self.keys[key]

    def _point(self, key: str, session_id: str | None) -> None:
        before = self.keys.get(key)
        if before == session_id:
            return
        if self._keys_of is not None:
            if before is not None:
                self._keys_of[before].remove(key)
            if session_id is not None:
                self._keys_of.setdefault(session_id, []).append(key)
        if session_id is None:
            del self.keys[key]
        else:
            self.keys[key] = session_id

    def _by_session(self) -> dict[str, list[str]]:
        if self._keys_of is None:
            self._keys_of = {}
            for key, session_id in self.keys.items():
                self._keys_of.setdefault(session_id, []).append(key)
        return self._keys_of


__all__ = ["IndexState"]
