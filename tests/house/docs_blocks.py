"""The code blocks of a Markdown text, and what a shell block asks for."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

_FENCE = re.compile(r"(?P<indent>[ >]*)(?P<ticks>`{3,}|~{3,})\s*(?P<language>[\w+-]*)")
OUTPUT_MARK = "<!-- output -->"


@dataclass(frozen=True)
class Block:
    """One fenced block; `line` is the first one inside, `is_output` if the mark precedes it."""

    language: str
    line: int
    text: str
    is_output: bool


def blocks_of(text: str) -> list[Block]:
    """Return the fenced blocks of a Markdown text; one that never ends is an error."""
    blocks: list[Block] = []
    lines = text.splitlines()
    marked = False
    at = 0
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        if fence is None:
            marked = lines[at].strip() == OUTPUT_MARK or (marked and not lines[at].strip())
            at += 1
            continue
        start = at = at + 1
        while not _closes(lines[at], fence["ticks"]):
            at += 1
            if at == len(lines):
                raise ValueError(f"line {start}: the block never ends")
        indent = len(fence["indent"])
        inside = "".join(f"{line[indent:]}\n" for line in lines[start:at])
        blocks.append(Block(fence["language"].lower(), start + 1, inside, marked))
        marked = False
        at += 1
    return blocks


def _closes(line: str, ticks: str) -> bool:
    mark = line.strip(" >")
    return mark.startswith(ticks) and not mark.strip(ticks[0])


def commands_of(block: Block) -> Iterator[tuple[int, list[str]]]:
    """Yield the commands of a shell block, as words, each with its line.

    In a `console` block only what follows `$ ` is one; the rest is output. What is joined by
    `|`, `&&`, `||` or `;` counts one by one, without the variables set for it.
    """
    joined = ""
    prompted = any(line.startswith("$ ") for line in block.text.splitlines())
    for number, line in enumerate(block.text.splitlines(), block.line):
        if joined:
            joined += line.removeprefix("> ")
        elif not prompted:
            joined = line
        elif line.startswith("$ "):
            joined = line[2:]
        if joined.endswith("\\"):
            joined = joined[:-1]
            continue
        yield from ((number, words) for words in _split(joined))
        joined = ""


def _split(line: str) -> Iterator[list[str]]:
    reader = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
    reader.whitespace_split = True
    reader.commenters = "#"
    words: list[str] = []
    for word in [*reader, ";"]:
        if set(word) <= set(";|&"):
            while words and re.fullmatch(r"\w+=.*", words[0]):
                words.pop(0)
            if words:
                yield words
            words = []
        elif set(word) <= set("<>()"):
            continue
        else:
            words.append(word)
