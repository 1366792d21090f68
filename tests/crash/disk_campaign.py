"""What the campaigns of the disk have in common: their arguments, and the line they end with."""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from disk_children import end_politely_on_sigterm
from disk_judge import Verdict

STORIES = 5


@dataclass(slots=True)
class Tally:
    """What a campaign has done, and what it found."""

    name: str
    unit: str
    amount: int = 0
    violations: int = 0
    seeds: str = ""
    quiet: bool = False
    skipped: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    began: float = field(default_factory=time.monotonic)

    def judged(self, seed: str, verdict: Verdict) -> None:
        """Count one verdict; tell the story of one that is bad."""
        self.amount += 1
        self.counts.update({f"found {code}": count for code, count in verdict.findings.items()})
        if verdict.violations:
            self.violated(seed, *verdict.violations)

    def violated(self, seed: str, *sentences: str) -> None:
        """Count a violation, and tell of the first ones."""
        self.violations += 1
        if self.violations <= STORIES and not self.quiet:
            say(f"VIOLATION, seed {seed}:", *(f"  {sentence}" for sentence in sentences[:12]))

    def require(self, count: str, least: int) -> None:
        """Call it a violation if something that must be met was hardly met: the test is void."""
        if self.counts[count] < least:
            self.violated(self.seeds, f"void: {count} only {self.counts[count]} of {least} times")

    def control(self, name: str, run: Callable[["Tally"], object]) -> None:
        """Run a negative control: with one safety step off the same test must find something."""
        control = Tally(self.name, self.unit, seeds=self.seeds, quiet=True)
        run(control)
        self.counts[f"control, {name}: violations"] = control.violations
        self.require(f"control, {name}: violations", 1)

    def finish(self) -> int:
        """Print the last line and return the exit code."""
        result = {
            "campaign": self.name,
            "unit": self.unit,
            "amount": self.amount,
            "violations": self.violations,
            "seeds": self.seeds,
            "seconds": round(time.monotonic() - self.began, 1),
            "skipped": self.skipped,
            "counts": dict(sorted(self.counts.items())),
        }
        print(json.dumps(result), flush=True)
        return 1 if self.violations else 0


def say(*lines: str) -> None:
    """Print at once, so that it is there if the machine is not."""
    print(*lines, sep="\n", file=sys.stdout, flush=True)


def arguments(
    description: str, amount: int, add: Callable[[argparse.ArgumentParser], object] = lambda _: None
) -> argparse.Namespace:
    """Return the arguments of a campaign; SIGTERM will unwind it from now on."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--amount", type=int, default=amount)
    parser.add_argument("--seed", type=int, default=1)
    add(parser)
    end_politely_on_sigterm()
    return parser.parse_args()
