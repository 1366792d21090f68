"""Branches of both: the newest record of a name wins, and no clock decides what is newer."""

from pathlib import Path

import pytest
from original_kit import BRANCHES, Line, Original, contents, findings, ours

from session_store import BranchNotFoundError
from session_store.sync import SessionStore


def say(content: str, **fields: str) -> dict[str, str]:
    return {"role": "user", "content": content, **fields}


@pytest.fixture
def chain(root: Path) -> tuple[str, list[str]]:
    """A session of the original's of four messages in a row."""
    original = Original(root)
    session_id = original.resolve("k")
    ids: list[str] = []
    for n in range(4):
        ids.append(original.append(session_id, ids[-1] if ids else None, f"m{n}"))
    return session_id, ids


def tip(store: SessionStore, session_id: str, name: str) -> str | None:
    branch = store.get_branch(session_id, name)
    return None if branch is None else branch.leaf_message_id


def test_of_two_records_of_one_name_the_newest_wins_here(
    root: Path, chain: tuple[str, list[str]]
) -> None:
    session_id, ids = chain
    original = Original(root)
    for name, leaf in (("x", 3), ("y", 2), ("x", 1)):
        original.create_branch(session_id, name, ids[leaf])

    with ours(root) as store:
        branches = store.get_branches(session_id)

        assert [(b.name, b.leaf_message_id) for b in branches] == [("x", ids[1]), ("y", ids[2])]
        assert branches[0].path == ids[:2]
        assert store.switch_to_branch(session_id, "x") == ids[1]
    first = original.branch(session_id, "x")
    assert first is not None and first["leafMessageId"] == ids[3]


def test_its_branch_goes_on_with_what_we_append(root: Path, chain: tuple[str, list[str]]) -> None:
    session_id, ids = chain
    Original(root).create_branch(session_id, "x", ids[1])

    with ours(root) as store:
        assert store.get_head(session_id) == ids[3]
        store.switch_to_branch(session_id, "x")
        one = store.append(session_id, say("one"))
    with ours(root) as store:
        two = store.append(session_id, say("two"))

        assert (one.parent_id, two.parent_id) == (ids[1], one.id)
        assert (one.branch, two.branch) == ("x", "x")
        assert tip(store, session_id, "x") == two.id
        branch = store.get_branch(session_id, "x")
        assert branch is not None and branch.path == [*ids[:2], one.id, two.id]


@pytest.mark.parametrize("by", ["us", "it"])
def test_a_branch_that_it_makes_again_is_where_it_put_it(
    root: Path, chain: tuple[str, list[str]], by: str
) -> None:
    session_id, ids = chain
    if by == "it":
        Original(root).create_branch(session_id, "x", ids[1])
    with ours(root) as store:
        if by == "us":
            store.create_branch(session_id, "x", ids[1])
        store.switch_to_branch(session_id, "x")
        old = store.append(session_id, say("on the old x"))
        old = store.append(session_id, say("still on the old x"))
        assert tip(store, session_id, "x") == old.id

    Original(root).create_branch(session_id, "x", ids[2])

    with ours(root) as store:
        assert tip(store, session_id, "x") == ids[2]
        assert store.switch_to_branch(session_id, "x") == ids[2]
        new = store.append(session_id, say("on the new x"))
        assert (new.parent_id, new.branch) == (ids[2], "x")
        assert tip(store, session_id, "x") == new.id
        newer = store.append(session_id, say("still on the new x"))
    with ours(root) as store:
        assert tip(store, session_id, "x") == newer.id
        assert len(store.get_branches(session_id)) == 1


@pytest.mark.parametrize("behind", [0, 10**12])
def test_what_we_delete_is_deleted_whatever_its_clock_said(
    root: Path, chain: tuple[str, list[str]], behind: int
) -> None:
    session_id, ids = chain
    original = Original(root)
    line = {"name": "x", "leafMessageId": ids[1], "createdAt": behind * 2, "path": ids[:2]}
    original.write_line(session_id, BRANCHES, line)

    with ours(root) as store:
        store.delete_branch(session_id, "x")

        assert store.get_branches(session_id) == []
        with pytest.raises(BranchNotFoundError):
            store.switch_to_branch(session_id, "x")
    with ours(root) as store:
        assert store.get_branch(session_id, "x") is None
    still = original.branch(session_id, "x")
    assert still is not None, "the original keeps seeing it"


