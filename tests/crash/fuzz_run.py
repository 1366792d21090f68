"""One target under the fuzzer, or one input again: `fuzz_run.py TARGET [FILE]`.

With atheris it is guided by what code the inputs reach. Without, the same mutations are applied
blindly. An input that fails is left in a file of the folder `--found`.
"""

import argparse
import importlib
import importlib.util
import random
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HANG_SECONDS = 60
MEMORY_MB = 2048
FOUND = "fuzz-found"


def has_atheris() -> bool:
    """Return whether the guide is installed."""
    return importlib.util.find_spec("atheris") is not None


def main() -> int:
    """Run a target on one file, or for so many executions; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("file", nargs="?", type=Path, help="one input, to be tried again")
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--found", type=Path, default=Path(FOUND), help="where failures go")
    given = parser.parse_args()
    if given.file is not None:
        return _again(given.target, given.file)
    given.found.mkdir(parents=True, exist_ok=True)
    if has_atheris():
        _guided(given.target, given.runs, given.seed, given.found)
        return 0  # never reached: the fuzzer ends the process
    from fuzz_seeds import Seeds
    from fuzz_targets import TARGETS

    pool = TARGETS[given.target].seeds(Seeds())
    return blind(given.target, given.runs, given.seed, given.found, pool)


def _again(name: str, file: Path) -> int:
    from fuzz_targets import TARGETS

    try:
        TARGETS[name].run(file.read_bytes())
    except Exception:
        traceback.print_exc()
        return 1
    print("nothing is wrong")
    return 0


def blind(name: str, runs: int, seed: int, found: Path, pool: Sequence[bytes]) -> int:
    """Mutate `pool` without a guide; the first failure ends it."""
    from fuzz_mutate import mutated
    from fuzz_targets import TARGETS

    target, dice = TARGETS[name], random.Random(seed)
    for number in range(runs):
        data = pool[number] if number < len(pool) else dice.choice(pool)
        for _ in range(0 if number < len(pool) else dice.choice((1, 1, 2, 4))):
            data = mutated(data, target.most_bytes, dice.getrandbits(60), pool)
        try:
            target.run(data)
        except Exception:
            traceback.print_exc()
            path = found / f"{name}-{seed}-{number}"
            path.write_bytes(data)
            print(f"Test unit written to {path}", file=sys.stderr)
            return 1
    return 0


def _guided(name: str, runs: int, seed: int, found: Path) -> None:
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["session_store"]):
        importlib.import_module("session_store.sync")
        from fuzz_targets import TARGETS
    from fuzz_mutate import mutated
    from fuzz_seeds import Seeds

    target = TARGETS[name]
    pool = target.seeds(Seeds())
    corpus = found / f"corpus-{name}-{seed}"
    corpus.mkdir(exist_ok=True)
    for number, data in enumerate(pool):
        (corpus / f"seed-{number}").write_bytes(data)

    def mutator(data: bytes, most: int, dice: int) -> bytes:
        if dice % 8 == 0:
            return bytes(atheris.Mutate(data, most))
        return mutated(bytes(data), most, dice, pool)

    arguments = [
        sys.argv[0],
        f"-runs={runs}",
        f"-seed={seed}",
        f"-max_len={target.most_bytes}",
        f"-timeout={HANG_SECONDS}",
        f"-rss_limit_mb={MEMORY_MB}",
        f"-artifact_prefix={found / name}-",
        "-print_final_stats=1",
        "-verbosity=0",
        "-len_control=0",
        str(corpus),
    ]
    atheris.Setup(arguments, target.run, custom_mutator=mutator)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
