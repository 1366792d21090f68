"""Every public operation with its first, second, third … call of the seam failing."""

from collections.abc import Iterator

import pytest
from nth_cases import CASES
from nth_loop import FAULTS, HANDLE, Range, Shot, cases_for, handle_cases
from nth_sabotage import SABOTAGES, Sabotage

import session_store
import session_store.sync

# For `session_store.runtime.on_fork`, and what a handle is rather than does.
NOT_CALLED = {"after_fork", "store", "id", "key"}

# What the ordinary run tries; the campaign tries all of it everywhere.
SHORT = [
    ("blocking", "rich", "refused", False, True),
    ("blocking", "rich", "lost answer", False, True),
    ("blocking", "long", "lost answer", True, False),
    ("blocking", "torn", "torn at 0.5", False, False),
    ("blocking", "due", "full", False, True),
    ("blocking", "foreign", "lost call", False, True),
    ("blocking", "damaged", "full", True, False),
    ("blocking", "new", "conflict", True, True),
    ("blocking", "nothing", "lost answer", False, False),
    ("blocking", "held", "KeyboardInterrupt after", False, True),
    ("async", "held", "cancelled after", False, True),
    ("async", "rich", "torn at 1.0", True, True),
    ("async", "new", "cancelled", False, False),
]


@pytest.fixture(scope="module")
def seam() -> Iterator[Range]:
    with Range() as seam:
        yield seam


@pytest.mark.parametrize("package", [session_store, session_store.sync])
def test_no_operation_of_a_store_is_forgotten(package: object) -> None:
    public = public_names(package, "SessionStore")

    tried = {name.partition(" ")[0] for name in CASES}

    assert public == tried


@pytest.mark.parametrize("package", [session_store, session_store.sync])
def test_no_operation_of_a_handle_is_forgotten(package: object) -> None:
    assert public_names(package, "Session") == set(HANDLE.values())


def public_names(package: object, name: str) -> set[str]:
    return {one for one in dir(getattr(package, name)) if not one.startswith("_")} - NOT_CALLED


@pytest.mark.parametrize(("face", "world", "fault", "lasting", "warm"), SHORT)
def test_whatever_call_fails_the_error_is_true_and_the_store_goes_on(
    seam: Range, face: str, world: str, fault: str, lasting: bool, warm: bool
) -> None:
    before = seam.tally.struck
    chosen = next(one for one in FAULTS[face] if one.name == fault)

    for case in cases_for(world):
        seam.fire(seam.course(face, world, case, warm=warm), chosen, lasting=lasting)

    assert seam.tally.struck - before >= 20
    assert not seam.tally.violations, "\n".join(seam.tally.violations)


@pytest.mark.parametrize("face", ["blocking", "async"])
def test_the_same_holds_for_a_handle(seam: Range, face: str) -> None:
    before = seam.tally.struck

    for case in handle_cases("rich"):
        for fault in FAULTS[face]:
            if fault.name == "lost answer":
                seam.fire(seam.course(face, "rich", case, warm=True), fault, lasting=False)

    assert seam.tally.struck - before >= 20
    assert not seam.tally.violations, "\n".join(seam.tally.violations)


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda sabotage: sabotage.what)
def test_a_safety_step_taken_out_is_noticed(sabotage: Sabotage) -> None:
    fault = next(one for one in FAULTS["blocking"] if one.name == sabotage.fault)

    with Range() as seam:
        course = seam.course("blocking", "rich", sabotage.case, warm=sabotage.warm)
        seam.fire(course, fault, lasting=False)
        assert not seam.tally.violations
        with sabotage.done():
            seam.fire(course, fault, lasting=False)

        assert seam.tally.violations


def test_a_shot_can_be_fired_again_by_its_name() -> None:
    shot = Shot("async", "rich", "append with an id", True, "torn at 0.5", False, 3)

    assert Shot.parse(str(shot)) == shot