@pytest.mark.parametrize("created_at", [None, 0, 1.5, 10**15])
def test_a_name_we_deleted_and_it_made_again_is_there_again(
    root: Path, chain: tuple[str, list[str]], created_at: float | None
) -> None:
    session_id, ids = chain
    with ours(root) as store:
        store.create_branch(session_id, "x", ids[1])
        store.switch_to_branch(session_id, "x")
        store.append(session_id, say("on x"))
        store.delete_branch(session_id, "x")

    original = Original(root)
    if created_at is None:
        original.create_branch(session_id, "x", ids[3])
    else:
        line = {"name": "x", "leafMessageId": ids[3], "createdAt": created_at, "path": []}
        original.write_line(session_id, BRANCHES, line)

    with ours(root) as store:
        assert tip(store, session_id, "x") == ids[3]
        branch = store.get_branch(session_id, "x")
        assert branch is not None and branch.path == ids
        store.delete_branch(session_id, "x")
        assert store.get_branch(session_id, "x") is None
        store.create_branch(session_id, "x", ids[0])
        assert tip(store, session_id, "x") == ids[0]


def test_its_messages_are_on_no_branch_and_become_the_head(
    root: Path, chain: tuple[str, list[str]]
) -> None:
    session_id, ids = chain
    with ours(root) as store:
        store.create_branch(session_id, "x", ids[1])
        store.switch_to_branch(session_id, "x")
        ours_last = store.append(session_id, say("on x")).id

    theirs = Original(root).append(session_id, ours_last, "theirs")

    with ours(root) as store:
        assert store.get_head(session_id) == theirs
        assert tip(store, session_id, "x") == ours_last
        after = store.append(session_id, say("behind theirs"))
        assert (after.parent_id, after.branch) == (theirs, None)


@pytest.mark.parametrize(
    "line",
    [
        b"[]",
        b'"x"',
        b"{}",
        b'{"name":5,"leafMessageId":"a"}',
        b'{"name":"x"}',
        b'{"name":"x","leafMessageId":null}',
        b"{broken",
        b"\xff\xfe",
        b"\0\0\0\0",
    ],
)
def test_a_line_that_is_no_branch_is_named_and_hides_no_other(
    root: Path, chain: tuple[str, list[str]], line: bytes
) -> None:
    session_id, ids = chain
    original = Original(root)
    original.create_branch(session_id, "before", ids[1])
    path = root / session_id / BRANCHES
    path.write_bytes(path.read_bytes() + line + b"\r\n\n")
    original.create_branch(session_id, "after", ids[2])

    with ours(root) as store:
        branches = store.get_branches(session_id)

        assert [(b.name, b.leaf_message_id) for b in branches] == [
            ("before", ids[1]),
            ("after", ids[2]),
        ]
        assert findings(store) & {"damaged_line", "nul_run"}
        store.create_branch(session_id, "ours", ids[3])
        assert len(store.get_branches(session_id)) == 3
    assert line in path.read_bytes()


def test_a_branch_with_strange_fields_is_still_a_way_through_the_tree(
    root: Path, chain: tuple[str, list[str]]
) -> None:
    session_id, ids = chain
    original = Original(root)
    odd: dict[str, Line] = {
        "half \ud83d": {"createdAt": 1.5},
        "no path": {"createdAt": "yesterday", "path": None},
        "wrong path": {"createdAt": None, "path": [ids[3], 5, None]},
        "our field": {"logSize": "large", "crc": 5},
        "": {},
    }
    for name, fields in odd.items():
        line = {"name": name, "leafMessageId": ids[1], **fields}
        original.write_line(session_id, BRANCHES, line)

    with ours(root) as store:
        branches = {branch.name: branch for branch in store.get_branches(session_id)}

        names = {"half \ufffd", "no path", "wrong path", "our field", ""}
        assert branches.keys() == names
        assert {branch.leaf_message_id for branch in branches.values()} == {ids[1]}
        assert all(branch.path == ids[:2] for branch in branches.values())
        assert branches["half \ufffd"].created_at == 1.5
        assert store.switch_to_branch(session_id, "wrong path") == ids[1]


def test_a_branch_to_nowhere_is_named_and_not_shown(
    root: Path, chain: tuple[str, list[str]]
) -> None:
    session_id, _ = chain
    line = {"name": "lost", "leafMessageId": "nobody", "createdAt": 1, "path": ["nobody"]}
    Original(root).write_line(session_id, BRANCHES, line)

    with ours(root) as store:
        assert store.get_branches(session_id) == []
        assert "lost_branch" in findings(store)
        assert contents(store, session_id) == ["m0", "m1", "m2", "m3"]


def test_a_last_branch_without_its_line_end_is_no_record_and_gets_in_nobodys_way(
    root: Path, chain: tuple[str, list[str]]
) -> None:
    session_id, ids = chain
    original = Original(root)
    original.create_branch(session_id, "whole", ids[1])
    path = root / session_id / BRANCHES
    torn = b'{"name":"torn","leafMessageId":"x","createdAt":1,"pa'
    path.write_bytes(path.read_bytes() + torn)

    with ours(root) as store:
        assert [branch.name for branch in store.get_branches(session_id)] == ["whole"]
        store.create_branch(session_id, "next", ids[2])
        assert [branch.name for branch in store.get_branches(session_id)] == ["whole", "next"]
    assert torn + b"~\n" in path.read_bytes()
