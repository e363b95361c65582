"""The payment provider as tests use it: the simulator in a process of its own, to be asked, scripted and killed."""

import json
import select
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

ROOT = Path(__file__).parents[2]
START_SECONDS = 30


class Simulator:
    """A running simulator; `kill` and `start` keep port and journal, so a restart is the same provider again."""

    def __init__(self, journal: Path | None = None, *, port: int = 0, **faults: Any) -> None:
        self.journal = journal
        self.port = port
        self.faults = faults
        self.process: subprocess.Popen[str] | None = None
        self._http = httpx.Client(timeout=30, trust_env=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "payadmin.simulator", "--port", str(self.port)]
        command += ["--faults", json.dumps(self.faults)]
        command += ["--journal", str(self.journal)] if self.journal else []
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], START_SECONDS)
        line = self.process.stdout.readline() if readable else ""
        if not line:
            self.kill()
            raise RuntimeError("The simulator did not start.")
        self.port = int(line.rsplit(":", 1)[1])

    def kill(self) -> None:
        """End it as `kill -9` would: nothing is flushed, nothing is said."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._http.close()

    def ledger(self) -> dict[str, dict[str, list[dict[str, Any]]]]:
        """Return what moved: captured, refunded, voided and pending, each by reference."""
        return self.call("GET", "/_ctl/ledger")

    def captured(self, reference: str) -> list[int]:
        """Return the amount of every capture under a reference; more than one is a double charge."""
        return [item["amount"] for item in self.ledger()["captured"].get(reference, [])]

    def stats(self) -> dict[str, dict[str, int]]:
        return self.call("GET", "/_ctl/stats")

    def script(self, reference: str, faults: list[str]) -> None:
        """Set what the next requests about this reference meet, in order; "ok" stands for no fault."""
        self.call("POST", "/_ctl/script", {"reference": reference, "faults": faults})

    def config(self, **changes: Any) -> dict[str, Any]:
        return self.call("POST", "/_ctl/config", changes) if changes else self.call("GET", "/_ctl/config")

    def reset(self) -> None:
        self.call("POST", "/_ctl/reset")

    def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        response = self._http.request(method, self.url + path, json={} if body is None and method == "POST" else body)
        response.raise_for_status()
        answer: dict[str, Any] = response.json()
        return answer
