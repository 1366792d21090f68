"""What Session Store does, in a few seconds: `make demo`, or `python examples/demo.py`.

It works in ./demo-sessions, which it makes anew each time.
"""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

from session_store import SessionStore
from session_store.sync import SessionStore as BlockingStore

STORE = Path("demo-sessions")
TRANSCRIPT = Path(__file__).with_name("transcript.jsonl")
CHAT = "tea:labels"
NIGHT = "tea:night-shift"
ENOUGH = 20


def main() -> None:
    shutil.rmtree(STORE, ignore_errors=True)

    section(
        "1. A dialogue comes in", "With tool calls, pictures, five scripts, emoji, and two forks."
    )
    session_store("import", os.path.relpath(TRANSCRIPT), "--key", CHAT)

    section("2. It goes on", "Two answers to one question; each way gets a name.")
    asyncio.run(go_on())

    section("3. A process is killed", "A child appends as fast as it can, until SIGKILL.")
    acknowledged = run_a_child_and_kill_it()
    look_for(acknowledged)

    section("4. The dialogue as a tree", "Branches in brackets; HEAD is where it goes on.")
    session_store("tree", CHAT)

    section("5. What a model would be sent", "The way to HEAD, cut to a budget from its old end.")
    session_store("context", CHAT, "--max-messages", "5")

    section("6. What is known of it")
    session_store("show", CHAT)

    section("7. Is everything sound?", "Every line, checksum, parent and count is verified.")
    session_store("check")

    section("Try next", f"What this left behind is in ./{STORE}.")
    for words in (f"switch {CHAT} thorough", f"append {CHAT} user 'And then?'", f"tree {CHAT}"):
        print(f"  {command()} --store {STORE} {words}")


async def go_on() -> None:
    async with SessionStore.open(STORE) as store:
        chat = await store.session(CHAT)
        question = await chat.head()

        # A program would ask its model here; these are two answers to the same question.
        await chat.append("assistant", "Watch for boxes: count missing glyphs on each label.")
        await chat.create_branch("short")

        await chat.append(
            "assistant",
            "Three things: labels with missing glyphs, seconds per label, and the size of "
            "the image. Alert on the first, look at the others on Monday.",
            parent=question,
        )
        await chat.create_branch("thorough")

        await chat.switch_to_branch("thorough")
        await chat.append("user", "Monday is a holiday here 🌸")  # the branch moves along

        await chat.switch_to_branch("short")
        await chat.append("user", "That is enough. Good night! 🌙")

        await chat.update_metadata(user_id="hana", metadata={"topic": "address labels"})
        for branch in await chat.branches():
            print(f"  {branch.name}: {len(branch.path)} messages from the first to its last")


def run_a_child_and_kill_it() -> list[str]:
    """Return the ids of the messages that the child was told are safe."""
    child = subprocess.Popen(
        [sys.executable, __file__, "--child"], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    acknowledged = [child.stdout.readline().strip() for _ in range(ENOUGH)]
    child.kill()
    # What it had printed before it died was acknowledged as well.
    acknowledged += child.stdout.read().splitlines()
    child.wait()
    print(f"  killed after {len(acknowledged)} acknowledged messages")
    return acknowledged


def append_until_killed() -> None:
    with BlockingStore.open(STORE) as store:
        night = store.session(NIGHT)
        while True:
            message = night.append("user", "All quiet at the packing table.")
            # A line goes out whole: an id that is cut off was never told to anybody.
            os.write(sys.stdout.fileno(), f"{message.id}\n".encode())


def look_for(acknowledged: list[str]) -> None:
    with BlockingStore.open(STORE) as store:
        night = store.session(NIGHT)
        found = {message.id for message in night.messages()}
        missing = [message_id for message_id in acknowledged if message_id not in found]
        print(f"  reopened: {len(found)} messages, {len(missing)} acknowledged ones missing")
        if missing:
            raise SystemExit("this must never happen")
        night.append("user", "Back again, and I go on where the other one stopped.")


def section(title: str, about: str = "") -> None:
    print(f"\n━━ {title} {'━' * (70 - len(title))}")
    if about:
        print(f"   {about}")
    print(flush=True)


def session_store(*words: str) -> None:
    """Run the command `session-store`, as one would type it."""
    print(f"$ session-store {' '.join(words)}", flush=True)
    subprocess.run(
        [sys.executable, "-m", "session_store.cli", *words],
        env=os.environ | {"SESSION_STORE_URL": str(STORE)},
        check=True,
    )


def command() -> str:
    """Return how to call `session-store` from here."""
    script = Path(sys.executable).with_name("session-store")
    if not script.exists():
        return f"{sys.executable} -m session_store.cli"
    here = Path.cwd()
    return str(script.relative_to(here) if script.is_relative_to(here) else script)


if __name__ == "__main__":
    if "--child" in sys.argv:
        append_until_killed()
    else:
        main()
