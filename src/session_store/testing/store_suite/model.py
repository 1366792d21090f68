"""Whatever is done in whatever order: a store answers as a few lists would.

Hypothesis makes up the calls, and shrinks them to the few that show a difference.
"""

from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from session_store.errors import (
    BranchNotFoundError,
    DuplicateMessageError,
    SessionNotFoundError,
    UnknownParentError,
)
from session_store.files.filesystem import FileSystem
from session_store.model.records import Message
from session_store.sync import SessionStore
from session_store.testing.engine_suite import Opens

from .base import Suite
from .ground import Face, Ground

EXAMPLES: Final = 30
STEPS: Final = 40
# Without the one that explains: it costs more than it tells.
PHASES: Final = (Phase.reuse, Phase.generate, Phase.shrink)

# Few, so that each is soon met again; and the first has something in it from the start.
KEYS: Final = st.sampled_from(["a", "a", "a", "b"])
BRANCHES: Final = st.sampled_from(["one", "two"])
PLACES: Final = st.integers(0, 7)
# What takes everything away is done one time in four, or there would never be much.
SURE: Final = st.sampled_from([False, False, False, True])


@dataclass
class Dialogue:
    """What a session has to be like."""

    messages: list[Message] = field(default_factory=list)
    hidden: int = 0
    head: str | None = None
    on: str | None = None
    """The branch that the head is on, as far as it was switched to."""
    tips: dict[str, str] = field(default_factory=dict)
    named: list[str] = field(default_factory=list)
    """Every name that a branch ever had, in the order of their first creation."""
    user: str | None = None

    @property
    def shown(self) -> list[Message]:
        """The messages that no reset hides."""
        return self.messages[self.hidden :]

    def way_to(self, leaf: str | None) -> list[Message]:
        """Return the messages from the root to `leaf`."""
        known = {message.id: message for message in self.shown}
        way: list[Message] = []
        while leaf is not None:
            way.append(known[leaf])
            leaf = known[leaf].parent_id
        return way[::-1]

    def said(self, message: Message, parent: str | None) -> None:
        """Take in what was appended behind `parent`."""
        assert message.parent_id == parent
        if parent == self.head and self.on is not None:
            assert message.branch == self.on, "who is on a branch stays on it"
        if message.branch is not None:
            assert self.tips[message.branch] == parent, "only behind its tip is one on a branch"
            self.tips[message.branch] = message.id
        self.messages.append(message)
        self.head, self.on = message.id, message.branch


class ModelTests(Suite):
    """Any calls in any order."""

    @pytest.mark.parametrize("stores", [1, 2])
    def test_model_and_store_answer_alike(
        self, files: FileSystem, reopen: Opens | None, face: Face, stores: int
    ) -> None:
        """After any calls through one store or two every store shows what was answered."""
        runner = self._runner

        class ThisStoreAgrees(Agreement):
            def __init__(self) -> None:
                super().__init__(Ground(files, reopen, runner), face, stores)

        run_state_machine_as_test(
            ThisStoreAgrees,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                phases=PHASES,
                suppress_health_check=[HealthCheck.too_slow],
            ),
        )


