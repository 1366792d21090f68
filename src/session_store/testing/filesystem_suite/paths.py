"""Names that lead elsewhere, and names that only look odd."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import pytest

from session_store.errors import InvalidIdError

from .base import Suite
from .folder import Folder

BAD_COMPONENTS: Final = {
    "nothing": "",
    "here": ".",
    "above": "..",
    "NUL": "a\0b",
    "only NUL": "\0",
    "a lone surrogate": "\ud800",
    "a lone low surrogate": "a\udfff",
    "256 bytes": "x" * 256,
    "256 bytes of 2": "é" * 128,
}

ODD_NAMES: Final = (
    *("-rf", "--", "~", "*", "?", "[a]", "$HOME", "%2e%2e", "%", "#", "&", "a;b", "a|b", "'", '"'),
    *("`a`", "a:b", "C:", "a\\b", "\\", "web user Ünï", "a b", " a", "a ", " ", "a.", "...", ".a"),
    *("CON", "nul.txt", "aux", "LPT1", "index.html", "a+b@c=d", "!", "{}", "<a>", "a,b"),
    *("a\nb", "a\tb", "a\rb", "\x01", "\x7f", "\x85", "\ufeff", "\ufffd", "\u2028", "\xad"),
    *("\u202egnp.exe", "\u200b", "日本語", "🗄️", "👩‍👩‍👧", "\U0010fffd", "0", "None", "null"),
    *("x" * 255, "é" * 127, "日" * 85, "🗄" * 63, "." * 255),
)

DEPTH: Final = 30

Call = Callable[[str], object]


def reading_verbs(root: Folder) -> dict[str, Call]:
    """Return the verbs that harm nothing, even where no path is checked."""
    return {
        "stat": root.stat,
        "exists": root.exists,
        "read": root.read,
        "sync": root.sync,
    }


def folder_verbs(root: Folder) -> dict[str, Call]:
    """Return the verbs that take a folder, for which `""` is the root."""
    return {"list": root.page, "mkdir": root.mkdir}


def changing_verbs(root: Folder) -> dict[str, Call]:
    """Return the verbs that could do harm: only for paths that stay within a test's folder."""
    return {
        "write": lambda path: root.write(path, b"bad"),
        "write durable=False": lambda path: root.write(path, b"bad", durable=False),
        "write by version": lambda path: root.write(path, b"bad", if_version="made up"),
        "append": lambda path: root.append(path, b"bad"),
        "append by size": lambda path: root.append(path, b"bad", if_size=7),
        "delete": root.delete,
        "delete_tree": root.delete_tree,
    }


def bad_paths(folder: Folder) -> Iterator[str]:
    """Yield paths with a bad component at each place; all stay within the folder."""
    for bad in BAD_COMPONENTS.values():
        yield folder.path("a") + f"/{bad}"
        yield folder.path("a") + f"/{bad}/none"
        if bad != "..":
            yield f"{folder.name}/{bad}/none"
            yield f"{bad}/{folder.name}-none"
    yield f"/{folder.name}-none"
    yield f"{folder.name}/"


def _refused(verbs: dict[str, Call], paths: Iterable[str]) -> None:
    for path in paths:
        for verb, call in verbs.items():
            try:
                answer = call(path)
            except InvalidIdError:
                continue
            pytest.fail(f"{verb} of {path[:80]!r} is not refused, it returns {answer!r}")


class PathTests(Suite):
    """Paths that lead elsewhere, and names that only look odd."""

    def test_path_that_leads_elsewhere_is_refused(self, folder: Folder) -> None:
        """Empty, `.`, `..`, NUL, no UTF-8, more than 255 bytes: `InvalidIdError`."""
        folder.append("a/file", b"1")
        root = Folder(folder.files, "", self._runner)
        outside = ("/", "..", "../a", "a/..", "a/../../b", "//a", ".", "./a", "/etc/passwd")

        _refused(reading_verbs(root), ["", *outside, *BAD_COMPONENTS.values(), *bad_paths(folder)])
        _refused(folder_verbs(root), [*outside, *filter(None, BAD_COMPONENTS.values())])
        _refused(folder_verbs(root), bad_paths(folder))
        _refused(changing_verbs(root), bad_paths(folder))
        # The root itself is no file, and is not removed.
        _refused(changing_verbs(root), [""])

    def test_path_that_is_refused_touches_nothing(self, folder: Folder) -> None:
        """A refused path makes, changes and removes nothing, not even the folders before it."""
        folder.append("a/file", b"1")
        version = folder.stat("a/file").version
        root = Folder(folder.files, "", self._runner)

        for path in (f"{folder.name}/new/{bad}" for bad in BAD_COMPONENTS.values()):
            for call in (changing_verbs(root) | folder_verbs(root)).values():
                with pytest.raises(InvalidIdError):
                    call(path)

        assert folder.tree() == {"a/": None, "a/file": b"1"}
        assert folder.stat("a/file").version == version

    def test_path_components_are_kept_as_they_are(self, folder: Folder) -> None:
        """Every other name is a file like any other, and is listed as it was given."""
        for name in ODD_NAMES:
            folder.write(name, name.encode(), durable=False)
            assert folder.append(name, b"+") == len(name.encode()) + 1

        assert sorted(folder.names(limit=7)) == sorted(ODD_NAMES)
        for name in ODD_NAMES:
            assert folder.read(name) == name.encode() + b"+"
            folder.delete(name)
        assert folder.names() == []

    def test_path_components_may_name_folders(self, folder: Folder) -> None:
        """Every other name may be that of a folder too, and goes with `delete_tree`."""
        folder.fill(f"{name}/file" for name in ODD_NAMES)

        assert sorted(folder.names(limit=7)) == sorted(f"{name}/" for name in ODD_NAMES)
        for name in ODD_NAMES:
            assert folder.names(name) == ["file"]
            folder.delete_tree(name)
        assert folder.names() == []

    @pytest.mark.parametrize(
        ("one", "two"),
        [("name", "NAME"), ("\u00e9", "e\u0301"), ("ß", "SS"), ("ﬁ", "fi"), ("İ", "i"), ("Å", "Å")],
        ids=["case", "accents", "sharp s", "ligatures", "dotless", "signs"],
    )
    def test_path_components_are_not_folded(self, folder: Folder, one: str, two: str) -> None:
        """Names that differ in case or Unicode form are two files, or one is refused."""
        folder.write(one, b"1")

        try:
            folder.write(two, b"2")
        except InvalidIdError:
            assert folder.tree() == {one: b"1"}
        else:
            assert folder.tree() == {one: b"1", two: b"2"}

    def test_path_may_be_deep(self, folder: Folder) -> None:
        """A path may have thirty components."""
        deep = "/".join(f"d{number}" for number in range(DEPTH))

        folder.append(f"{deep}/file", b"1")

        assert folder.read(f"{deep}/file") == b"1"
        assert folder.names(deep) == ["file"]
        assert folder.names("/".join(deep.split("/")[:-1])) == [f"d{DEPTH - 1}/"]
        folder.delete_tree("d0")
        assert folder.names() == []
