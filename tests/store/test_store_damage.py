"""Nothing damaged bricks a session: everything else stays readable and can be written to."""

import json
from pathlib import Path

import pytest

from session_store import CheckReport, CorruptionError
from session_store.sync import SessionStore

LOG = "messages.jsonl"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "sessions"


@pytest.fixture
def log(root: Path) -> Path:
    """The log of a session of five messages."""
    with SessionStore.open(root, durability="os") as store:
        chat = store.session("k")
        for n in range(5):
            chat.append("user", f"m{n}")
        return root / chat.id / LOG


def contents(root: Path) -> list[object]:
    with SessionStore.open(root, durability="os") as store:
        return [message.content for message in store.session("k").messages()]


def check(root: Path) -> CheckReport:
    with SessionStore.open(root, durability="os") as store:
        return store.check()


def codes(root: Path) -> list[str]:
    return [finding.code for finding in check(root).findings]


def test_a_healthy_folder_has_no_findings(root: Path, log: Path) -> None:
    report = check(root)

    assert report.findings == []
    assert (report.ok, report.sessions, report.messages) == (True, 1, 5)
    assert report.bytes == log.stat().st_size
    assert report.unverified == 0


def test_a_log_cut_at_any_byte_opens_and_takes_the_next_message(root: Path, log: Path) -> None:
    whole = log.read_bytes()
    for size in range(len(whole) + 1):
        log.write_bytes(whole[:size])
        kept = whole[:size].count(b"\n")

        with SessionStore.open(root, durability="os") as store:
            chat = store.session("k")
            before = [message.content for message in chat.messages()]
            after = chat.append("user", "next")
            again = [message.content for message in chat.messages()]

            assert before == [f"m{n}" for n in range(kept)]
            assert again == [*before, "next"]
            assert after.parent_id == (chat.messages()[-2].id if kept else None)
        assert log.read_bytes().startswith(whole[:size])


@pytest.mark.parametrize("line", range(5))
def test_a_flipped_bit_costs_one_message_and_is_named(root: Path, log: Path, line: int) -> None:
    lines = log.read_bytes().splitlines(keepends=True)
    flipped = lines[line].replace(f'"m{line}"'.encode(), f'"n{line}"'.encode())
    offset = sum(map(len, lines[:line]))
    log.write_bytes(b"".join([*lines[:line], flipped, *lines[line + 1 :]]))

    assert contents(root) == [f"m{n}" for n in range(5) if n != line]
    [damage] = [f for f in check(root).findings if f.code == "damaged_line"]
    assert (damage.severity, damage.offset, damage.length) == ("error", offset, len(flipped) - 1)
    assert damage.path == f"{log.parent.name}/{LOG}"
    assert not check(root).ok
    assert log.read_bytes().count(b"\n") == 5, "nothing is deleted to repair it"


def test_zeroed_blocks_in_the_middle_cost_what_they_hit(root: Path, log: Path) -> None:
    data = bytearray(log.read_bytes())
    second = data.index(b"\n") + 1
    data[second : second + 20] = bytes(20)
    log.write_bytes(bytes(data))

    assert contents(root) == ["m0", "m2", "m3", "m4"]
    assert {"nul_run", "damaged_line"} <= set(codes(root))


def test_a_message_whose_parent_is_damaged_becomes_a_root(root: Path, log: Path) -> None:
    log.write_bytes(log.read_bytes().replace(b'"m2"', b'"xx"'))

    with SessionStore.open(root, durability="os") as store:
        chat = store.session("k")
        roots = [message.content for message in chat.children(None)]
        history = [message.content for message in chat.history()]

    assert roots == ["m0", "m3"]
    assert history == ["m3", "m4"]
    assert "missing_parent" in codes(root)


def test_a_nul_tail_is_sealed_by_the_next_append(root: Path, log: Path) -> None:
    with log.open("ab") as file:
        file.write(bytes(500))
    assert codes(root) == ["torn_tail"]

    with SessionStore.open(root, durability="os") as store:
        store.session("k").append("user", "next")

    assert contents(root)[-2:] == ["m4", "next"]
    assert codes(root) == ["sealed_tail"]
    assert check(root).ok


def test_a_whole_line_without_its_line_feed_was_never_answered_and_stays_void(
    root: Path, log: Path
) -> None:
    whole = log.read_bytes()
    log.write_bytes(whole[:-1])

    with SessionStore.open(root, durability="os") as store:
        store.session("k").append("user", "next")

    assert contents(root) == ["m0", "m1", "m2", "m3", "next"]


def test_a_torn_batch_is_hidden_and_the_dialogue_goes_on(root: Path, log: Path) -> None:
    with SessionStore.open(root, durability="os") as store:
        store.session("k").append_many([{"role": "user", "content": f"b{n}"} for n in range(3)])
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-1]))

    assert contents(root)[-1] == "m4"
    assert "pending_batch" in codes(root)
    with SessionStore.open(root, durability="os") as store:
        store.session("k").append("user", "next")
    assert contents(root) == ["m0", "m1", "m2", "m3", "m4", "next"]
    assert "torn_batch" in codes(root)


