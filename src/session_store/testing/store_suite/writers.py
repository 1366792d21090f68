"""Many writers: whatever comes between, nothing acknowledged is lost, and all see the same.

Each test is run by threads, by tasks, by several stores and by several processes, as far as
the engine's traits and fixtures allow; `session_store.testing.history` is the judge.
"""

from functools import partial
from itertools import chain
from typing import Final

from session_store.store.aio import SessionStore

from . import works
from .base import Suite
from .racing import Race

ROUNDS: Final = 15


async def tell(store: SessionStore) -> list[tuple[str, str | None]]:
    """Return the messages with their parents, in the order of the log."""
    session = await store.resolve(works.KEY)
    return [(message.id, message.parent_id) for message in await store.get_messages(session)]


async def start(store: SessionStore) -> list[str]:
    """Say three roots."""
    notes = works.Notes("first")
    session = await notes.resolve(store)
    for name in ("r0", "r1", "r2"):
        await notes.append(store, session, name, parent_id=None)
    return notes.lines()


class WriterTests(Suite):
    """Many writers."""

    def test_writers_form_one_chain(self, race: Race) -> None:
        """Of many writers each message is there once, behind its parent, in one chain."""
        histories = race.each(lambda n: partial(works.append_some, mark=n, count=ROUNDS))

        race.judge(*histories)
        said = race.alone(tell)
        names = [name for name, _ in said]
        assert len(names) == race.callers * ROUNDS
        assert [parent for _, parent in said] == [None, *names[:-1]]

    def test_writers_keep_batches_together(self, race: Race) -> None:
        """The messages of a batch stand together, whoever writes beside."""
        histories = race.each(lambda n: partial(works.append_batches, mark=n, count=6))

        race.judge(*histories)
        said = race.alone(tell)
        names = [name for name, _ in said]
        assert [parent for _, parent in said] == [None, *names[:-1]]

    def test_writers_that_name_a_parent_get_it(self, race: Race) -> None:
        """Answers of many writers to one message are all its children."""
        first = race.alone(start)
        parents = ["r0", "r1", "r2"] * 3

        histories = race.each(lambda n: partial(works.answer_all, mark=n, parents=parents))

        race.judge(first, *histories)
        children = [parent for _, parent in race.alone(tell)]
        for parent in ("r0", "r1", "r2"):
            assert children.count(parent) == race.callers

    def test_writers_of_one_message_write_it_once(self, race: Race) -> None:
        """Of many who append the same message under one id all get the one that is there."""
        answers = race.each(lambda _: partial(works.say_the_same, count=ROUNDS))

        said = race.alone(tell)
        assert [name for name, _ in said] == [f"same-{number}" for number in range(ROUNDS)]
        assert all(answer == said for answer in answers)

    def test_writers_resolve_one_key_to_one_session(self, race: Race) -> None:
        """Of many who resolve a new key all get the same session, and there is no other."""
        keys = [f"k{number}" for number in range(ROUNDS)]

        answers = race.each(lambda _: partial(works.resolve_all, keys=keys))

        assert all(answer == answers[0] for answer in answers)
        assert len(set(answers[0])) == len(keys)
        assert sorted(race.alone(_all_ids)) == sorted(answers[0])

    def test_writers_beside_a_delete_are_refused(self, race: Race) -> None:
        """After a delete nobody is answered, and nothing comes back."""
        histories = race.run(
            partial(works.append_until_refused, mark=0, count=200),
            *[
                partial(works.append_until_refused, mark=mark, count=200)
                for mark in range(1, race.callers - 1)
            ],
            partial(works.delete_after, count=5),
        )

        race.judge(*histories)

    def test_writers_beside_a_reset_lose_nothing(self, race: Race) -> None:
        """Who writes beside a reset finds its message before it or behind it, never nowhere."""
        histories = race.run(
            partial(works.reset_often, times=5),
            *[
                partial(works.append_some, mark=mark, count=ROUNDS)
                for mark in range(1, race.callers)
            ],
        )

        race.judge(*histories)

    def test_writers_on_branches_of_their_own(self, race: Race) -> None:
        """Who switches and appends among others gets its message, behind some head of its time."""
        histories = race.each(lambda n: partial(works.go_between_branches, mark=n, times=8))

        race.judge(*histories)
        assert sorted(race.alone(_branches)) == sorted(f"branch {n}" for n in range(race.callers))

    def test_writers_under_the_lock_come_one_by_one(self, race: Race) -> None:
        """What one reads under the lock nobody changes before it has written."""
        race.each(lambda _: partial(works.count_up, times=5))

        contents = race.alone(_contents)
        assert contents == [str(number) for number in range(race.callers * 5)]

    def test_writers_are_followed_in_order(self, race: Race) -> None:
        """Who is subscribed while others write gets every message once, in the log's order."""
        count = ROUNDS * (race.callers - 1)

        followed, *histories = race.run(
            partial(works.follow, count=count),
            *[
                partial(works.append_some, mark=mark, count=ROUNDS)
                for mark in range(1, race.callers)
            ],
        )

        race.judge(*histories)
        assert followed == [name for name, _ in race.alone(tell)]

    def test_writers_of_metadata_keep_each_others_fields(self, race: Race) -> None:
        """Who sets one field beside others who set other fields loses none."""
        race.run(
            partial(works.set_fields, field="user_id", values=["a", "b", "last"]),
            partial(works.set_fields, field="token_estimate", values=[1, 2, 3]),
        )

        assert race.alone(_fields) == ("last", 3)

    def test_writers_beside_a_list_hide_no_session(self, race: Race) -> None:
        """While others make and delete sessions each that stays is listed exactly once."""
        stays = race.alone(partial(works.resolve_all, keys=[f"stays{n}" for n in range(10)]))

        listings, *_ = race.run(
            partial(works.list_often, times=8),
            *[partial(works.make_sessions, mark=mark, count=10) for mark in range(1, race.callers)],
        )

        for listed in listings:
            assert len(set(listed)) == len(listed)
            assert set(stays) <= set(listed)
        made = race.alone(_all_ids)
        assert len(made) == len(set(made)) == 10 + 5 * (race.callers - 1)
        assert set(stays) <= set(chain(made))


async def _all_ids(store: SessionStore) -> list[str]:
    return await store.get_all_session_ids()


async def _branches(store: SessionStore) -> list[str]:
    session = await store.resolve(works.KEY)
    return [branch.name for branch in await store.get_branches(session)]


async def _contents(store: SessionStore) -> list[object]:
    session = await store.resolve(works.KEY)
    return [message.content for message in await store.get_messages(session)]


async def _fields(store: SessionStore) -> tuple[str | None, int | None]:
    found = await store.get_metadata_by_key(works.KEY)
    assert found is not None
    return found.user_id, found.token_estimate