class Agreement(RuleBasedStateMachine):
    """The stores take turns; what each is answered, the next one has to show."""

    def __init__(self, ground: Ground, face: Face, stores: int) -> None:
        super().__init__()
        self._ground = ground
        self._face: Face = face
        self._stores = [self._open() for _ in range(stores)]
        self._turn = 0
        self._numbers = 0
        self._keys: dict[str, str] = {}
        self._dialogues: dict[str, Dialogue] = {}
        self._deleted: list[str] = []

    def teardown(self) -> None:
        """Look at everything once more, with fresh eyes too; remove what this example made."""
        try:
            self._stores.append(self._open())
            for session in self._dialogues:
                for store in self._stores:
                    self._compare(store, session)
            self._ground.close()
        finally:
            self._ground.remove()

    def _open(self) -> SessionStore:
        return self._ground.open(self._face)

    def _next(self) -> SessionStore:
        self._turn += 1
        return self._stores[self._turn % len(self._stores)]

    def _of(self, key: str) -> tuple[SessionStore, str, Dialogue]:
        """Return the store whose turn it is, and the session of a key, made if there is none."""
        store = self._next()
        session = store.resolve(key)
        assert self._keys.setdefault(key, session) == session
        assert session not in self._deleted
        return store, session, self._dialogues.setdefault(session, Dialogue())

    def _given(self, **fields: Any) -> dict[str, Any]:
        self._numbers += 1
        return {"id": f"m{self._numbers}", "type": "user", "content": f"{self._numbers}", **fields}

    @initialize()
    def begin(self) -> None:
        """Something to begin with: a few messages, and a branch."""
        for _ in range(3):
            self.append("a")
        self.create_branch("a", "one", 1)

    @rule(key=KEYS)
    def append(self, key: str) -> None:
        """`append`, from the head."""
        store, session, dialogue = self._of(key)
        dialogue.said(store.append(session, self._given()), dialogue.head)
        self._compare(self._next(), session)

    @rule(key=KEYS, place=st.none() | PLACES)
    def append_to(self, key: str, place: int | None) -> None:
        """`append`, to any message there is, a hidden one too, or as a root."""
        store, session, dialogue = self._of(key)
        parent = None
        if place is not None and dialogue.messages:
            place %= len(dialogue.messages)
            parent = dialogue.messages[place].id
            if place < dialogue.hidden:
                with pytest.raises(UnknownParentError):
                    store.append(session, self._given(parent_id=parent))
                return
        dialogue.said(store.append(session, self._given(parent_id=parent)), parent)
        self._compare(self._next(), session)

    @rule(key=KEYS, count=st.integers(1, 3))
    def append_many(self, key: str, count: int) -> None:
        """`append_many`, from the head."""
        store, session, dialogue = self._of(key)
        for message in store.append_many(session, [self._given() for _ in range(count)]):
            dialogue.said(message, dialogue.head)
        self._compare(self._next(), session)

    @rule(key=KEYS, place=PLACES, changed=st.booleans())
    def append_again(self, key: str, place: int, changed: bool) -> None:
        """`append` under an id that is there."""
        store, session, dialogue = self._of(key)
        if not dialogue.messages:
            return
        known = dialogue.messages[place % len(dialogue.messages)]
        given = {"id": known.id, "type": "user", "content": known.content}
        if changed:
            with pytest.raises(DuplicateMessageError):
                store.append(session, {**given, "content": "changed"})
        else:
            assert store.append(session, given) == known
        self._compare(self._next(), session)

    @rule(key=KEYS, name=BRANCHES, place=PLACES)
    def create_branch(self, key: str, name: str, place: int) -> None:
        """`create_branch` at any message."""
        store, session, dialogue = self._of(key)
        if not dialogue.shown:
            return
        leaf = dialogue.shown[place % len(dialogue.shown)].id
        store.create_branch(session, name, leaf)
        dialogue.tips[name] = leaf
        if name not in dialogue.named:
            dialogue.named.append(name)
        if dialogue.on == name:
            dialogue.on = None
        self._compare(self._next(), session)

    @rule(key=KEYS, name=BRANCHES)
    def switch_to_branch(self, key: str, name: str) -> None:
        """`switch_to_branch`, or nothing if there is none."""
        store, session, dialogue = self._of(key)
        if name not in dialogue.tips:
            with pytest.raises(BranchNotFoundError):
                store.switch_to_branch(session, name)
            return
        assert store.switch_to_branch(session, name) == dialogue.tips[name]
        dialogue.head, dialogue.on = dialogue.tips[name], name
        self._compare(self._next(), session)

    @rule(key=KEYS, name=BRANCHES)
    def delete_branch(self, key: str, name: str) -> None:
        """`delete_branch`, or nothing if there is none."""
        store, session, dialogue = self._of(key)
        if name not in dialogue.tips:
            with pytest.raises(BranchNotFoundError):
                store.delete_branch(session, name)
            return
        store.delete_branch(session, name)
        del dialogue.tips[name]
        if dialogue.on == name:
            dialogue.on = None
        self._compare(self._next(), session)

    @rule(key=KEYS, sure=SURE)
    def reset_session(self, key: str, sure: bool) -> None:
        """`reset_session`."""
        store, session, dialogue = self._of(key)
        if not sure:
            return
        store.reset_session(session)
        dialogue.hidden = len(dialogue.messages)
        dialogue.head = dialogue.on = None
        dialogue.tips.clear()
        self._compare(self._next(), session)

    @rule(key=KEYS, sure=SURE)
    def delete_session(self, key: str, sure: bool) -> None:
        """`delete_session`, with all its keys."""
        store, session, _ = self._of(key)
        if not sure:
            return
        store.delete_session(session)
        del self._dialogues[session]
        self._deleted.append(session)
        self._keys = {key: other for key, other in self._keys.items() if other != session}

    @precondition(lambda self: self._deleted)
    @rule(place=PLACES)
    def append_to_deleted(self, place: int) -> None:
        """Whatever was deleted refuses everyone."""
        with pytest.raises(SessionNotFoundError):
            self._next().append(self._deleted[place % len(self._deleted)], self._given())

    @rule(key=KEYS, other=st.sampled_from(["b", "c"]))
    def add_key(self, key: str, other: str) -> None:
        """`add_key`: a key of another session is moved."""
        store, session, _ = self._of(key)
        store.add_key(other, session)
        self._keys[other] = session

    @precondition(lambda self: len(self._keys) > 1)
    @rule(key=KEYS)
    def remove_key(self, key: str) -> None:
        """`remove_key`."""
        assert self._next().remove_key(key) == (self._keys.pop(key, None) is not None)

    @rule(key=KEYS, user=st.sampled_from(["u1", "u2", None]))
    def update_metadata(self, key: str, user: str | None) -> None:
        """`update_metadata`."""
        store, session, dialogue = self._of(key)
        store.update_metadata(session, {"user_id": user})
        dialogue.user = user
        self._compare(self._next(), session)

    @rule()
    def open_again(self) -> None:
        """One store is closed and opened again."""
        self._turn += 1
        place = self._turn % len(self._stores)
        self._stores[place].close()
        self._stores[place] = self._open()

    @rule()
    def flush(self) -> None:
        """`flush`, with a snapshot."""
        self._next().flush(snapshot=True)

    @rule()
    def sessions(self) -> None:
        """Every call that lists sessions or keys."""
        store = self._next()
        listed = [found.session_id for found in store.list_sessions().sessions]
        assert sorted(listed) == sorted(store.get_all_session_ids()) == sorted(self._dialogues)
        assert {key: store.get_session_id(key) for key in store.get_all_keys()} == self._keys

    def _compare(self, store: SessionStore, session: str) -> None:
        """Fail unless a store shows the session as it has to be."""
        dialogue = self._dialogues[session]
        assert store.get_messages(session, include_reset=True) == dialogue.messages
        assert store.get_messages(session) == dialogue.shown
        assert store.get_head(session) == dialogue.head
        assert store.get_linear_history(session) == dialogue.way_to(dialogue.head)
        assert store.get_linear_history(session, limit=2) == dialogue.way_to(dialogue.head)[-2:]
        expected = [name for name in dialogue.named if name in dialogue.tips]
        branches = store.get_branches(session)
        assert [branch.name for branch in branches] == expected
        for branch in branches:
            way = dialogue.way_to(dialogue.tips[branch.name])
            assert branch.leaf_message_id == dialogue.tips[branch.name]
            assert branch.path == [message.id for message in way]
        metadata = store.get_metadata(session)
        assert metadata is not None
        assert (metadata.message_count, metadata.user_id) == (len(dialogue.shown), dialogue.user)