def test_damage_in_branches_costs_the_branch_alone(root: Path, log: Path) -> None:
    with SessionStore.open(root, durability="os") as store:
        chat = store.session("k")
        chat.create_branch("a")
        chat.create_branch("b")
    branches = log.with_name("branches.jsonl")
    lines = branches.read_bytes().splitlines(keepends=True)
    branches.write_bytes(lines[0].replace(b'"a"', b'"x"') + lines[1] + b'{"torn')

    with SessionStore.open(root, durability="os") as store:
        chat = store.session("k")
        assert [branch.name for branch in chat.branches()] == ["b"]
        chat.create_branch("c")
        assert [branch.name for branch in chat.branches()] == ["b", "c"]
    assert "damaged_line" in codes(root)


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"{", b"[]", b'"x"', b'{"keys": 5}'])
def test_a_damaged_index_is_rebuilt_and_loses_nothing(
    root: Path, log: Path, content: bytes
) -> None:
    (root / "sessions.json").write_bytes(content)

    assert contents(root) == [f"m{n}" for n in range(5)]
    kept = list(root.glob("sessions.json.damaged-*"))
    assert [path.read_bytes() for path in kept] == [content]


def test_a_lost_index_is_rebuilt_from_the_folders(root: Path, log: Path) -> None:
    for path in root.glob("sessions*"):
        path.unlink()

    assert contents(root) == [f"m{n}" for n in range(5)]
    with SessionStore.open(root, durability="os") as store:
        metadata = store.get_metadata_by_key("k")
    assert metadata is not None
    assert metadata.message_count == 5


def test_an_index_from_the_future_is_refused_and_left_alone(root: Path, log: Path) -> None:
    index = json.loads((root / "sessions.json").read_bytes())
    index["journal"]["format"] = 99
    future = json.dumps(index).encode()
    (root / "sessions.json").write_bytes(future)

    with pytest.raises(ValueError, match="newer"):
        SessionStore.open(root).session("k")

    assert (root / "sessions.json").read_bytes() == future


def test_a_session_the_index_does_not_know_is_found_and_repaired(
    root: Path, log: Path, tmp_path: Path
) -> None:
    with SessionStore.open(tmp_path / "other", durability="os") as other:
        chat = other.session("elsewhere")
        chat.append("user", "hello")
        stray = chat.id
    (tmp_path / "other" / stray).rename(root / stray)

    assert codes(root) == ["lost_session"]
    with SessionStore.open(root, durability="os") as store:
        report = store.check(repair_index=True)
        found = store.get_messages(store.resolve("elsewhere"))
    assert report.ok
    assert [message.content for message in found] == ["hello"]


def test_the_count_is_exact_even_if_the_index_is_behind(root: Path, log: Path) -> None:
    snapshot = (root / "sessions.json").read_bytes()
    journals = {path: path.read_bytes() for path in root.glob("sessions.*.jsonl")}
    with SessionStore.open(root, durability="os") as store:
        store.session("k").append("user", "more")
    (root / "sessions.json").write_bytes(snapshot)
    for path, data in journals.items():
        path.write_bytes(data)

    with SessionStore.open(root, durability="os") as store:
        metadata = store.session("k").metadata()

    assert metadata is not None
    assert metadata.message_count == 6


@pytest.mark.parametrize(
    "lock", [b"", b"\0\0", b"{", b"[]", b'{"owner": 5}', b'{"owner":"x","epoch":"y"}']
)
def test_an_unreadable_lock_is_no_lock(root: Path, log: Path, lock: bytes) -> None:
    log.with_name("lock.json").write_bytes(lock)

    with SessionStore.open(root, durability="os") as store:
        chat = store.session("k")
        assert not store.is_locked(chat.id)
        with chat.lock(timeout_ms=5_000):
            chat.append("user", "next")
    assert contents(root)[-1] == "next"


def test_a_log_cut_between_two_lines_is_known_by_what_the_index_remembers(
    root: Path, log: Path
) -> None:
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:3]))

    short = [finding for finding in check(root).findings if finding.code == "log_short"]

    assert [(one.path, one.offset) for one in short] == [
        (f"{log.parent.name}/{LOG}", len(b"".join(lines[:3])))
    ]
    assert contents(root) == ["m0", "m1", "m2"]


def test_a_log_that_ends_otherwise_than_the_index_remembers_is_reported(
    root: Path, log: Path
) -> None:
    whole = log.read_bytes()
    other = whole.splitlines(keepends=True)
    log.write_bytes(b"".join([*other[:3], other[4], other[3]]))

    found = codes(root)

    assert "stale_count" in found
    assert "log_short" not in found


