"""The history checker: what it says of histories written by hand, each broken in one place."""

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from session_store.files.memory import InMemoryFileSystem
from session_store.model.config import StoreConfig
from session_store.runtime import BlockingRuntime, run
from session_store.store.engine import Engine
from session_store.testing.history import Final, History, Left, Operation, check, read_final


class Tale:
    """A history told in the order in which it happened."""

    def __init__(self) -> None:
        clock = count(1)
        self.history = History(lambda: next(clock))

    def ask(self, kind: str, session: str = "s", actor: str = "a", **facts: Any) -> Operation:
        return self.history.begin(actor, kind, session, **facts)

    def say(self, *names: str, **facts: Any) -> None:
        kind = "append" if len(names) == 1 else "append_many"
        self.ask(kind, ids=list(names), **facts).ok()

    def lose(self, *names: str) -> None:
        kind = "append" if len(names) == 1 else "append_many"
        self.ask(kind, ids=list(names)).unknown("no answer")

    def refuse(self, name: str) -> None:
        self.ask("append", ids=[name]).fail("full")

    def read(self, *names: str) -> None:
        self.ask("read").ok(list(names))

    def cut(self) -> None:
        self.ask("power_cut", "").ok()


def chain(*names: str, **facts: Any) -> Final:
    return Final({"s": Left(list(zip(names, (None, *names), strict=False)), **facts)})


GONE = Final({})


def whole(tale: Tale) -> Final:
    tale.ask("resolve", "", key="k").ok("s")
    tale.say("one")
    tale.read("one")
    tale.say("two", "three")
    tale.lose("four")
    tale.refuse("five")
    tale.ask("count").ok(3)
    tale.read("one", "two", "three")
    return chain("one", "two", "three", count=3)


def unknown_and_there(tale: Tale) -> Final:
    tale.lose("one")
    tale.lose("two", "three")
    return chain("one", "two", "three")


def said_again(tale: Tale) -> Final:
    tale.lose("one")
    tale.say("two")
    tale.say("one")
    return chain("one", "two")


def reset(tale: Tale) -> Final:
    tale.say("one")
    tale.ask("reset").ok()
    tale.read()
    tale.say("two")
    tale.read("two")
    return chain("one", "two", visible=1, count=1)


def deleted(tale: Tale) -> Final:
    tale.ask("resolve", "", key="k").ok("s")
    tale.say("one")
    tale.ask("delete").ok()
    tale.ask("append", ids=["two"]).fail("gone")
    return GONE


def perhaps_deleted(tale: Tale) -> Final:
    tale.say("one")
    tale.ask("delete").unknown("died")
    return GONE


def cut_off(tale: Tale) -> Final:
    tale.say("one")
    tale.say("two", durable=False)
    tale.read("one", "two")
    tale.cut()
    tale.read("one")
    tale.say("three")
    return chain("one", "three")


def cut_off_and_said_again(tale: Tale) -> Final:
    tale.say("one")
    tale.say("two", durable=False)
    tale.lose("three")
    tale.cut()
    tale.say("three")
    return chain("one", "three")


@pytest.mark.parametrize(
    "tell",
    [
        whole,
        unknown_and_there,
        said_again,
        reset,
        deleted,
        perhaps_deleted,
        cut_off,
        cut_off_and_said_again,
    ],
)
def test_a_store_can_behave_so(tell: Callable[[Tale], Final]) -> None:
    tale = Tale()
    final = tell(tale)

    assert check(tale.history, final) == []


def lost(tale: Tale) -> Final:
    tale.say("one")
    tale.say("two")
    return chain("one")


def lost_to_a_power_cut(tale: Tale) -> Final:
    tale.say("one")
    tale.cut()
    return chain()


def lost_in_the_middle(tale: Tale) -> Final:
    tale.say("one", durable=False)
    tale.say("two", durable=False)
    tale.cut()
    return chain("two")


def lost_without_a_cut(tale: Tale) -> Final:
    tale.cut()
    tale.say("one", durable=False)
    return chain()


def gone(tale: Tale) -> Final:
    tale.say("one")
    return GONE


def resolved_and_gone(tale: Tale) -> Final:
    tale.ask("resolve", "", key="k").ok("s")
    return GONE


def refused_and_there(tale: Tale) -> Final:
    tale.refuse("one")
    return chain("one")


def there_twice(tale: Tale) -> Final:
    tale.say("one")
    return Final({"s": Left([("one", None), ("one", None)])})


def half_a_batch(tale: Tale) -> Final:
    tale.lose("one", "two")
    return chain("one")


def a_batch_apart(tale: Tale) -> Final:
    tale.say("one", "two")
    tale.say("three")
    return chain("one", "three", "two")


def reordered(tale: Tale) -> Final:
    tale.say("one")
    tale.say("two")
    return chain("two", "one")


def an_orphan(tale: Tale) -> Final:
    tale.say("one")
    return Final({"s": Left([("one", "nobody")])})


