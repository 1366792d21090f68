"""Thousands of schedules, each decided by its seed: `play(seed)` repeats one."""

from locks_kit import MiniStore, parse
from locks_world import play

SCHEDULES = 2000


def test_no_schedule_lets_two_leases_write_to_one_log() -> None:
    messages = fences = 0

    for seed in range(SCHEDULES):
        log, violations = play(seed)
        assert violations == [], f"seed {seed}"
        lines = [line for _, line in parse(log)]
        fences += sum("fence" in line for line in lines)
        messages += sum("nonce" in line for line in lines)

    # Or it would prove nothing.
    assert messages > 4 * SCHEDULES
    assert fences > SCHEDULES


def test_the_same_seed_plays_the_same_schedule() -> None:
    assert play(7) == play(7)


def test_without_fences_leases_overlap() -> None:
    assert any(play(seed, fencing=False)[1] for seed in range(SCHEDULES))


def test_a_store_that_does_not_hear_of_fences_is_caught() -> None:
    def deafen(store: MiniStore) -> None:
        store.locks._desks.saw_fence = lambda *_: None  # type: ignore[method-assign]

    assert any(play(seed, prepare=deafen)[1] for seed in range(SCHEDULES))
