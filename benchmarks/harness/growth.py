"""The curves, drawn in an environment of their own: matplotlib is needed for nothing else."""

import subprocess
import sys
from pathlib import Path

from .environments import HERE, LeftOutError, make


def draw(results: Path, folder: Path) -> bool:
    """Draw `growth.png` and `growth.svg`; False, and a line on stderr, if that is not possible."""
    try:
        python = make("plot") / "bin" / "python"
    except LeftOutError as error:
        sys.stderr.write(f"the curves are not drawn: {error}\n")
        return False
    arguments = [
        str(python),
        "-m",
        "benchmarks.plot",
        str(results.resolve()),
        str(folder.resolve()),
    ]
    subprocess.run(arguments, cwd=HERE.parent, check=True)  # noqa: S603 (ours)
    return True
