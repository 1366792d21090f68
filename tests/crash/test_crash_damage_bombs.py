"""Files made to exhaust a reader cost it a multiple of their size, and end in a typed answer."""

from pathlib import Path
from typing import Any

import pytest
from damage_bombs import BOMBS, PLACES, lay, read_import, set_off, too_much, use

from session_store.jsonl import lines

SMALL = 1
ABSURD = [name for name, bomb in BOMBS.items() if bomb.times == 1000]
HEAVY = [name for name in BOMBS if name not in ABSURD]


@pytest.mark.parametrize("name", ABSURD)
def test_an_absurd_value_is_a_finding_or_a_typed_error(name: str, tmp_path: Path) -> None:
    data = BOMBS[name].build(SMALL)
    for place in PLACES:
        if place != "import":
            lay(tmp_path / place, data, place)

            use(tmp_path / place)

    assert read_import(data) <= data.count(b"\n") + 1


@pytest.mark.parametrize("name", HEAVY)
def test_a_heavy_file_costs_a_multiple_of_its_size_wherever_it_is(
    name: str, tmp_path: Path
) -> None:
    facts = set_off(name, "everywhere", SMALL, tmp_path / "store")

    assert facts["size"] > 1000
    assert not too_much(name, facts), facts


@pytest.mark.parametrize("name", HEAVY)
def test_a_heavy_file_can_be_offered_for_import(name: str) -> None:
    data = BOMBS[name].build(SMALL)

    assert read_import(data) <= data.count(b"\n") + 1


def test_a_bomb_that_costs_too_much_would_be_noticed(tmp_path: Path) -> None:
    facts = set_off("a long line", "log", SMALL, tmp_path / "store")

    assert not too_much("a long line", facts)
    assert too_much("a long line", facts | {"cost": facts["cost"] + (100 << 20)})


def test_a_reader_that_lets_a_deep_line_through_would_be_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = BOMBS["deep in a message"].build(SMALL)
    lay(tmp_path / "safe", data, "log")
    use(tmp_path / "safe")
    lay(tmp_path / "unsafe", data, "log")

    def recurse(text: str, **_: Any) -> Any:
        """Stand for a parser whose `RecursionError` nobody translates."""
        raise MemoryError(text[:10])

    monkeypatch.setattr(lines.json, "loads", recurse)

    with pytest.raises(MemoryError):
        use(tmp_path / "unsafe")
