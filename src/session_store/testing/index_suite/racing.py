"""Several callers at once, in one process and in several."""

from collections.abc import Callable
from functools import partial
from typing import Any

from session_store.errors import InvalidIdError, SessionNotFoundError
from session_store.index.manager import SessionIndexManager
from session_store.model.records import LogMark

from .base import Index, Suite, Work, about, new_id

CALLERS = 4
ROUNDS = 20


async def register_all(index: SessionIndexManager, keys: list[str]) -> list[str]:
    """Return the sessions that the keys name, made where there is none."""
    ids = [new_id() for _ in keys]
    pairs = zip(ids, keys, strict=True)
    return [await index.register(one, key, about(one)) for one, key in pairs]


async def update_often(index: SessionIndexManager, session_id: str, field: str) -> None:
    """Count one field up."""
    for number in range(1, ROUNDS + 1):
        await index.update(session_id, {field: number})


async def note_often(index: SessionIndexManager, session_id: str, offset: int) -> None:
    """Note a log that grows."""
    for number in range(1, ROUNDS + 1):
        size = number * 10 + offset
        mark = LogMark(size=size, messages=number, last_id=f"m{size}")
        await index.note_append(session_id, size, mark)
    await index.flush()


async def delete_all(index: SessionIndexManager, ids: list[str]) -> list[bool]:
    """Return which of the sessions it was that this caller ended."""
    return [await index.delete(session_id) for session_id in ids]


async def name_all(index: SessionIndexManager, ids: list[str], mark: int) -> list[str]:
    """Return the keys that were added before the sessions ended."""
    named: list[str] = []
    for session_id in ids:
        key = f"{mark}/{session_id}"
        try:
            await index.add_key(key, session_id)
        except (SessionNotFoundError, InvalidIdError):
            continue
        named.append(key)
    return named


async def make_beside(index: SessionIndexManager, mark: int) -> list[str]:
    """Make sessions, and return them."""
    made: list[str] = []
    for number in range(ROUNDS):
        one = new_id()
        made.append(await index.register(one, f"{mark}/{number}", about(one, mark * 100 + number)))
    return made


async def page_through(index: SessionIndexManager, rounds: int) -> list[list[str]]:
    """Return what whole listings gave."""
    listings: list[list[str]] = []
    for _ in range(rounds):
        found: list[str] = []
        after: str | None = None
        while True:
            page = await index.page(sort="created", after=after, limit=3)
            found += [one.session_id for one in page.sessions]
            after = page.after
            if after is None:
                break
        listings.append(found)
    return listings


Race = Callable[[list[Work]], list[Any]]


class RaceTests(Suite):
    """What holds when several do it at once."""

    def test_race_for_keys_has_one_session_each(self, race: Race, index: Index) -> None:
        """Of many who register a key all get the same session, and there is no other."""
        keys = [f"k{number}" for number in range(ROUNDS)]

        answers = race([partial(register_all, keys=keys)] * CALLERS)

        assert all(answer == answers[0] for answer in answers)
        assert sorted(index.all_ids()) == sorted(answers[0])
        assert {key: index.resolve_key(key) for key in keys} == dict(
            zip(keys, answers[0], strict=True)
        )

    def test_race_of_updates_loses_no_field(self, race: Race, index: Index) -> None:
        """Who changes one field does not undo what others did to another."""
        made = index.make("k")
        fields = ["userId", "tokenEstimate", "metadata", "modelOverrides"]

        answers = race([partial(update_often, session_id=made, field=name) for name in fields])

        index.refresh()
        found = index.metadata(made)
        values = (found.user_id, found.token_estimate, found.metadata, found.model_overrides)
        assert values[: len(answers)] == (ROUNDS,) * len(answers)

    def test_race_of_notes_keeps_the_largest(self, race: Race, index: Index) -> None:
        """Of all that was noted the largest count stands in the end."""
        made = index.make("k")

        answers = race([partial(note_often, session_id=made, offset=at) for at in range(CALLERS)])

        index.refresh()
        assert index.metadata(made).log.size == ROUNDS * 10 + len(answers) - 1

    def test_race_of_deletes_has_one_winner(self, race: Race, index: Index) -> None:
        """A session is ended by one of those who delete it."""
        ids = [index.make(f"k{number}") for number in range(ROUNDS)]

        answers = race([partial(delete_all, ids=ids)] * CALLERS)

        assert [sum(each) for each in zip(*answers, strict=True)] == [1] * ROUNDS
        assert index.all_ids() == []
        assert index.all_keys() == []

    def test_race_of_a_delete_with_a_new_key_leaves_no_key(self, race: Race, index: Index) -> None:
        """A key that is added beside a delete names nothing afterwards, whoever was faster."""
        ids = [index.make(f"k{number}") for number in range(ROUNDS)]

        answers = race([partial(delete_all, ids=ids), partial(name_all, ids=ids, mark=1)])

        assert all(answers[0])
        index.refresh()
        assert [key for key in answers[1] if index.resolve_key(key) is not None] == []
        assert index.all_keys() == []

    def test_race_with_a_listing_shows_what_stays(self, race: Race, index: Index) -> None:
        """A listing beside many who make sessions gives each that was there exactly once."""
        there = [index.make(time=number) for number in range(ROUNDS)]

        made, listings = race([partial(make_beside, mark=1), partial(page_through, rounds=5)])

        for listing in listings:
            assert len(set(listing)) == len(listing)
            assert set(there) <= set(listing)
        assert set(index.all_ids()) == {*there, *made}
