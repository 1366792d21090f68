"""Stores are copied between engines: byte for byte, also after a kill, also damaged ones."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from session_store.cli.app import run
from session_store.copying import copy_store, verify_copy
from session_store.copying.copy import _opened
from session_store.errors import ConfigError, ConflictError, SessionStoreError
from session_store.files import RealFileSystem
from session_store.sync import SessionStore

ORIGINAL = Path(__file__).parents[1] / "original" / "fixture" / "sessions"


@pytest.fixture
def fill(tmp_path: Path) -> Callable[[str], str]:
    def fill(url: str) -> str:
        with SessionStore.open(url) as store:
            chat = store.session("telegram:1")
            for number in range(30):
                chat.append("user", f"question {number}")
            other = chat.append("assistant", "ü 🗝️ \0", metadata={"a": [1, None]})
            chat.create_branch("small", other)
            chat.append("user", "more")
            store.add_key("second \0 key", chat.id)
            store.update_metadata(chat.id, {"user_id": "u\0", "metadata": {"team": "blue"}})
            for number in range(20):
                store.session(f"k{number}").append_many(
                    [{"role": "user", "content": f"{n} " * 200} for n in range(1 + number * 7)]
                )
            store.session("empty")
        return url

    return fill


KINDS = ["folder", "sqlite", "postgres", "redis"]
PAIRS = [(a, b) for a in KINDS for b in KINDS if a != b or a == "folder"]


@pytest.mark.parametrize(
    ("one", "other"), [*PAIRS, ("folder", "s3"), ("s3", "postgres"), ("redis", "s3")]
)
async def test_a_copy_is_what_it_was_made_of(
    one: str, other: str, places: Callable[[str], str], fill: Callable[[str], str]
) -> None:
    source, target = fill(places(one)), places(other)
    told: list[int] = []

    done = await copy_store(source, target, progress=told.append)

    assert done.sessions == 22
    assert sum(told) == done.bytes > 0
    assert await verify_copy(source, target) == []
    with SessionStore.open(target) as store:
        chat = store.session("telegram:1")
        assert len(chat.messages()) == 32
        assert [branch.name for branch in chat.branches()] == ["small"]
        assert sorted(store.get_session_keys(chat.id)) == ["second \0 key", "telegram:1"]
        metadata = store.get_metadata(chat.id)
        assert metadata is not None
        assert (metadata.user_id, metadata.metadata) == ("u\0", {"team": "blue"})
        assert store.check().findings == []
        chat.append("user", "it goes on")


async def test_damage_is_copied_as_it_is(
    places: Callable[[str], str], fill: Callable[[str], str]
) -> None:
    source, target = fill(places("folder")), places("sqlite")
    log = next(path for path in Path(source).glob("*/messages.jsonl") if path.stat().st_size > 3000)
    data = log.read_bytes()
    log.write_bytes(data[:700] + b"\x00\xff" + data[702:] + b'{"torn":')

    await copy_store(source, target)

    assert await verify_copy(source, target) == []
    await copy_store(target, again := places("folder"))
    assert (Path(again) / log.parent.name / log.name).read_bytes() == log.read_bytes()


async def test_a_target_with_sessions_is_refused_unless_to_resume(
    places: Callable[[str], str], fill: Callable[[str], str]
) -> None:
    source, target = fill(places("folder")), places("sqlite")
    await copy_store(source, target)
    with SessionStore.open(source) as store:
        store.session("telegram:1").append("user", "since")
        store.session("new").append("user", "since")

    with pytest.raises(ConfigError, match="--resume"):
        await copy_store(source, target)
    assert len(await verify_copy(source, target)) == 3
    done = await copy_store(source, target, resume=True)

    assert 0 < done.bytes < 1_000
    assert await verify_copy(source, target) == []


async def test_a_target_that_went_its_own_way_is_no_copy(
    places: Callable[[str], str], fill: Callable[[str], str]
) -> None:
    source, target = fill(places("folder")), places("sqlite")
    await copy_store(source, target)
    with SessionStore.open(source) as ours, SessionStore.open(target) as theirs:
        ours.session("telegram:1").append("user", "one way")
        theirs.session("telegram:1").append("user", "the other way, and longer")

    with pytest.raises(ConflictError):
        await copy_store(source, target, resume=True)


async def test_one_flipped_byte_is_found(
    places: Callable[[str], str], fill: Callable[[str], str]
) -> None:
    source, target = fill(places("sqlite")), places("folder")
    await copy_store(source, target)
    log = next(path for path in Path(target).glob("*/messages.jsonl") if path.stat().st_size > 3000)
    data = bytearray(log.read_bytes())
    data[1_234] ^= 1
    log.write_bytes(data)

    [found] = await verify_copy(source, target)

    assert found.path == f"{log.parent.name}/messages.jsonl"
    assert found.what == "byte 1234 differs"


@pytest.mark.parametrize("kind", ["folder", "sqlite", "postgres", "redis"])
def test_a_copy_that_is_killed_goes_on(
    kind: str, places: Callable[[str], str], tmp_path: Path
) -> None:
    source, target = places("folder"), places(kind)
    with SessionStore.open(source, durability="os") as store:
        for number in range(80):
            some = [{"role": "user", "content": f"{n} " * 400} for n in range(40)]
            store.session(f"k{number}").append_many(some)
    command = [sys.executable, "-m", "session_store.cli", "copy", source, target, "--resume"]

    for round_ in range(3):
        before = _sessions(target) if round_ else 0
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            while process.poll() is None and _sessions(target) <= before + 10:
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
    done = subprocess.run(
        [*command, "--verify", "--json"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(done.stdout)
    assert (answer["sessions"], answer["differences"]) == (80, [])
    assert answer["bytes"] < 80 * 40 * 1_000, "nothing was there already"


def _sessions(url: str) -> int:
    try:
        with SessionStore.open(url) as store:
            return len(store.get_all_session_ids())
    except SessionStoreError:
        return 0


async def test_a_folder_of_the_original_is_copied(
    places: Callable[[str], str], tmp_path: Path
) -> None:
    source = tmp_path / "original"
    shutil.copytree(ORIGINAL, source)
    target = places("sqlite")

    done = await copy_store(str(source), target)

    assert done.sessions > 0
    left_out = {one.path for one in done.left_out}
    left = [one for one in await verify_copy(str(source), target) if one.path not in left_out]
    assert left == []


async def test_fields_of_a_newer_version_come_along(
    places: Callable[[str], str], fill: Callable[[str], str]
) -> None:
    source, between, target = fill(places("folder")), places("sqlite"), places("folder")
    async with _opened(source) as ours:
        for session_id in await ours.index.all_ids():
            await ours.index.update(session_id, {"mood": {"of": [session_id]}})
    await copy_store(source, between)

    await copy_store(between, target)

    assert await verify_copy(source, target) == []
    async with _opened(target) as theirs:
        for session_id in await theirs.index.all_ids():
            fields = await theirs.index.fields(session_id)
            assert fields is not None
            assert fields["mood"] == {"of": [session_id]}
        [one, *_] = await theirs.index.all_ids()
        await theirs.index.update(one, {"mood": None})
    [found] = await verify_copy(source, target)
    assert found.path == one
    assert found.what.startswith("mood is None, not {")


@pytest.mark.parametrize("kind", ["folder", "sqlite"])
async def test_what_the_target_has_of_its_own_is_not_overwritten_in_silence(
    kind: str, places: Callable[[str], str], fill: Callable[[str], str]
) -> None:
    source, target = fill(places("folder")), places(kind)
    await copy_store(source, target)
    with SessionStore.open(target) as theirs:
        changed = theirs.session("k1").id
        theirs.update_metadata(changed, {"user_id": "of the target"})
        moved, own = theirs.session("k2").id, theirs.session("own").id
        theirs.add_key("k2", own)

    done = await copy_store(source, target, resume=True)

    assert [(one.path, one.what) for one in done.replaced] == [(changed, "userId")]
    assert [one.path for one in done.left_out] == [moved]
    assert "the key 'k2'" in done.left_out[0].what
    with SessionStore.open(target) as theirs:
        assert theirs.get_session_id("k2") == own


async def test_what_was_deleted_in_the_target_ends_no_copy(
    places: Callable[[str], str], fill: Callable[[str], str]
) -> None:
    source, target = fill(places("folder")), places("sqlite")
    await copy_store(source, target)
    with SessionStore.open(target) as theirs, SessionStore.open(source) as ours:
        deleted = theirs.session("k1").id
        theirs.delete_session(deleted)
        ours.session("k2").append("user", "since")

    done = await copy_store(source, target, resume=True)

    assert [(one.path, one.what) for one in done.left_out] == [
        (deleted, "it was deleted in the target")
    ]
    assert done.sessions == 21
    assert {one.path.partition("/")[0] for one in await verify_copy(source, target)} == {deleted}


@pytest.mark.parametrize("kind", ["folder", "sqlite"])
async def test_of_what_is_deleted_during_the_copy_nothing_is_left(
    kind: str, places: Callable[[str], str], fill: Callable[[str], str]
) -> None:
    source, target = fill(places(kind)), places("sqlite")
    with SessionStore.open(source) as ours:
        ids = ours.get_all_session_ids()

        def progress(_: int) -> None:
            while ids:
                ours.delete_session(ids.pop())

        await copy_store(source, target, progress=progress)

    assert await verify_copy(source, target) == []
    async with _opened(target) as theirs:
        assert (await theirs.files.list("")).names == []


async def test_a_session_that_the_index_has_lost_is_told(
    places: Callable[[str], str], fill: Callable[[str], str]
) -> None:
    source, other, target = fill(places("folder")), fill(places("folder")), places("sqlite")
    lost = next(Path(other).glob("*/messages.jsonl")).parent
    shutil.copytree(lost, Path(source) / lost.name)

    done = await copy_store(source, target)

    assert [one.path for one in done.left_out] == [lost.name]
    assert "--repair-index" in done.left_out[0].what


async def test_what_a_killed_copy_has_left_is_synced_by_the_next(
    places: Callable[[str], str], fill: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = fill(places("folder")), places("folder")
    await copy_store(source, target)
    synced: list[str] = []
    sync = RealFileSystem.sync

    async def watched(files: RealFileSystem, path: str) -> None:
        synced.append(path)
        await sync(files, path)

    monkeypatch.setattr(RealFileSystem, "sync", watched)
    await copy_store(source, target, resume=True)

    logs = {f"{path.parent.name}/{path.name}" for path in Path(target).glob("*/*s.jsonl")}
    assert logs <= set(synced)


async def test_a_long_line_is_shown_by_the_view_of_a_copy(places: Callable[[str], str]) -> None:
    source, target = places("folder"), places("sqlite")
    texts = ["a" * 3_000_000, "b", "c" * 1_048_000, "d" * 5_000_000]
    with SessionStore.open(source) as store:
        chat = store.session("k")
        for text in texts:
            chat.append("user", text)

    await copy_store(source, target)

    database = apsw.Connection(target.removeprefix("sqlite:///"))
    rows = database.execute("SELECT text FROM messages ORDER BY position").fetchall()
    assert [text for (text,) in rows] == texts


async def test_memory_is_no_place_to_copy_to(
    places: Callable[[str], str], fill: Callable[[str], str]
) -> None:
    with pytest.raises(ConfigError, match="ends with the copy"):
        await copy_store(fill(places("folder")), "memory:")


def test_the_command_says_what_it_did(
    places: Callable[[str], str], fill: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = fill(places("folder")), places("sqlite")

    assert run(["copy", source, target, "--verify"]) == 0
    said = capsys.readouterr().out
    assert run(["copy", source, target]) == 2
    refused = capsys.readouterr().err
    assert run(["copy", f"{source}-missing", target]) == 3
    assert not os.path.exists(f"{source}-missing")

    assert said.startswith("copied 22 sessions, ")
    assert said.strip().endswith("and every byte compared")
    assert "--resume" in refused
