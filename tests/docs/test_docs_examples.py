"""What ships in `examples/` works, and is as rich as it says."""

import base64
import json
import os
import re
import shlex
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from docs_kit import ROOT

from session_store import InMemoryFileSystem
from session_store.formats import from_openai, to_anthropic, to_openai
from session_store.sync import SessionStore

DEMO = ROOT / "examples" / "demo.py"
TRANSCRIPT = ROOT / "examples" / "transcript.jsonl"


def transcript() -> list[dict[str, Any]]:
    return [json.loads(line) for line in TRANSCRIPT.read_text("utf-8").splitlines()]


def run_in(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "100", "PYTHONIOENCODING": "utf-8"}
    environment.pop("SESSION_STORE_URL", None)
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return where the demo ran, twice, and what it said."""
    folder = tmp_path_factory.mktemp("demo")
    said = ""
    for _ in range(2):
        done = run_in(folder, sys.executable, str(DEMO))
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stderr == ""
        said = done.stdout
    return folder, said


def test_the_demo_shows_what_a_person_wants_to_see(demo: tuple[Path, str]) -> None:
    said = demo[1]

    assert "imported 35 messages" in said
    assert re.search(r"\[short\]  HEAD", said)
    assert re.search(r"\[thorough\]", said)
    assert "5 messages, about" in said  # the context
    assert '{"topic":"address labels"}' in said  # the metadata
    assert "nothing is lost or wrong" in said  # the report of `check`


def test_the_demo_kills_a_child_and_loses_nothing(demo: tuple[Path, str]) -> None:
    folder, said = demo
    killed = re.search(r"killed after (\d+) acknowledged messages", said)
    reopened = re.search(r"reopened: (\d+) messages, 0 acknowledged ones missing", said)
    assert killed and reopened

    with SessionStore.open(folder / "demo-sessions") as store:
        stored = store.session("tea:night-shift").messages()

    # What was written and not yet acknowledged may be there as well; the last came after.
    assert int(killed[1]) >= 20
    assert len(stored) == int(reopened[1]) + 1
    assert int(reopened[1]) >= int(killed[1])


def test_the_commands_it_names_work(demo: tuple[Path, str]) -> None:
    folder, said = demo
    commands = [line for line in said.splitlines() if line.startswith("  ") and " --store " in line]

    assert len(commands) == 3
    tries = [run_in(folder, *shlex.split(command)) for command in commands]
    assert [done.returncode for done in tries] == [0, 0, 0]
    assert re.search(r"And then\?.*HEAD", tries[-1].stdout)


def test_the_transcript_holds_what_dialogues_hold() -> None:
    messages = transcript()
    text = TRANSCRIPT.read_text("utf-8")
    blocks = [
        block
        for one in messages
        if isinstance(one.get("content"), list)
        for block in one["content"]
    ]
    pictures = [block["source"]["data"] for block in blocks if block["type"] == "image"]
    scripts = {unicodedata.name(letter, "?").partition(" ")[0] for letter in text}

    assert len(messages) >= 30
    assert {"CJK", "HIRAGANA", "ARABIC", "CYRILLIC", "DEVANAGARI", "ZERO", "EMOJI"} <= scripts
    assert all(base64.b64decode(picture).startswith(b"\x89PNG\r\n") for picture in pictures)
    assert len(pictures) == 2
    assert {"user", "assistant", "system", "tool_call", "tool_result"} == {
        one["type"] for one in messages
    }


def test_the_transcript_forks_and_every_call_is_answered() -> None:
    messages = transcript()
    ids = [one["id"] for one in messages]
    parents = [one["parentId"] for one in messages]
    calls = [call["id"] for one in messages for call in one.get("toolCalls", ())]
    answers = [one["toolResult"]["toolCallId"] for one in messages if "toolResult" in one]

    assert len(set(ids)) == len(ids)
    assert all(parent in ids[:place] for place, parent in enumerate(parents) if parent)
    assert len({parent for parent in parents if parents.count(parent) > 1}) == 2
    assert sorted(calls) == sorted(answers)
    assert [one["timestamp"] for one in messages] == sorted(one["timestamp"] for one in messages)


def test_the_transcript_comes_through_the_store_and_the_formats_unchanged() -> None:
    with SessionStore(InMemoryFileSystem()) as store:
        chat = store.session("tea:labels")
        chat.append_many(transcript())
        context = chat.context()
        stored = chat.messages()

    assert [message.content for message in stored] == [one.get("content") for one in transcript()]
    # The way to the head leaves out one side of each fork: three messages and one.
    assert len(context) == len(transcript()) - 4
    items = to_openai(context)
    assert to_openai(from_openai(items)) == items
    conversation = to_anthropic(context)
    assert conversation.system == transcript()[0]["content"]
    assert [item["role"] for item in conversation.messages[:3]] == ["user", "assistant", "user"]
