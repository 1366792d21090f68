"""Stores in need, in a folder: what needs mounts besides is in `campaign_full_disk.py`."""

from contextlib import suppress

import pytest
from campaign_full_disk import FOLDERS
from disk_judge import Verdict
from disk_mounts import scratch
from disk_squeeze import NoPermission, Quota, RemovedMount, Shortage, endure

from session_store.files import posix
from session_store.files.tree import Tree
from session_store.index import journal


def lived_through(kind: type[Shortage], seed: int = 1) -> Verdict:
    with scratch() as folder:
        folder.chmod(0o777)  # root plays nobody
        return endure(kind(folder / "store"), seed=seed, nobody=True)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_shortage_is_told_by_the_right_error_and_all_goes_on_after_it(name: str) -> None:
    verdict = lived_through(FOLDERS[name])

    assert not verdict.violations
    assert verdict.messages >= 8


def test_a_write_that_is_acknowledged_although_it_was_cut_short_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def careless(fd: int, path: str, start: int, data: bytes) -> None:
        with suppress(OSError):
            posix.os.write(fd, data)

    monkeypatch.setattr(posix, "append_all", careless)

    violations = lived_through(Quota).violations

    assert any("acknowledged, and lost" in sentence for sentence in violations)


def test_a_store_that_is_made_anew_where_its_disk_was_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    open_root = Tree._open_root

    def forgetful(self: Tree, path: str) -> object:
        self._identity = None
        return open_root(self, path)

    monkeypatch.setattr(Tree, "_open_root", forgetful)

    with pytest.raises(RuntimeError, match="a child ended with 1"):
        lived_through(RemovedMount)  # there is a store where nothing may be


def test_a_delete_that_is_forgotten_with_the_snapshot_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def forget(core: object) -> None:
        return None

    monkeypatch.setattr(journal, "recall_deletes", forget)

    violations = lived_through(NoPermission).violations

    assert any("lost_session" in sentence for sentence in violations)


def test_the_rights_of_root_are_given_up_where_it_has_them() -> None:
    verdict = lived_through(NoPermission)

    assert verdict.findings["delete: UnavailableError"] == 1
