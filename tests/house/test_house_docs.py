"""What README and docs show is true: their code runs, their commands exist, their JSON parses.

The ```python blocks of one file run from top to bottom in one namespace and one temporary
folder; `await` may stand at the top level. A ```text block after `<!-- output -->` is what the
block before it prints; `...` in it stands for anything.
"""

import ast
import asyncio
import contextlib
import doctest
import inspect
import io
import json
import os
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from docs_blocks import Block, blocks_of, commands_of
from house_kit import ROOT, shown

SHELLS = {"bash", "console", "sh", "shell"}
SECONDS = 60


def pages() -> list[Path]:
    """Return what users read."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def run_page(name: str, text: str) -> None:
    """Run the Python blocks of a page; what they print is what the page says."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    printed = ""
    with asyncio.Runner() as runner:
        for block in blocks_of(text):
            if block.language in {"py", "python"}:
                printed = _run_block(name, block, namespace, runner)
            elif block.is_output:
                _compare(name, block, printed)


def _run_block(name: str, block: Block, namespace: dict[str, Any], runner: asyncio.Runner) -> str:
    # Blank lines before it, so that a traceback names the line of the page.
    source = "\n" * (block.line - 1) + block.text
    code = compile(source, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        if code.co_flags & inspect.CO_COROUTINE:
            runner.run(asyncio.wait_for(eval(code, namespace), SECONDS))
        else:
            exec(code, namespace)
    return out.getvalue()


def _compare(name: str, block: Block, printed: str) -> None:
    want, got = (re.sub(r"[ \t]+$", "", text, flags=re.M).strip() for text in (block.text, printed))
    same = doctest.OutputChecker().check_output(f"{want}\n", f"{got}\n", doctest.ELLIPSIS)
    assert same, f"{name}:{block.line} says\n{want}\n\nand the code prints\n{got}"


@cache
def help_of(*commands: str) -> str:
    """Return what `session-store … --help` prints, or fail if there is no such command."""
    done = subprocess.run(
        [sys.executable, "-c", "from session_store.cli import main; main()", *commands, "--help"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env=os.environ | {"COLUMNS": "200", "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"},
    )
    assert done.returncode == 0, f"session-store {' '.join(commands)} --help: {done.stderr}"
    return done.stdout


def make_targets() -> set[str]:
    """Return what `make` can be asked for."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    return set(re.findall(r"^([a-z][\w-]*):", makefile, flags=re.M))


def wrong_commands(block: Block) -> list[str]:
    """Return what a shell block shows that does not exist."""
    wrong: list[str] = []
    for line, words in commands_of(block):
        program = words[0].rpartition("/")[2]
        judge = {"make": _judge_make, "session-store": _judge_ours}.get(program)
        if program.startswith("python") and len(words) > 1 and words[1].endswith(".py"):
            judge = _judge_script
        if program in {"pip", "uv", "pipx"}:
            judge = _judge_install
        if judge is not None:
            wrong += [f"line {line}: {reason}" for reason in judge(words)]
    return wrong


def _judge_make(words: list[str]) -> list[str]:
    asked = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    return [f"make {target}" for target in asked if target not in make_targets()]


def _judge_script(words: list[str]) -> list[str]:
    return [] if (ROOT / words[1]).is_file() else [f"there is no {words[1]}"]


def _judge_install(words: list[str]) -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    asked = re.findall(r"(?:session-store|^\.)\[([\w,-]+)\]", "\n".join(words), flags=re.M)
    extras = [extra for extras in asked for extra in extras.split(",")]
    return [
        f"no extra {extra}" for extra in extras if extra not in project["optional-dependencies"]
    ]


def _judge_ours(words: list[str]) -> list[str]:
    """Judge the subcommand and the options; their values are the command's own business."""
    commands = _subcommands()
    place = next((at for at, word in enumerate(words) if at and word in commands), len(words))
    before, after = words[1:place], words[place + 1 :]
    told_apart = [help_of()] + ([help_of(words[place])] if place < len(words) else [])
    wrong = [
        f"session-store {' '.join(words[1:])}: no option {option}"
        for options, texts in ((before, told_apart[:1]), (after, told_apart))
        for option in (word.partition("=")[0] for word in options)
        if re.fullmatch(r"--?[a-zA-Z][\w-]*", option)
        and not any(re.search(rf"(?<![\w-]){option}(?![\w-])", text) for text in texts)
    ]
    if place == len(words) and not {"-h", "--help", "--version"} & set(before):
        wrong.append(f"{' '.join(words)}: no such command")
    return wrong


@cache
def _subcommands() -> set[str]:
    text = help_of()
    _, _, after = text.partition("Commands:\n")
    listed = re.findall(r"^  ([a-z][a-z-]*)", after.partition("\n\n")[0], flags=re.M)
    assert listed, f"session-store --help lists no commands:\n{text}"
    return set(listed)


@pytest.mark.parametrize("page", pages(), ids=shown)
def test_the_code_of_a_page_runs_and_prints_what_the_page_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SESSION_STORE_URL", raising=False)

    run_page(shown(page), page.read_text("utf-8"))


@pytest.mark.parametrize("page", pages(), ids=shown)
def test_the_json_of_a_page_parses(page: Path) -> None:
    for block in blocks_of(page.read_text("utf-8")):
        texts = block.text.splitlines() if block.language == "jsonl" else [block.text]
        if block.language in {"json", "jsonl"}:
            for text in texts:
                json.loads(text)


@pytest.mark.parametrize("page", pages(), ids=shown)
def test_the_commands_of_a_page_exist(page: Path) -> None:
    blocks = blocks_of(page.read_text("utf-8"))

    wrong = [bad for block in blocks if block.language in SHELLS for bad in wrong_commands(block)]

    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("page", pages(), ids=shown)
def test_the_links_of_a_page_lead_to_files(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.S)

    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)]

    for target in targets:
        is_file = bool(target) and not re.match(r"[a-z]+:", target)
        assert not is_file or (page.parent / target).exists(), target


