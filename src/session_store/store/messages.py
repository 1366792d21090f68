"""Appending messages: the parent, the branch, the id and the reset decided under the log."""

from collections.abc import Sequence

from msgspec.structs import replace

from session_store.errors import DuplicateMessageError, InvalidMessageError, UnknownParentError
from session_store.model.config import StoreConfig
from session_store.model.messages import MessageLike, normalise, same_message
from session_store.model.records import Message, inherits_parent
from session_store.model.reset import plan_reset, reset_marker
from session_store.runtime import Runtime

from .log import SessionLog
from .placing import drafts_of
from .reader import Reader
from .writer import Decision, Writer


class Appender:
    """Turns what a caller wants to say into records, again for every state of the log."""

    def __init__(
        self, writer: Writer, reader: Reader, runtime: Runtime, config: StoreConfig
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._runtime = runtime
        self._config = config

    async def append(self, session_id: str, messages: Sequence[MessageLike]) -> list[Message]:
        """Append all of the messages or none, and return them as they are stored."""
        if self._config.auto_reset is None and (drafted := drafts_of(messages)):
            said = await self._writer.go_on(session_id, drafted)
            if said is not None:
                return list(said)
        given = [normalise(message) for message in messages]
        if not given:
            raise InvalidMessageError("", "there is no message to append")
        _refuse_twins(given)
        # Made once: a second attempt must say the same.
        drafts = [
            replace(
                message,
                id=message.id or self._runtime.new_id(),
                timestamp=message.timestamp or self._runtime.now_ms(),
            )
            for message in given
        ]

        async def decide(log: SessionLog) -> Decision:
            stored = await self._stored(log, given)
            if stored is not None:
                return Decision((), stored)
            marker = await self._marker(log, drafts[0])
            placed = await self._place(log, drafts, marker)
            records = placed if marker is None else [marker, *placed]
            if len(records) > 1:
                records = [
                    replace(record, batch=(place, len(records)))
                    for place, record in enumerate(records, 1)
                ]
            return Decision(records, records[-len(placed) :])

        return list(await self._writer.write(session_id, decide))

    async def _stored(self, log: SessionLog, given: Sequence[Message]) -> list[Message] | None:
        """Return what is stored already under the given ids, None if nothing is (A3)."""
        named = [message for message in given if message.id]
        if not named:
            return None
        nodes = await log.load(messages=False)
        stored: list[Message] = []
        for message in named:
            ordinal = nodes.used(message.id)
            if ordinal is None:
                continue
            found = await log.read_message(nodes, ordinal)
            if not same_message(message, found):
                raise DuplicateMessageError(log.session_id, message.id)
            stored.append(found)
        if not stored:
            return None
        if len(stored) < len(given):
            raise DuplicateMessageError(log.session_id, stored[0].id)
        return stored

    async def _place(
        self, log: SessionLog, drafts: Sequence[Message], marker: Message | None
    ) -> list[Message]:
        """Give every draft its parent, and the branch whose tip that parent is (D4)."""
        head: str | None
        if marker is not None:
            head, branch = marker.id, None
        else:
            head, branch = await log.head(), log.tail.branch
            if head is not None and head != log.tail.head:
                branch = await self._branch_of(log, head)
        placed: list[Message] = []
        own: dict[str, str | None] = {}
        for draft in drafts:
            parent = head if inherits_parent(draft) else draft.parent_id
            if parent is None:
                on = None
            elif parent == head:
                on = branch
            elif parent in own:
                on = None
            else:
                on = await self._branch_of(log, parent)
            message = replace(draft, parent_id=parent, branch=on)
            placed.append(message)
            own[message.id] = on
            head, branch = message.id, on
        return placed

    async def _branch_of(self, log: SessionLog, parent: str) -> str | None:
        """Return the branch whose tip `parent` is; raises if there is no such message."""
        tail = log.tail
        if tail.met(parent):
            branch = tail.branch_of(parent)
            return branch if branch is not None and tail.tips.get(branch) == parent else None
        nodes = await log.load(messages=False)
        if nodes.visible(parent) is None:
            raise UnknownParentError(log.session_id, parent)
        return next((name for name, tip in nodes.tips.items() if tip.id == parent), None)

    async def _marker(self, log: SessionLog, first: Message) -> Message | None:
        """Return the marker that resets the dialogue before `first`, if one is due."""
        config = self._config.auto_reset
        if config is None or not config.enabled or not inherits_parent(first):
            return None
        head = await log.head()
        if first.type == "tool_result" or head is None:
            return None  # between a call and its result nothing is reset
        kept, path = await self._reader.dialogue(log, head)
        plan = plan_reset(path, config, self._runtime.now_ms(), kept=kept)
        if plan is None:
            return None
        return reset_marker(plan, self._runtime.new_id(), self._runtime.now_ms())


def _refuse_twins(messages: Sequence[Message]) -> None:
    seen: set[str] = set()
    for message in messages:
        if message.id and message.id in seen:
            raise InvalidMessageError("id", f"{message.id!r} is given twice")
        seen.add(message.id)
