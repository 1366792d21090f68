from collections.abc import Sequence
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from session_store.cli.tree import Row, draw, rows
from session_store.model.records import Branch, Message


def message(id: str, parent: str | None, content: str = "") -> Message:
    return Message(id=id, parent_id=parent, type="user", role="user", content=content or id)


def drawn(
    messages: Sequence[Message], *branches: Branch, head: str | None = None, width: int = 40
) -> list[str]:
    lines = draw(messages, branches, head, width=width)
    return ["".join(piece.text for piece in line).rstrip() for line in lines]


def branch(name: str, leaf: str) -> Branch:
    return Branch(name=name, leaf_message_id=leaf, created_at=0)


def test_the_way_to_the_head_is_the_trunk_and_the_others_are_side_branches() -> None:
    messages = [
        message("root", None, "Which?"),
        message("big1", "root", "PostgreSQL."),
        message("big2", "big1", "Hm."),
        message("big3", "big2", "Why?"),
        message("small", "root", "SQLite."),
        message("last", "small", "Fine."),
    ]

    lines = drawn(messages, branch("large", "big3"), branch("mini", "last"), head="last")

    assert lines == [
        "● user  Which?                      root",
        "├─● user  PostgreSQL.               big1",
        "│ ● user  Hm.                       big2",
        "│ ● user  Why?             [large]  big3",
        "● user  SQLite.                    small",
        "● user  Fine.         [mini]  HEAD  last",
    ]


def test_without_a_head_the_larger_subtree_is_the_trunk() -> None:
    messages = [
        message("a", None),
        message("b", "a"),
        message("c", "b"),
        message("d", "a"),
    ]

    found = [(row.message.id, row.depth, row.forks) for row in rows(messages, None)]

    assert found == [("a", 0, False), ("d", 1, True), ("b", 0, False), ("c", 0, False)]


def test_roots_stand_apart() -> None:
    lines = drawn([message("a", None), message("b", "a"), message("c", None)])

    assert [line[:1] for line in lines] == ["●", "●", "", "●"]


def test_several_branches_of_one_leaf_are_all_named() -> None:
    lines = drawn([message("a", None)], branch("x", "a"), branch("y", "a"), width=60)

    assert "[x] [y]" in lines[0]


def test_a_chain_of_100_000_messages_is_not_indented() -> None:
    chain = [message(str(n), str(n - 1) if n else None) for n in range(100_000)]

    found = list(rows(chain, str(99_999)))

    assert len(found) == 100_000
    assert {row.depth for row in found} == {0}


def test_100_000_answers_to_one_message_are_one_level_deep() -> None:
    messages = [message("root", None), *(message(str(n), "root") for n in range(100_000))]

    found = list(rows(messages, None))

    assert len(found) == 100_001
    assert max(row.depth for row in found) == 1


def test_forks_at_every_message_indent_by_no_more_than_the_logarithm() -> None:
    random = Random(7)
    messages = [message("0", None)]
    for n in range(1, 20_000):
        messages.append(message(str(n), str(random.randrange(n))))

    found = list(rows(messages, None))

    assert len(found) == 20_000
    assert max(row.depth for row in found) <= 15


FOREIGN = st.lists(
    st.tuples(st.integers(0, 8), st.none() | st.integers(0, 9), st.text(max_size=30)), max_size=12
)


@given(FOREIGN, st.none() | st.integers(0, 9), st.integers(40, 90))
def test_every_message_is_drawn_once_even_where_data_contradicts_itself(
    lines: list[tuple[int, int | None, str]], head: int | None, width: int
) -> None:
    messages = [
        message(f"m{id}", None if parent is None else f"m{parent}", text)
        for id, parent, text in lines
    ]

    found = list(rows(messages, None if head is None else f"m{head}"))
    shown = drawn(messages, head=None if head is None else f"m{head}", width=width)

    assert sorted(id_(row) for row in found) == sorted(one.id for one in messages)
    assert sum(bool(line) for line in shown) == len(messages)
    depth = max((row.depth for row in found), default=0)
    assert all(cell_len(line) <= max(width, 2 * depth + 30) for line in shown)


def id_(row: Row) -> str:
    return row.message.id


def test_short_ids_tell_all_messages_apart() -> None:
    messages = [message(f"0192{n:08}0000", None) for n in range(3)]

    shown = [line.split()[-1] for line in drawn(messages, width=60) if line]

    assert shown == ["00000000"[-6:], "010000", "020000"]


def test_full_ids_are_shown_when_asked_for() -> None:
    long = "0192aaaa-bbbb-7ccc-8ddd-eeeeffff0000"

    [line] = draw([message(long, None, "hi")], [], None, width=80, full_ids=True)

    assert line[-1].text.strip() == long


def test_a_long_first_line_is_cut_to_the_width_of_the_terminal() -> None:
    [line] = drawn([message("id", None, "日本語 " * 50)], width=50)

    assert cell_len(line) in (49, 50)
    assert "…" in line