@pytest.fixture
def unregistered(root: Path) -> tuple[str, str]:
    """Two sessions of a store that never closed; the first one's registration is damaged."""
    store = SessionStore.open(root)
    first, second = store.session("first"), store.session("second")
    first.append("user", "one")
    second.append("user", "two")
    journal = root / "sessions.1.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    at = next(n for n, line in enumerate(lines) if b'"first"' in line)
    lines[at] = lines[at].replace(b"register", b"regisXer")
    journal.write_bytes(b"".join(lines))
    return first.id, second.id


def test_a_session_whose_registration_is_damaged_is_found_by_its_folder(
    root: Path, unregistered: tuple[str, str]
) -> None:
    with SessionStore.open(root) as store, SessionStore.open(root) as other:
        found = {finding.code for finding in store.check().findings}
        ids = tuple(store.session(key).id for key in ("first", "second"))
        store.session("first").append("user", "more")
        others = [message.content for message in other.session("first").messages()]

    assert {"damaged_line", "session_found"} <= found
    assert ids == unregistered
    assert others == ["one", "more"]
    # The snapshot that closing wrote has it: nobody needs the damaged line any more.
    index = json.loads((root / "sessions.json").read_text())
    assert index["keys"] == {"first": ids[0], "second": ids[1]}


def test_what_was_deleted_is_not_found_again_behind_a_damaged_line(
    root: Path, unregistered: tuple[str, str]
) -> None:
    second = unregistered[1]
    with SessionStore.open(root) as store:
        kept = (root / second / LOG).read_bytes()
        store.delete_session(second)
    # As a delete leaves it that was cut off behind its record.
    (root / second).mkdir()
    (root / second / LOG).write_bytes(kept)

    with SessionStore.open(root) as store:
        assert not store.has_session(second)
        assert store.has_session(unregistered[0])


def test_a_line_damaged_under_a_store_that_knows_its_place_is_told_of_once(root: Path) -> None:
    with SessionStore.open(root, durability="os") as store:
        chat = store.session("k")
        # too long for all of them to be kept since the opening
        said = [chat.append("user", f"{n} " + "x" * 500) for n in range(300)]
    with SessionStore.open(root, durability="os") as store:
        assert store.get_message(chat.id, said[5].id) == said[5]
        path = root / chat.id / LOG
        data = path.read_bytes()
        line = data.index(b'{"id":"%s"' % said[3].id.encode())
        path.write_bytes(data[:line] + b"?" + data[line + 1 :])

        with pytest.raises(CorruptionError) as told:
            store.get_message(chat.id, said[3].id)

        assert told.value.offset == line
        assert store.get_message(chat.id, said[3].id) is None
        assert store.get_message(chat.id, said[4].id) == said[4]


def test_a_line_behind_a_hole_is_found_by_its_place(root: Path) -> None:
    with SessionStore.open(root, durability="os") as store:
        chat = store.session("k")
        said = [chat.append("user", f"{n} " + "x" * 500) for n in range(300)]
    path = root / chat.id / LOG
    data = path.read_bytes()
    hole, line = (data.index(b'{"id":"%s"' % said[n].id.encode()) for n in (3, 4))
    path.write_bytes(data[:hole] + bytes(line - hole) + data[line:])

    with SessionStore.open(root, durability="os") as store:
        assert store.get_message(chat.id, said[5].id) == said[5]
        assert store.get_message(chat.id, said[4].id) == said[4]
        assert store.get_message(chat.id, said[3].id) is None
        assert store.get_linear_history(chat.id, said[5].id) == said[4:6]


@pytest.mark.parametrize("stamp", ["[]", "{}", '"late"', "true", "null", "1e999"])
def test_a_time_that_is_none_hinders_nobody(root: Path, stamp: str) -> None:
    with SessionStore.open(root) as store:
        chat, other = store.session("k"), store.session("o")
        other.append("user", "hello")
        chat.append("user", "zero")
    line = b'{"id":"%b","type":"user","parentId":null,"timestamp":%b,"content":"x"}\n'
    lines = [line % (name, stamp.encode()) for name in (b"one", b"two")]
    with (root / chat.id / LOG).open("ab") as file:
        file.writelines(lines)

    with SessionStore.open(root) as store:
        metadata = store.get_metadata(chat.id)
        assert metadata is not None and metadata.message_count == 3
        store.append(chat.id, {"role": "user", "content": "three"})

    for path in root.glob("sessions.*"):
        path.unlink()
    (root / chat.id / LOG).write_bytes(b"".join(lines))
    with SessionStore.open(root) as store:
        assert {session.session_id for session in store.list_sessions().sessions} == {
            chat.id,
            other.id,
        }
        assert len(store.get_messages(chat.id)) == 2
