"""Many at once: of those who asked for the same, exactly one gets it, and nothing is lost.

Each test is run by threads, by tasks, by several handles and by several processes, as far as
the engine's traits and fixtures allow.
"""

from functools import partial
from itertools import chain
from typing import Final

from . import works
from .base import Suite
from .folder import Folder
from .racing import Race

ROUNDS: Final = 20


def _each_once(won: list[list[str]], paths: list[str]) -> None:
    """Fail unless each path was won by exactly one caller."""
    assert sorted(chain.from_iterable(won)) == sorted(paths)


class RaceTests(Suite):
    """Races of threads, tasks, handles and processes."""

    def test_write_race_of_creators_has_one_winner(self, folder: Folder, race: Race) -> None:
        """Of several callers that create a file with `ABSENT` exactly one does."""
        paths = [folder.path(f"a{number}/file") for number in range(ROUNDS)]

        won = race.each(lambda mark: partial(works.create, paths=paths, mark=mark))

        _each_once(won, paths)
        for mark, mine in enumerate(won):
            for path in mine:
                assert folder.do(folder.files.read(path)) == b"%d" % mark

    def test_write_race_of_replacers_has_one_winner(self, folder: Folder, race: Race) -> None:
        """Of several callers that replace one version exactly one does."""
        versions = {}
        for number in range(ROUNDS):
            path = f"file{number}"
            versions[folder.path(path)] = folder.write(path, b"start", durable=False).version

        won = race.each(lambda mark: partial(works.replace, versions=versions, mark=mark))

        _each_once(won, list(versions))
        for mark, mine in enumerate(won):
            for path in mine:
                assert folder.do(folder.files.read(path)) == b"%d" % mark

    def test_write_race_of_counters_counts_every_step(self, folder: Folder, race: Race) -> None:
        """Who reads, writes by version and begins again on a conflict loses no change."""
        path = folder.path("a/count")

        race.each(lambda _: partial(works.count_up, path=path, times=ROUNDS))

        assert folder.read("a/count") == b"%d" % (race.callers * ROUNDS)

    def test_write_race_with_readers_shows_whole_contents(self, folder: Folder, race: Race) -> None:
        """Who reads while others write finds one content or another, never a part."""
        folder.write("file", b"0" * 10_000)
        contents = [b"%d" % (number % 10) * (number % 3 + 1) * 10_000 for number in range(60)]
        whole = {*contents, b"0" * 10_000}
        path = folder.path("file")

        answers = race.run(
            partial(works.write_often, path=path, contents=contents),
            *[partial(works.read_often, path=path, times=200)] * (race.callers - 1),
        )

        assert all(found in whole for found in chain(*answers[1:])), "a part of a content"

    def test_append_race_at_one_size_has_one_winner(self, folder: Folder, race: Race) -> None:
        """Of several callers that append at one size exactly one does."""
        paths = [folder.path(f"a{number // 2}/log{number}") for number in range(ROUNDS)]

        won = race.each(lambda mark: partial(works.claim, paths=paths, mark=mark))

        _each_once(won, paths)
        for mark, mine in enumerate(won):
            for path in mine:
                assert folder.do(folder.files.read(path)) == b"%d" % mark

    def test_append_race_loses_nothing(self, folder: Folder, race: Race) -> None:
        """Of several callers that append without a size all do, each where it was told."""
        path = folder.path("a/log")

        done = race.each(lambda n: partial(works.append_lines, path=path, mark=n, count=50))

        works.check_appended(folder.read("a/log"), done, count=50)

    def test_append_race_by_size_loses_nothing(self, folder: Folder, race: Race) -> None:
        """Who appends at the size it knows, on a conflict at the size found, does so once."""
        path = folder.path("a/log")

        done = race.each(lambda n: partial(works.append_at_size, path=path, mark=n, count=30))

        works.check_appended(folder.read("a/log"), done, count=30)

    def test_append_race_with_readers_shows_a_prefix(self, folder: Folder, race: Race) -> None:
        """Who reads while others append finds a beginning of what is there in the end."""
        path = folder.path("a/log")

        _, *readings = race.run(
            partial(works.append_lines, path=path, mark=0, count=100),
            *[partial(works.read_often, path=path, times=100)] * (race.callers - 1),
        )

        content = folder.read("a/log")
        for found in readings:
            assert all(content.startswith(part) for part in found)
            assert [len(part) for part in found] == sorted(len(part) for part in found)

    def test_append_race_with_a_replacer_loses_nothing(self, folder: Folder, race: Race) -> None:
        """A write by version and an append exclude each other: one of them sees the other."""
        for number in range(ROUNDS):
            path = folder.path(f"file{number}")
            version = folder.write(f"file{number}", b"0", durable=False).version

            # One file at a time: whoever is quicker would never meet the other again.
            replaced, _ = race.run(
                partial(works.replace, versions={path: version}, mark=77),
                partial(works.append_each, paths=[path], data=b"+"),
            )

            assert folder.read(f"file{number}") == (b"77+" if replaced else b"0+")

    def test_delete_race_with_an_append_keeps_or_removes_it(
        self, folder: Folder, race: Race
    ) -> None:
        """An append beside a `delete` went with the file or made a new one, and says which."""
        for number in range(ROUNDS):
            path = folder.path(f"log{number}")
            folder.append(f"log{number}", b"1")

            _, [size] = race.run(
                partial(works.delete_each, paths=[path]),
                partial(works.append_each, paths=[path], data=b"23"),
            )

            assert size in {2, 3}
            left = folder.exists(f"log{number}")
            assert left == (size == 2), "an acknowledged append is lost, or a deleted file is back"
            if left:
                assert folder.read(f"log{number}") == b"23"

    def test_delete_race_by_version_removes_no_news(self, folder: Folder, race: Race) -> None:
        """A `delete` by version beside an append removes only what its caller has seen."""
        for number in range(ROUNDS):
            path = folder.path(f"file{number}")
            version = folder.write(f"file{number}", b"1", durable=False).version

            removed, [size] = race.run(
                partial(works.remove, versions={path: version}),
                partial(works.append_each, paths=[path], data=b"23"),
            )

            expected = (2, b"23") if removed else (3, b"123")
            assert (size, folder.read(f"file{number}")) == expected

    def test_delete_tree_race_with_writers_leaves_whole_files(
        self, folder: Folder, race: Race
    ) -> None:
        """What is made while its folder is removed is there as a whole, or not at all."""
        folder.fill(f"a/b/old{number}" for number in range(ROUNDS))
        paths = [folder.path(f"a/b/new{number}") for number in range(ROUNDS)]

        race.run(
            partial(works.delete_trees, path=folder.path("a"), times=ROUNDS),
            partial(works.write_each, paths=paths, data=b"whole"),
        )

        left = {name: data for name, data in folder.tree().items() if data is not None}
        assert set(left.values()) <= {b"whole"}
        assert not [name for name in left if "old" in name]
        folder.delete_tree("a")
        assert folder.names() == []

    def test_list_race_gives_what_stays_exactly_once(self, folder: Folder, race: Race) -> None:
        """While others make and delete files, each name that stays is listed exactly once."""
        stays = [f"stays{number}" for number in range(15)]
        folder.fill(f"a/{name}" for name in stays)
        comes = [folder.path(f"a/{first}{number}") for number in range(10) for first in "0mz"]

        _, listings = race.run(
            partial(works.fill, paths=comes),
            partial(works.list_often, path=folder.path("a"), limit=4, times=10),
        )
        race.run(
            partial(works.delete_each, paths=comes),
            partial(works.list_often, path=folder.path("a"), limit=4, times=10),
        )

        for names in listings:
            assert sorted(name for name in names if name in stays) == sorted(stays)
            assert len(names) == len(set(names))
        assert sorted(folder.names("a")) == sorted(stays)
