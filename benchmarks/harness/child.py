"""A row in a process of its own, which is given one job after another."""

import json
import os
import selectors
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from benchmarks.kit.protocol import Answer, Params

from .environments import HERE, command
from .peers import Row

JOB_SECONDS = 900


class Child:
    """Starts with the first job; what went wrong is an answer with `error`, never a raise."""

    def __init__(self, row: Row) -> None:
        arguments, variables = command(row)
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as this)
        self._process = subprocess.Popen(  # noqa: S603 (a row of ours)
            arguments,
            cwd=HERE.parent,
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            # Ctrl-C is for the harness: it ends the run, and reports.
            start_new_session=True,
        )
        self._rest = b""

    def ask(self, workload: str, params: Params, seconds: float = JOB_SECONDS) -> Answer:
        """Give a job, and return its answer."""
        self.tell(workload, params)
        return self.hear(seconds)

    def tell(self, workload: str, params: Params) -> None:
        """Give a job; `hear` returns its answer."""
        assert self._process.stdin is not None
        line = json.dumps({"workload": workload, "params": params}).encode() + b"\n"
        with suppress(BrokenPipeError):
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def hear(self, seconds: float = JOB_SECONDS) -> Answer:
        """Return the next answer."""
        assert self._process.stdout is not None
        until = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                if not selector.select(max(0.0, until - time.monotonic())):
                    self.close()
                    return {"error": f"no answer within {seconds:.0f} s"}
                data = os.read(self._process.stdout.fileno(), 1 << 16)
                if not data:
                    self.close()
                    return {"error": f"it ended: {self._last_words()}"}
                self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        answer: Answer = json.loads(line)
        return answer

    @property
    def alive(self) -> bool:
        """Return whether it can take another job."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the process, and wait until it has."""
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _last_words(self) -> str:
        self._said.seek(0)
        lines = self._said.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:200] if lines else f"status {self._process.returncode}"


def gathered(children: list[Child], gate: Path, seconds: float = 120) -> bool:
    """Wait until all have said that they are ready, open the gate; False if some never were."""
    until = time.monotonic() + seconds
    while len(list(gate.glob("ready-*"))) < len(children):
        if time.monotonic() > until or not all(child.alive for child in children):
            (gate / "go").touch()
            return False
        time.sleep(0.005)
    (gate / "go").touch()
    return True