def test_there_are_a_readme_and_docs() -> None:
    names = {shown(page) for page in pages()}

    assert (ROOT / "README.md").is_file()
    assert "docs/format.md" in names


def test_the_readme_shows_code_in_both_faces() -> None:
    code = "".join(
        block.text
        for block in blocks_of((ROOT / "README.md").read_text("utf-8"))
        if block.language == "python"
    )

    assert "from session_store import SessionStore" in code
    assert "from session_store.sync import SessionStore" in code
    assert {"demo", "test"} <= make_targets()


# The teeth of the above.


def page_of(*blocks: str) -> str:
    """Return a page of these blocks; the first line of each is its language."""
    return "\n\n".join(
        f"{before}```{dedent(block).strip()}\n```"
        for block in blocks
        for before in ["<!-- output -->\n\n" if block.startswith("text") else ""]
    )


def test_blocks_share_a_namespace_and_may_await() -> None:
    run_page(
        "page.md",
        page_of(
            "python\nimport asyncio\nnumber = 41",
            "python\nawait asyncio.sleep(0)\nprint(number + 1, 'is it')",
            "text\n42 ...",
            "python\nasyncio.run(asyncio.sleep(0))\nprint(number)",
            "text\n41",
        ),
    )


@pytest.mark.parametrize(
    ("block", "error"),
    [
        ("python\nraise KeyError('x')", KeyError),
        ("python\nawait missing()", NameError),
        ("python\nthis is no code", SyntaxError),
        ("text\nand this was not printed", AssertionError),
    ],
)
def test_a_page_that_lies_is_found(block: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        run_page("page.md", page_of("python\nprint('this was')", block))


def test_a_block_inside_a_list_loses_its_indent() -> None:
    (block,) = blocks_of("- see\n\n  ```python\n  if True:\n      x = 1\n  ```\n")

    assert block == Block("python", 4, "if True:\n    x = 1\n", is_output=False)


def test_a_block_that_never_ends_is_found() -> None:
    with pytest.raises(ValueError, match="line 1"):
        blocks_of("```python\nx = 1\n")


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("$ make demo\nmake believe\n", [["make", "demo"]]),
        (
            "make demo && A=1 make test | cat  # both\n",
            [["make", "demo"], ["make", "test"], ["cat"]],
        ),
        ("$ session-store ls \\\n    --json > out\n", [["session-store", "ls", "--json", "out"]]),
    ],
)
def test_the_commands_of_a_shell_block_are_read(text: str, commands: list[list[str]]) -> None:
    block = Block("console", 1, text, is_output=False)

    assert [words for _, words in commands_of(block)] == commands


@pytest.mark.parametrize(
    "line",
    [
        "make nothing",
        "python examples/missing.py",
        "pip install 'session-store[teleport]'",
        "session-store teleport x",
        "session-store --store ./x teleport",
        "session-store ls --teleport",
        "session-store",
    ],
)
def test_a_command_that_does_not_exist_is_found(line: str) -> None:
    assert wrong_commands(Block("sh", 1, f"{line}\n", is_output=False))


@pytest.mark.parametrize(
    "line",
    [
        "make test PYTHON=python3.12",
        "pip install 'session-store[cli]'",
        "cat x | sort",
        "session-store ls --json",
        "session-store --help",
    ],
)
def test_a_command_that_exists_is_left_alone(line: str) -> None:
    assert not wrong_commands(Block("sh", 1, f"{line}\n", is_output=False))
