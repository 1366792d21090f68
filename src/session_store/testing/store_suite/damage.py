"""Damage: what is broken is reported as data, and everything else stays readable and writable.

The damage is done through the file system itself, so it can be done to any engine.
"""

from collections.abc import Callable
from typing import Final

import pytest

from session_store.errors import LeaseLostError

from .base import Suite
from .ground import Ground

LOG: Final = "messages.jsonl"
TORN: Final = (
    b'{"id":"torn","parentId":null,"type":"user","timestamp":1,"con',
    b'{"id":"torn","parentId":null,"type":"user","timestamp":1,"content":"whole, but no LF"}',
    b"{",
    b"\0" * 500,
    b"\xff\xfe\xc3",
)
INDEX_HARMED: Final = {"session_found"}
LINES: Final = (b"no json at all\n", b"[1,2]\n", b"\0\0\0\n", b"\xff\xfe\n", b'{"id":\n', b"{}x\n")


class DamageTests(Suite):
    """Damage."""

    @pytest.fixture
    def session(self, ground: Ground) -> str:
        """Return a session of five messages that no store has read."""
        store = ground.open()
        chat = store.session("chat")
        for name in "abcde":
            chat.append({"id": name, "type": "user", "content": f"say {name}"})
        store.close()
        return chat.id

    @pytest.fixture
    def index(self, ground: Ground, session: str) -> list[str]:
        """Return the files of the index; skips the test if it is declared to be none of files."""
        if not self.index_in_files:
            pytest.skip("index_in_files is false")
        names = [name for name in ground.raw.names() if name.startswith("sessions.")]
        assert names, "no file of an index: an engine that keeps it elsewhere says so"
        return names

    @pytest.mark.parametrize("torn", TORN, ids=lambda torn: ascii(torn)[2:14])
    def test_damage_at_the_end_is_sealed_off(
        self, ground: Ground, session: str, torn: bytes
    ) -> None:
        """What a broken write left at the end is not shown, and the next append seals it off."""
        path = f"{session}/{LOG}"
        before = ground.raw.append(path, torn)
        chat = ground.open().session("chat")

        assert [said.id for said in chat.messages()] == list("abcde")
        assert "torn_tail" in ground.findings(chat.store)
        said = chat.append("user", "next")

        assert said.parent_id == "e"
        fresh = ground.open().session("chat")
        assert [found.id for found in fresh.messages()] == [*"abcde", said.id]
        assert torn in ground.raw.read(path)[:before], "what is damaged is not removed"
        ground.tolerated = {"sealed_tail"}
        assert set(ground.findings(fresh.store)) == {"sealed_tail"}

    def test_damage_at_the_end_that_comes_while_open(self, ground: Ground, session: str) -> None:
        """Who has read the log before seals off a broken write of another all the same."""
        chat = ground.open().session("chat")
        assert len(chat.messages()) == 5

        for torn in TORN:
            ground.raw.append(f"{session}/{LOG}", torn)
            chat.append("user", "next")

        ground.tolerated = {"sealed_tail"}
        assert [said.content for said in chat.messages()][5:] == ["next"] * len(TORN)
        assert ground.open().get_messages(session) == chat.messages()

    @pytest.mark.parametrize("line", LINES, ids=lambda line: ascii(line)[2:14])
    def test_damage_in_the_middle_hides_nothing_else(
        self, ground: Ground, session: str, line: bytes
    ) -> None:
        """A line that is none is skipped and reported with its place; all others stay."""
        path = f"{session}/{LOG}"
        at = ground.raw.append(path, line) - len(line)
        chat = ground.open().session("chat")
        said = chat.append("user", "behind it")

        [finding] = ground.findings(chat.store).values()

        ground.tolerated = {finding.code}
        assert finding.severity == "error"
        assert (finding.path, finding.offset, finding.length) == (path, at, len(line) - 1)
        assert [found.id for found in chat.messages()] == [*"abcde", said.id]
        assert said.parent_id == "e"

    def test_damage_of_one_byte_is_noticed(self, ground: Ground, session: str) -> None:
        """A message in which one byte was changed is not shown as if nothing had happened."""
        path = f"{session}/{LOG}"
        data = ground.raw.read(path)
        ground.raw.write(path, data.replace(b"say c", b"say C"))
        chat = ground.open().session("chat")

        ground.tolerated = {"damaged_line", "missing_parent", "wrong_count", "stale_count"}
        assert [found.content for found in chat.messages()] == ["say a", "say b", "say d", "say e"]
        assert "damaged_line" in ground.findings(chat.store)
        assert chat.append("user", "next").parent_id == "e"
        assert [found.id for found in chat.children(None)] == ["a", "d"]

    def test_damage_that_cuts_a_batch_shows_none_of_it(self, ground: Ground, session: str) -> None:
        """A batch whose end is missing is not shown, and the next message stands behind it."""
        store = ground.open()
        store.append_many(session, [{"id": name, "type": "user"} for name in "xyz"])
        store.close()
        path = f"{session}/{LOG}"
        lines = ground.raw.read(path).splitlines(keepends=True)
        ground.raw.write(path, b"".join(lines[:-1]))
        chat = ground.open().session("chat")

        assert [found.id for found in chat.messages()] == list("abcde")
        said = chat.append("user", "next")

        ground.tolerated = {"torn_batch", "log_short", "stale_count", "sealed_tail"}
        assert said.parent_id == "e"
        assert [found.id for found in ground.open().get_messages(session)] == [*"abcde", said.id]

    @pytest.mark.parametrize(
        "harm",
        [
            lambda _: b"",
            lambda _: b"no json",
            lambda data: b"\0" * len(data),
            lambda data: data[:9],
        ],
        ids=["empty", "no json", "NULs", "cut off"],
    )
    def test_damage_of_the_index_loses_no_session(
        self, ground: Ground, session: str, index: list[str], harm: Callable[[bytes], bytes]
    ) -> None:
        """Whatever happens to the files of the index, every session is found again by its key."""
        ground.tolerated = INDEX_HARMED

        for name in index:
            ground.raw.write(name, harm(ground.raw.read(name)))
        chat = ground.open().session("chat")

        assert chat.id == session
        assert [found.id for found in chat.messages()] == list("abcde")
        chat.append("user", "next")
        assert len(ground.open().session("chat").messages()) == 6

    def test_damage_that_takes_the_index_loses_no_session(
        self, ground: Ground, session: str, index: list[str]
    ) -> None:
        """Without any file of the index every session is found again by its key."""
        for name in index:
            ground.raw.delete(name)
        ground.tolerated = INDEX_HARMED

        chat = ground.open().session("chat")

        assert chat.id == session
        assert len(chat.messages()) == 5

    def test_damage_of_a_lock_locks_nobody_out(self, ground: Ground, session: str) -> None:
        """A lock that cannot be read counts as expired, and its holder as fenced off."""
        old = ground.open()
        old.acquire_lock(session, "old")
        ground.raw.write(f"{session}/lock.json", b"no json")
        new = ground.open()

        assert new.acquire_lock(session, "new", wait=True).acquired
        new.append(session, {"type": "user", "content": "new"})

        with pytest.raises(LeaseLostError):
            old.append(session, {"type": "user", "content": "late"})
        assert len(new.get_messages(session)) == 6

    def test_damage_of_branches_hides_no_other(self, ground: Ground, session: str) -> None:
        """A line of the branches that is none hides neither branches nor messages."""
        store = ground.open()
        store.create_branch(session, "one", "b")
        ground.raw.append(f"{session}/branches.jsonl", b"no json at all\n{")
        store.create_branch(session, "two", "c")

        fresh = ground.open()

        assert [branch.name for branch in fresh.get_branches(session)] == ["one", "two"]
        ground.tolerated = {"damaged_line", "sealed_tail"}
        assert "damaged_line" in ground.findings(fresh)
