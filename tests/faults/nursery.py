"""Starts workers and schedulers by forking a process that has imported everything: what is killed is back at once.

Most of a fault run would otherwise be spent on imports, and most kills would meet a process that only imports. It reads
orders from its standard input, one JSON object a line, and answers each with the number of the new process.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any, NoReturn

import psutil


class Nursery:
    """The process that others are forked from, as the run sees it."""

    def __init__(self, env: dict[str, str], folder: Path) -> None:
        command = [sys.executable, "-m", "tests.faults.nursery"]
        self._lock = threading.Lock()
        self._process = Popen(command, env=env, cwd=folder, stdin=PIPE, stdout=PIPE, text=True)

    def start(self, arguments: list[str], log: Path) -> psutil.Process:
        """Start `payadmin ARGUMENTS`; what it prints goes to `log`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps({"arguments": arguments, "log": str(log)}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the nursery is gone")
        return psutil.Process(int(line))

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


def main() -> None:
    """Fork a process for each order; what has ended is buried at once."""
    from payadmin.embedded import die_with_parent

    die_with_parent(int(os.environ["PAYADMIN_PARENT"]))
    os.environ["PAYADMIN_PARENT"] = str(os.getpid())
    preload()
    signal.signal(signal.SIGCHLD, bury)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            be(order)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def preload() -> None:
    """Import what `payadmin worker` and `payadmin scheduler` need; nothing is opened, no thread is started."""
    import payadmin.cli
    from payadmin import create_worker_app
    from payadmin.jobs import load_jobs, runner
    from payadmin.models import load_models

    assert payadmin.cli
    assert create_worker_app
    assert runner
    load_models()
    load_jobs()


def bury(*_: Any) -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def be(order: dict[str, Any]) -> NoReturn:
    """Become the process of the order, in a session of its own."""
    from payadmin.cli import main as payadmin

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    status = 1
    try:
        payadmin(args=order["arguments"], standalone_mode=False)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - the log says what it was, and the supervisor starts it again
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
