"""All tests of engines and suites, also what the ordinary run leaves out, again and again.

campaign_engines.py [--amount ROUNDS] [--seed N]
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 3_600


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--amount", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="not used: what races is not seeded")
    rounds = parser.parse_args().amount
    failed: list[str] = []
    for number in range(rounds):
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-n",
            "2",
            "--dist",
            "loadscope",
            "-p",
            "no:cacheprovider",
        ]
        done = subprocess.run(
            [*command, "tests/engines", "tests/testing"],
            cwd=ROOT,
            env={**os.environ, "SESSION_STORE_TEST_ALL": "1"},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        lines = done.stdout.strip().splitlines() or [done.stderr[-500:]]
        print(f"round {number + 1}: {lines[-1]}", flush=True)
        if done.returncode:
            print(done.stdout, flush=True)  # why: what races may not do so again for long
            named = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
            failed += named or [lines[-1]]
    print(*failed, sep="\n", flush=True)
    print(json.dumps({"rounds": rounds, "violations": len(failed)}))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
