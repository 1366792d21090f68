"""Who reads where nobody has made a store is told so, and none is made by looking."""

import asyncio
import os
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from session_store.cli.app import run
from session_store.files.urls import room_of
from session_store.sync import SessionStore

ENGINES = ["sqlite", "postgres", "redis", "redis_cluster", "s3"]


def is_made(url: str) -> bool:
    room = room_of(url)
    assert room is not None
    with asyncio.Runner() as runner:
        made: bool = runner.run(room.is_made(url))
    return made


@pytest.mark.parametrize("kind", ENGINES)
def test_reading_where_no_store_is_makes_none(
    kind: str, places: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    url = places(kind)
    for command in (["ls"], ["show", "key"], ["check"], ["export", "key"], ["copy"]):
        target = ["memory:"] if command == ["copy"] else []
        place = [url] if command == ["copy"] else ["--store", url]

        code = run([*command[:1], *place, *command[1:], *target])

        told = capsys.readouterr().err
        assert code == 3, (command, told)
        assert "there is no store at" in told
        assert (urlsplit(url).password or "no password") not in told
    assert not is_made(url)
    if kind == "sqlite":
        assert not os.path.exists(url.removeprefix("sqlite:///"))


@pytest.mark.parametrize("kind", ENGINES)
def test_a_store_that_was_made_is_there(
    kind: str, places: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    url = places(kind)
    with SessionStore.open(url) as store:
        store.session("key").append("user", "hello")

    assert is_made(url)
    assert run(["history", "--store", url, "key"]) == 0
    assert "hello" in capsys.readouterr().out