def another_parent(tale: Tale) -> Final:
    tale.say("one")
    tale.say("two", parent=None)
    return chain("one", "two")


def miscounted(tale: Tale) -> Final:
    tale.say("one")
    return chain("one", count=2)


def hidden_without_a_reset(tale: Tale) -> Final:
    tale.say("one")
    return chain("one", visible=0)


def counted_too_few(tale: Tale) -> Final:
    tale.say("one")
    tale.ask("count").ok(0)
    return chain("one")


def resurrected(tale: Tale) -> Final:
    tale.say("one")
    tale.ask("delete").ok()
    return chain("one")


def said_after_death(tale: Tale) -> Final:
    tale.ask("delete").ok()
    tale.say("one")
    return GONE


def resolved_after_death(tale: Tale) -> Final:
    tale.ask("delete").ok()
    tale.ask("resolve", "", key="k").ok("s")
    return GONE


def foreign(tale: Tale) -> Final:
    tale.say("one")
    return chain("one", "two")


def of_another_session(tale: Tale) -> Final:
    tale.ask("append", "other", ids=["one"]).unknown("died")
    tale.ask("read").ok([])
    return chain("one")


def one_key_twice(tale: Tale) -> Final:
    tale.ask("resolve", "", key="k").ok("s")
    tale.ask("resolve", "", key="k").ok("t")
    return Final({"s": Left([]), "t": Left([])})


def a_key_elsewhere(tale: Tale) -> Final:
    tale.ask("resolve", "", key="k").ok("s")
    return Final({"s": Left([]), "t": Left([])}, {"k": "t"})


def read_and_forgotten(tale: Tale) -> Final:
    tale.lose("one")
    tale.read("one")
    tale.read()
    return chain()


def read_too_little(tale: Tale) -> Final:
    tale.say("one")
    tale.read()
    return chain("one")


def read_refused(tale: Tale) -> Final:
    tale.refuse("one")
    tale.read("one")
    return chain()


def read_in_another_order(tale: Tale) -> Final:
    ask = [tale.ask("append", ids=[name]) for name in ("one", "two")]
    tale.read("two", "one")
    for one in ask:
        one.ok()
    return chain("one", "two")


@pytest.mark.parametrize(
    ("tell", "word"),
    [
        (lost, "acknowledged, and lost: two"),
        (lost_to_a_power_cut, "acknowledged, and lost: one"),
        (lost_in_the_middle, "something acknowledged before it is lost"),
        (lost_without_a_cut, "acknowledged, and lost: one"),
        (gone, "is gone, and nobody deleted it"),
        (resolved_and_gone, "is gone"),
        (refused_and_there, "refused, and there: one"),
        (there_twice, "there twice: one"),
        (half_a_batch, "not all or nothing"),
        (a_batch_apart, "not all or nothing"),
        (reordered, "stands behind it"),
        (an_orphan, "hangs below nobody"),
        (another_parent, "was given None"),
        (miscounted, "counts 2 of 1"),
        (hidden_without_a_reset, "nobody reset it"),
        (counted_too_few, "counted 0 messages, of 1 to 1"),
        (resurrected, "was deleted, and is there"),
        (said_after_death, "after the delete"),
        (resolved_after_death, "which was deleted"),
        (foreign, "two was said by nobody"),
        (of_another_session, "one was said in other"),
        (one_key_twice, "k names s and t"),
        (a_key_elsewhere, "names t in the end"),
        (read_and_forgotten, "does not stand there"),
        (read_too_little, "did not read one"),
        (read_refused, "which was refused"),
        (read_in_another_order, "does not stand there"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_no_store_behaves_so(tell: Callable[[Tale], Final], word: str) -> None:
    tale = Tale()
    final = tell(tale)

    found = check(tale.history, final)

    assert any(word in sentence for sentence in found), found


def test_histories_of_several_processes_are_one() -> None:
    lines: list[str] = []
    clock = iter([1.0, 3.0, 5.0])
    killed = History(lambda: next(clock), lines.append)
    killed.begin("killed", "append", "s", ids=["one"]).ok()
    killed.begin("killed", "append", "s", ids=["two"])
    tale = Tale()
    tale.say("three")

    merged = History.merged([*lines, '{"n":1,"end'], list(tale.history.lines()))

    assert [(one.facts["ids"], one.outcome) for one in merged.operations] == [
        (["one"], "ok"),
        (["three"], "ok"),
        (["two"], "unknown"),
    ]
    assert check(merged, chain("three")) == ["s: acknowledged, and lost: one"]


def test_what_a_fresh_process_reads_is_the_end() -> None:
    runtime = BlockingRuntime()
    store = Engine(InMemoryFileSystem(), StoreConfig(), runtime)
    session = run(store.resolve("k"))
    for word in ("one", "two"):
        run(store.append(session, {"type": "user", "content": word}))

    final = run(read_final(store, lambda message: message.content))

    assert final == Final(
        {session: Left([("one", None), ("two", "one")], count=2, visible=2)}, {"k": session}
    )
