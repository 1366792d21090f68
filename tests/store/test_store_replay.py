"""What the lines of a log amount to is the same in whatever pieces they are taken in."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_store import Message
from session_store.store import replay
from session_store.store.replay import Nodes, Tail

NAMES = st.sampled_from("abcdefgh")
BRANCHES = st.none() | st.sampled_from(["main", "tried"])
CONTROLS: list[dict[str, Any]] = [
    {"kind": "reset"},
    {"kind": "head", "messageId": "a", "branch": "main"},
    {"kind": "branch_deleted", "name": "main", "created": 1},
    {"kind": "fence", "epoch": 2, "nonce": "n"},
    {"kind": "fence"},
    {"kind": "seal", "offset": 0, "length": 1},
]
SPEECH = st.builds(
    Message, id=NAMES, type=st.just("user"), branch=BRANCHES, timestamp=st.integers()
)
CONTROL = st.builds(Message, id=NAMES, type=st.just("custom"), control=st.sampled_from(CONTROLS))


def state(tail: Tail) -> dict[str, Any]:
    met = {name for name in "abcdefgh" if tail.met(name)}
    shown = {name: value for name, value in vars(tail).items() if not name.startswith("_")}
    return {**shown, "met": met, "branches": {name: tail.branch_of(name) for name in met}}


@pytest.mark.parametrize("recent", [1, 3, 512])
@pytest.mark.parametrize("start", [0, 100])
def test_a_tail_is_the_same_whether_records_come_one_by_one_or_together(
    recent: int, start: int
) -> None:
    @given(st.lists(st.lists(SPEECH | CONTROL)))
    def check(pieces: list[list[Message]]) -> None:
        one_by_one, together, nodes = Tail(start), Tail(start), Nodes()
        place = start
        for piece in pieces:
            entries = [(place + n, place + n + 1, message) for n, message in enumerate(piece)]
            place += len(piece)
            nodes.extend(entries)
            told = [one_by_one.apply(offset, message) for offset, _, message in entries]

            assert together.extend(entries) == [fence for fence in told if fence is not None]

            known, found = state(one_by_one), state(together)
            if recent < 512:
                # What is remembered of the messages before the last few differs.
                for kept in (known, found):
                    del kept["met"], kept["branches"]
            assert found == known

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replay, "RECENT", recent)
        check()


def test_the_last_of_many_are_met() -> None:
    tail = Tail(0)
    messages = [Message(id=str(n), type="user", branch="main") for n in range(replay.RECENT * 3)]

    tail.extend([(n, n + 1, message) for n, message in enumerate(messages)])

    last = messages[-replay.RECENT :]
    assert all(tail.met(message.id) for message in last)
    assert {tail.branch_of(message.id) for message in last} == {"main"}
    assert tail.count == len(messages)
    assert tail.remembered <= 2 * replay.RECENT
    assert not tail.met("0")
