"""Chance plays both sides: after every turn each reads what the other wrote."""

import random
from pathlib import Path
from typing import Any

import pytest
from original_kit import Original, contents, crash, ours

from session_store.index import rotation
from session_store.sync import SessionStore

KEYS = ["a", "b/../c", "ключ", "d e", "f"]
BRANCHES = ["main", "alt"]


class World:
    """What both sides must agree on: said in order, whoever said it."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root = root
        self.chance = random.Random(seed)
        self.keys: dict[str, str] = {}
        self.said: dict[str, list[str]] = {}
        self.users: dict[str, Any] = {}
        self.tips: dict[str, dict[str, str]] = {}
        self.gone: set[str] = set()
        self.count = 0

    def word(self) -> str:
        self.count += 1
        return f"word {self.count} " + "x" * self.chance.choice([0, 10, 300])

    def pick(self) -> str:
        return self.chance.choice(list(self.said))

    def made(self, session_id: str, key: str) -> None:
        assert session_id not in self.gone, "an id is never used again"
        if session_id not in self.said:
            self.said[session_id], self.tips[session_id] = [], {}
        self.keys[key] = session_id

    def delete(self, session_id: str) -> None:
        self.keys = {key: id_ for key, id_ in self.keys.items() if id_ != session_id}
        del self.said[session_id], self.tips[session_id]
        self.users.pop(session_id, None)
        self.gone.add(session_id)

    def reset(self, session_id: str) -> None:
        self.said[session_id], self.tips[session_id] = [], {}


def our_move(world: World, store: SessionStore) -> None:
    chance = world.chance
    if not world.said or chance.random() < 0.2:
        key = chance.choice(KEYS)
        world.made(store.resolve(key), key)
        return
    session_id = world.pick()
    match chance.choice(
        [
            "say",
            "say",
            "say",
            "many",
            "key",
            "unkey",
            "user",
            "reset",
            "delete",
            "branch",
            "unbranch",
        ]
    ):
        case "say":
            text = world.word()
            store.append(session_id, {"role": "user", "content": text})
            world.said[session_id].append(text)
        case "many":
            texts = [world.word() for _ in range(3)]
            store.append_many(session_id, [{"role": "user", "content": text} for text in texts])
            world.said[session_id] += texts
        case "key":
            key = chance.choice(KEYS)
            store.add_key(key, session_id)
            world.keys[key] = session_id
        case "unkey" if world.keys:
            key = chance.choice(list(world.keys))
            assert store.remove_key(key)
            del world.keys[key]
        case "user":
            world.users[session_id] = world.word()
            store.update_metadata(session_id, {"user_id": world.users[session_id]})
        case "reset":
            store.reset_session(session_id)
            world.reset(session_id)
        case "delete":
            store.delete_session(session_id)
            world.delete(session_id)
        case "branch" if world.said[session_id]:
            name, leaf = chance.choice(BRANCHES), chance.choice(store.get_messages(session_id))
            store.create_branch(session_id, name, leaf.id)
            world.tips[session_id][name] = leaf.id
        case "unbranch" if world.tips[session_id]:
            name = chance.choice(list(world.tips[session_id]))
            store.delete_branch(session_id, name)
            del world.tips[session_id][name]


def its_move(world: World, original: Original) -> None:
    chance = world.chance
    if not world.said or chance.random() < 0.2:
        key = chance.choice(KEYS)
        world.made(original.resolve(key), key)
        return
    session_id = world.pick()
    messages = [m for m in original.messages(session_id) if "control" not in m]
    match chance.choice(
        ["say", "say", "say", "web", "key", "unkey", "user", "reset", "delete", "branch"]
    ):
        case "say":
            text = world.word()
            original.append(session_id, messages[-1]["id"] if messages else None, text)
            world.said[session_id].append(text)
        case "web":
            text = world.word()
            name = f"web user {world.count}"
            original.append(name, None, text)
            world.made(name, name)
            world.said[name].append(text)
            world.users[name] = "web-user"
        case "key":
            key = chance.choice(KEYS)
            original.add_key(key, session_id)
            world.keys[key] = session_id
        case "unkey" if world.keys:
            key = chance.choice(list(world.keys))
            original.remove_key(key)
            del world.keys[key]
        case "user":
            world.users[session_id] = world.word()
            original.update_metadata(session_id, userId=world.users[session_id])
        case "reset":
            original.reset_session(session_id)
            world.reset(session_id)
        case "delete":
            original.delete_session(session_id)
            world.delete(session_id)
        case "branch" if world.said[session_id]:
            # What a reset of ours hides it still sees, but nobody means that.
            seen = [m for m in messages if m["content"] in world.said[session_id]]
            name, leaf = chance.choice(BRANCHES), chance.choice(seen)["id"]
            path = {"name": name, "leafMessageId": leaf, "createdAt": 1, "path": []}
            original.write_line(session_id, "branches.jsonl", path)
            world.tips[session_id][name] = leaf


def we_agree(world: World, store: SessionStore) -> None:
    assert set(store.get_all_session_ids()) == set(world.said)
    assert {key: store.get_session_id(key) for key in store.get_all_keys()} == world.keys
    for session_id, said in world.said.items():
        assert contents(store, session_id) == said
        metadata = store.get_metadata(session_id)
        assert metadata is not None
        assert metadata.message_count == len(said)
        assert metadata.user_id == world.users.get(session_id)
        branches = {b.name: b.leaf_message_id for b in store.get_branches(session_id)}
        assert branches == world.tips[session_id]
    for session_id in world.gone:
        assert not store.has_session(session_id)
    assert store.check().ok


def it_agrees(world: World, original: Original) -> None:
    assert set(original.sessions) == set(world.said)
    assert original.keys == world.keys
    for session_id, said in world.said.items():
        texts = [m["content"] for m in original.messages(session_id) if "control" not in m]
        # It still shows what a reset of ours hides.
        assert texts[len(texts) - len(said) :] == said
        assert original.sessions[session_id].get("userId") == world.users.get(session_id)


@pytest.mark.parametrize("seed", range(12))
def test_turns_of_both_add_up_whatever_they_do(
    root: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(root, seed)
    if seed % 2:
        monkeypatch.setattr(rotation, "ROTATE_BYTES", 1)

    for turn in range(8):
        original = Original(root)
        it_agrees(world, original)
        for _ in range(world.chance.randrange(1, 6)):
            its_move(world, original)
        store = ours(root)
        we_agree(world, store)
        for _ in range(world.chance.randrange(1, 8)):
            our_move(world, store)
        if world.chance.random() < 0.5:
            we_agree(world, store)
        # A write of ours: until then what the original did is in its snapshot alone.
        world.made(store.resolve("touched"), "touched")
        store.update_metadata(world.keys["touched"], {"token_estimate": turn})
        match world.chance.choice(["closed", "crashed", "damaged"]):
            case "closed":
                store.close()
            case "crashed":
                store.flush(snapshot=True)
                crash(store)
            case "damaged":
                crash(store)
                snapshot = (root / "sessions.json").read_bytes()
                (root / "sessions.json").write_bytes(snapshot[: len(snapshot) // 2])
                with ours(root) as store:
                    we_agree(world, store)
