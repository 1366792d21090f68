"""An environment for each peer, made from `requirements/` when it is first needed.

They lie in `benchmarks/.envs/`, which git does not see. What cannot be made is left out of the
run, with the reason.
"""

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from .peers import Row

HERE = Path(__file__).resolve().parents[1]
ENVIRONMENTS = HERE / ".envs"
REQUIREMENTS = HERE / "requirements"
INSTALL_SECONDS = 900

QUIET = {
    "AGNO_TELEMETRY": "false",
    "DO_NOT_TRACK": "1",
    "OTEL_SDK_DISABLED": "true",
    "PYTHONWARNINGS": "ignore",
}
"""What keeps the peers from telling anybody that they run."""


class LeftOutError(Exception):
    """A row cannot run here; the text says why."""


def command(row: Row) -> tuple[list[str], dict[str, str]]:
    """Return how to start the row, its environment made; raises `LeftOutError`."""
    variables = {**os.environ, **QUIET}
    if row.environment is None:
        return [sys.executable, "-m", f"benchmarks.rows.{row.name}"], variables
    home = make(row.environment)
    if row.language == "Python":
        return [str(_python(home)), "-m", f"benchmarks.rows.{row.name}"], variables
    return ["node", str(HERE / "rows" / f"{row.name}.mjs")], {**variables, "PI_HOME": str(home)}


def make(name: str) -> Path:
    """Return the folder of the environment of that name, made anew if what is pinned changed."""
    home = ENVIRONMENTS / name
    pinned = next(REQUIREMENTS.glob(f"{name}.*"))
    stamp = home / ".made-from"
    if stamp.exists() and stamp.read_bytes() == pinned.read_bytes():
        return home
    shutil.rmtree(home, ignore_errors=True)
    try:
        if pinned.suffix == ".json":
            _npm(home, pinned)
        else:
            venv.create(home, with_pip=True)
            _run([str(_python(home)), "-m", "pip", "install", "--quiet", "-r", str(pinned)])
    except LeftOutError:
        shutil.rmtree(home, ignore_errors=True)
        raise
    stamp.write_bytes(pinned.read_bytes())
    return home


def versions(row: Row) -> str:
    """Return the version of what the row measures."""
    if row.environment is None:
        return ""
    pinned = next(REQUIREMENTS.glob(f"{row.environment}.*"))
    if pinned.suffix == ".json":
        pins = json.loads(pinned.read_text())["dependencies"]
    else:
        lines = [line for line in pinned.read_text().splitlines() if "==" in line]
        pins = dict(line.split("==") for line in lines)
    shown = MAIN.get(row.environment, [row.environment])
    return ", ".join(f"{name} {pins[name]}" for name in shown)


MAIN = {
    "sqlite": ["apsw"],
    "langgraph": ["langgraph-checkpoint-sqlite"],
    "langgraph-postgres": ["langgraph-checkpoint-postgres"],
    "openai-agents-servers": ["openai-agents"],
    "strands": ["strands-agents"],
    "llama-index": ["llama-index-core"],
    "agent-framework": ["agent-framework-core"],
    "langchain": ["langchain-community"],
    "pi": ["@mariozechner/pi-coding-agent"],
}
"""What an environment is there for, where it is named otherwise."""


def _python(home: Path) -> Path:
    return home / "bin" / "python"


def _npm(home: Path, pinned: Path) -> None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise LeftOutError("node and npm are not installed")
    home.mkdir(parents=True)
    shutil.copy(pinned, home / "package.json")
    options = ["--no-audit", "--no-fund", "--no-package-lock", "--omit=optional"]
    _run(["npm", "install", "--silent", "--ignore-scripts", *options, "--prefix", str(home)])


def _run(arguments: list[str]) -> None:
    try:
        done = subprocess.run(  # noqa: S603 (pip or npm)
            arguments, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LeftOutError(f"cannot be installed: {type(error).__name__}") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
        raise LeftOutError(f"cannot be installed: {lines[-1][:160]}")
