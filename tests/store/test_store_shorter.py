"""A log that comes back with less than it had, as after a failover, and that others go on with."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from session_store import Message
from session_store.sync import Session, SessionStore


class Place:
    """A folder in which a log is taken back to what it was, and gone on with by somebody else."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.opened: list[SessionStore] = []

    def open(self) -> Session:
        """The session, as another process opens it."""
        self.opened.append(SessionStore.open(self.root, durability="os"))
        return self.opened[-1].session("k")

    def log(self, chat: Session) -> Path:
        return self.root / chat.id / "messages.jsonl"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path / "sessions")
    yield place
    for store in place.opened:
        store.close()


def lose_the_last(place: Place, chat: Session, say: Callable[[], object]) -> int:
    """Let the log lose what is said now; return how long it was with that."""
    log = place.log(chat)
    before = log.stat().st_size
    say()
    after = log.stat().st_size
    os.truncate(log, before)
    return after


def texts(messages: list[Message]) -> list[object]:
    return [message.content for message in messages]


@pytest.mark.parametrize("cached", [False, True], ids=["by its end", "whole"])
def test_who_knew_more_reads_what_is_there_now(place: Place, cached: bool) -> None:
    chat = place.open()
    chat.append("user", "kept")
    if cached:
        chat.messages()
    known = lose_the_last(place, chat, lambda: chat.append("user", "acknowledged, and lost"))
    other = place.open()
    other.append("user", "after")
    last = other.append("user", "and so on, longer than what was lost")

    assert place.log(chat).stat().st_size > known
    assert texts(chat.messages()) == texts(other.messages())
    assert texts(chat.history())[-1] == last.content
    assert chat.append("user", "mine").parent_id == last.id
    assert chat.store.check().ok


def test_who_writes_without_a_look_finds_the_new_end(place: Place) -> None:
    chat = place.open()
    chat.append("user", "kept")
    lose_the_last(place, chat, lambda: chat.append("user", "acknowledged, and lost"))
    last = [place.open().append("user", f"after {number}") for number in range(3)][-1]

    mine = chat.append("user", "mine")

    assert mine.parent_id == last.id
    assert texts(place.open().messages()) == ["kept", "after 0", "after 1", "after 2", "mine"]


def test_who_follows_misses_nothing_and_is_given_nothing_again(place: Place) -> None:
    chat = place.open()
    chat.append("user", "kept")
    following = place.open().store.subscribe(chat.id)
    given = [next(following).content]

    def say() -> None:
        chat.append("user", "acknowledged, and lost")
        given.append(next(following).content)

    lose_the_last(place, chat, say)
    other = place.open()
    for number in range(3):
        other.append("user", f"after {number}")
    given += [next(following).content for _ in range(3)]

    assert given == ["kept", "acknowledged, and lost", "after 0", "after 1", "after 2"]
