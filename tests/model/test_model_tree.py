"""The shape of a dialogue, also where the data contradicts itself."""

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from model_growth import FACTOR, growth

from session_store.model import Message, Tree

MANY = 100_000


def message(id: str, parent_id: str | None, content: str | None = None) -> Message:
    return Message(id=id, parent_id=parent_id, type="user", content=content)


def ids(messages: list[Message]) -> list[str]:
    return [message.id for message in messages]


#      a        e
#     / \
#    b   d
#    |
#    c
FAMILY = [
    message("a", None),
    message("b", "a"),
    message("c", "b"),
    message("d", "a"),
    message("e", None),
]


def test_children_come_in_the_order_of_the_log() -> None:
    tree = Tree(FAMILY)

    assert ids(tree.children("a")) == ["b", "d"]
    assert ids(tree.children(None)) == ["a", "e"]
    assert tree.children("c") == []
    assert tree.children("unknown") == []


def test_it_says_who_has_children() -> None:
    tree = Tree(FAMILY)

    assert tree.has_children("b")
    assert not tree.has_children("c")
    assert not tree.has_children("unknown")


def test_a_path_runs_from_the_root_to_the_leaf() -> None:
    tree = Tree(FAMILY)

    assert ids(tree.path_to("c")) == ["a", "b", "c"]
    assert ids(tree.path_to("e")) == ["e"]
    assert tree.path_to("unknown") == []


def test_the_tree_is_listed_depth_first() -> None:
    tree = Tree(FAMILY)

    assert ids(tree.preorder()) == ["a", "b", "c", "d", "e"]
    assert ids(tree.preorder("a")) == ["b", "c", "d"]
    assert tree.preorder("e") == []
    assert tree.preorder("unknown") == []


def test_a_message_that_comes_later_is_found_too() -> None:
    tree = Tree(FAMILY[:2])
    before = ids(tree.preorder())

    for late in FAMILY[2:]:
        tree.add(late)

    assert before == ["a", "b"]
    assert len(tree) == 5
    assert ids(tree.preorder()) == ["a", "b", "c", "d", "e"]
    assert tree.get("e") is FAMILY[4]
    assert tree.get("unknown") is None


def test_a_message_whose_parent_is_missing_is_a_root_and_reported() -> None:
    tree = Tree([message("a", None), message("b", "gone"), message("c", "b")])

    assert ids(tree.children(None)) == ["a", "b"]
    assert ids(tree.path_to("c")) == ["b", "c"]
    assert ids(tree.orphans()) == ["b"]


def test_a_parent_may_stand_behind_its_children() -> None:
    tree = Tree([message("b", "a"), message("c", "b")])
    roots_before = ids(tree.children(None))

    tree.add(message("a", None))

    assert roots_before == ["b"]
    assert ids(tree.children(None)) == ["a"]
    assert ids(tree.preorder()) == ["a", "b", "c"]
    assert tree.orphans() == []


def test_a_circle_begins_at_its_first_message() -> None:
    tree = Tree(
        [
            message("d", "c"),
            message("a", "c"),
            message("b", "a"),
            message("c", "b"),
            message("e", "e"),
        ]
    )

    assert ids(tree.children(None)) == ["a", "e"]
    assert ids(tree.preorder()) == ["a", "b", "c", "d", "e"]
    assert ids(tree.path_to("d")) == ["a", "b", "c", "d"]
    assert ids(tree.orphans()) == ["a", "e"]


def test_of_two_lines_with_one_id_the_first_is_found_and_both_are_listed() -> None:
    tree = Tree(
        [
            message("a", None, "first"),
            message("b", None),
            message("a", "b", "second"),
            message("c", "a"),
        ]
    )

    found = tree.get("a")
    assert found is not None
    assert found.content == "first"
    assert [m.content for m in tree.preorder() if m.id == "a"] == ["first", "second"]
    assert ids(tree.children("b")) == ["a"]
    assert ids(tree.path_to("c")) == ["a", "c"]


def test_a_parent_that_was_left_open_counts_as_none() -> None:
    assert ids(Tree([Message(id="a", type="user")]).children(None)) == ["a"]
    assert Tree([Message(id="a", type="user")]).orphans() == []


def test_a_long_chain_takes_no_stack_and_time_as_it_is_long() -> None:
    def work(count: int) -> Callable[[], None]:
        chain = [message(str(n), str(n - 1) if n else None) for n in range(count)]
        backwards = chain[::-1]
        circle = [message("0", str(count - 1)), *chain[1:]]

        def do() -> None:
            for lines in (chain, backwards, circle):
                tree = Tree(lines)
                assert len(tree.preorder()) == count
                assert ids(tree.path_to(str(count - 1)))[:2] == ["0", "1"]

        return do

    assert growth(work, MANY // FACTOR) < 4 * FACTOR


def test_the_time_for_the_children_of_one_message_grows_as_they_do() -> None:
    def work(count: int) -> Callable[[], None]:
        def do() -> None:
            tree = Tree([message("a", None)])
            for n in range(count):
                tree.add(message(f"c{n}", "a"))
                assert tree.has_children("a")
            assert len(tree.children("a")) == count
            assert len(tree.preorder("a")) == count

        return do

    assert growth(work, MANY // FACTOR) < 4 * FACTOR


names = st.sampled_from("abcdef")


@settings(deadline=None)
@given(st.lists(st.tuples(names, st.none() | names), max_size=12), st.integers(0, 12))
def test_whatever_the_log_says_each_line_has_one_place(
    lines: list[tuple[str, str | None]], cut: int
) -> None:
    messages = [message(id, parent, str(n)) for n, (id, parent) in enumerate(lines)]
    tree = Tree(messages[:cut])
    tree.preorder()
    for late in messages[cut:]:
        tree.add(late)
        tree.preorder()

    listed = tree.preorder()

    assert sorted(m.content or "" for m in listed) == sorted(m.content or "" for m in messages)
    assert listed == Tree(messages).preorder()
    for one in messages:
        path = tree.path_to(one.id)
        assert path[-1] is tree.get(one.id)
        assert path[0] in tree.children(None)
    known = {m.id for m in messages}
    for one in messages:
        if one.parent_id is not None and one.parent_id not in known:
            assert one in tree.orphans()
