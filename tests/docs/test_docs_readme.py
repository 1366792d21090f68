"""`README.md` names what is there: every call of the original, and what it is here."""

import re

from docs_kit import ROOT

import session_store
from session_store import SessionStore

README = (ROOT / "README.md").read_text("utf-8")

# The public calls of the original.
STORE = """
    init flush getIndex resolve append getMessages getLinearHistory getMetadata getMetadataByKey
    getSessionId getSessionKeys hasSession hasKey deleteSession resetSession getAllSessionIds
    getAllKeys createBranch getBranches getBranch switchToBranch getChildren hasChildren getTree
    acquireLock releaseLock isLocked getLock withLock
"""
INDEX = """
    load save saveNow getSessionId getMetadata getAllSessions getMetadataByKey hasKey hasSession
    registerSession updateMetadata deleteSession deleteSessionByKey addKey removeKey
    getSessionKeys getAllSessionIds getAllKeys getRawIndex clear
"""
LOCKS = "acquire release isLocked getLock forceRelease cleanup getAllLocks clearAll"
FILE = "append appendMany readAll readStream writeAll exists delete size"
FILES = "read write append exists delete list mkdir stat"
MANAGER = "checkAndReset getConfig updateConfig"


def rows() -> list[tuple[list[str], list[str]]]:
    """Return, for each line of the table, the names there and the names here."""
    table = README.partition("| original | here | |")[2].partition("\n\n")[0]
    cells = [line.split("|")[1:3] for line in table.splitlines()[2:]]
    return [
        (re.findall("`([^`]+)`", there), re.findall("`([^`]+)`", here)) for there, here in cells
    ]


def test_every_call_of_the_original_is_in_the_table() -> None:
    named = {name for there, _ in rows() for name in there}
    calls = {"store": STORE, "index": INDEX, "locks": LOCKS, "file": FILE, "fs": FILES}
    calls["manager"] = MANAGER
    original = {f"{what}.{name}" for what, names in calls.items() for name in names.split()}

    assert original - named == set()


def test_every_name_in_the_table_is_there() -> None:
    here = [name.partition("(")[0] for _, names in rows() for name in names]

    assert len(here) > 60
    for name in here:
        found = session_store
        for part in name.split("."):
            found = getattr(found, part)
        assert callable(found), name


def test_no_call_is_named_that_the_store_does_not_have() -> None:
    prose = README.partition("## Coming from")[0]

    for name in re.findall(r"`(?:store|chat)\.(\w+)\(", prose):
        assert hasattr(SessionStore, name) or hasattr(session_store.Session, name), name


def test_the_first_screen_says_how_to_begin() -> None:
    first = "\n".join(README.splitlines()[:60])

    for words in (
        "async with SessionStore.open",
        "with SessionStore.open",
        "pip install .",
        "make demo",
        "make test",
    ):
        assert words in first
