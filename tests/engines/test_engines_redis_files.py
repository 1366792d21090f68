"""What befalls the files of a Redis server: its log of commands is cut, or a bit of it turns."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults_kit import message
from servers import ValkeyServer

from session_store.sync import SessionStore

NAMES = [f"m-{number}" for number in range(20)]


@pytest.fixture
def server(own_server: Callable[..., Any]) -> Any:
    return own_server(ValkeyServer)


def commands_of(server: Any) -> Path:
    """The file to which the server adds each command."""
    [found] = server.data.glob("appendonlydir/*.incr.aof")
    return Path(found)


def write_and_kill(server: Any) -> str:
    """Say something for each name, and kill the server before it can tidy up."""
    with SessionStore.open(server.url) as store:
        session_id = store.resolve("k")
        for name in NAMES:
            store.append(session_id, message(name))
    server.kill()
    return session_id


def test_commands_that_were_cut_off_take_the_newest_message_and_no_other(server: Any) -> None:
    session_id = write_and_kill(server)
    commands = commands_of(server)
    whole = commands.read_bytes()
    last = whole.rindex(b"words of m-19")
    commands.write_bytes(whole[: last + 4])

    server.start()
    with SessionStore.open(server.url) as store:
        found = [one.id for one in store.get_messages(session_id)]
        after = store.append(session_id, message("after"))
        again = [one.id for one in store.get_messages(session_id)]
        report = store.check()

    assert found == NAMES[:-1]
    assert after.parent_id == "m-18"
    assert again == [*NAMES[:-1], "after"]
    assert {one.severity for one in report.findings} <= {"info", "warning"}


def test_a_bit_that_the_server_does_not_notice_is_found_and_hides_nothing_else(
    server: Any,
) -> None:
    session_id = write_and_kill(server)
    commands = commands_of(server)
    whole = commands.read_bytes()
    at = whole.index(b"words of m-7")
    commands.write_bytes(whole[:at] + b"W" + whole[at + 1 :])

    server.start()
    with SessionStore.open(server.url) as store:
        found = [one.id for one in store.get_messages(session_id)]
        report = store.check()
        after = store.append(session_id, message("after"))

    assert found == [name for name in NAMES if name != "m-7"]
    assert "damaged_line" in {one.code for one in report.findings}
    assert after.parent_id == "m-19"
