"""A dialogue drawn as a tree, the way a history of commits is drawn.

    ◆ system     You advise on databases.
    ● user       Which one?
    ├─○ assistant  PostgreSQL.
    │ ● user       Why?                        [large]
    ○ assistant  SQLite.
    ● user       Fine.                    [small] HEAD

Pure. Only side branches are indented. The trunk is the way to the head, and elsewhere the
larger subtree; so even a dialogue that forks at every message is indented by no more than
the logarithm of its length.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from session_store.model.records import Branch, Message
from session_store.model.tree import Tree

from .looks import LONGEST_LABEL, first_line, label, short, short_length, style, symbol
from .output import padded, shorten, visible, width_of

MIN_TEXT = 8


class Row(NamedTuple):
    """A message and where it is drawn: how deep, and whether a side branch begins with it."""

    message: Message
    depth: int
    forks: bool
    root: bool


class Piece(NamedTuple):
    """Some text of a line, and its style."""

    text: str
    style: str = "plain"


def rows(messages: Sequence[Message], head: str | None) -> Iterator[Row]:
    """Yield every message once, in the order in which they are drawn."""
    tree = Tree(messages)
    sizes = _sizes(tree)
    ahead = {step.id for step in tree.path_to(head)} if head is not None else set[str]()
    pending = [Row(root, 0, forks=False, root=True) for root in reversed(tree.children(None))]
    while pending:
        row = pending.pop()
        yield row
        if tree.get(row.message.id) is not row.message:
            continue  # two lines have one id: the first has the children
        children = tree.children(row.message.id)
        if not children:
            continue
        place = _trunk(children, ahead, sizes)
        pending.append(Row(children[place], row.depth, forks=False, root=False))
        for side in reversed(children[:place] + children[place + 1 :]):
            pending.append(Row(side, row.depth + 1, forks=True, root=False))


def _trunk(children: list[Message], ahead: set[str], sizes: Mapping[str, int]) -> int:
    """Return which child goes on at its parent's level."""
    return max(
        range(len(children)),
        key=lambda at: (children[at].id in ahead, sizes[children[at].id], at),
    )


def _sizes(tree: Tree) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for message in reversed(tree.preorder()):
        sizes[message.id] = 1 + sum(sizes.get(child.id, 1) for child in tree.children(message.id))
    return sizes


def draw(
    messages: Sequence[Message],
    branches: Iterable[Branch],
    head: str | None,
    *,
    width: int,
    full_ids: bool = False,
) -> Iterator[list[Piece]]:
    """Yield the lines of the drawing, none wider than `width` if there is room at all.

    Ids are shortened to an end that tells them apart, unless `full_ids`.
    """
    if not messages:
        return
    names: dict[str, list[str]] = {}
    for branch in branches:
        names.setdefault(branch.leaf_message_id, []).append(f"[{visible(branch.name)}]")
    ids = [message.id for message in messages]
    id_length = max(map(len, ids)) if full_ids else short_length(ids)
    labels = min(LONGEST_LABEL, max(width_of(label(message)) for message in messages))
    first = True
    for row in rows(messages, head):
        if row.root and not first:
            yield []
        first = False
        yield _line(row, names.get(row.message.id, []), head, width, id_length, labels)


def _line(
    row: Row, names: list[str], head: str | None, width: int, id_length: int, labels: int
) -> list[Piece]:
    message = row.message
    rails = "│ " * (row.depth - 1) + "├─" if row.forks else "│ " * row.depth
    who = padded(shorten(label(message), labels), labels)
    tags = shorten(" ".join(names), width // 3)
    mark = "HEAD" if message.id == head else ""
    shown = short(message.id, id_length)
    left = width_of(rails) + 2 + labels + 2
    right = sum(width_of(part) + 2 for part in (tags, mark, shown) if part)
    text = shorten(first_line(message), max(MIN_TEXT, width - left - right))
    gap = max(0, width - left - right - width_of(text))
    line = [
        Piece(rails, "dim"),
        Piece(f"{symbol(message)} {who}", style(message)),
        Piece(f"  {text}{' ' * gap}"),
    ]
    if tags:
        line.append(Piece(f"  {tags}", "branch"))
    if mark:
        line.append(Piece(f"  {mark}", "head"))
    return [*line, Piece(f"  {shown}", "dim")]
