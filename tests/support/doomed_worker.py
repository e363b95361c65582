"""A worker that does real work and halts right after one step, or never: `python -m tests.support.doomed_worker POINT`.

It says the name of the step on its standard output and then waits to be killed.
"""

import os
import sys
import time
from collections.abc import Callable
from typing import Any

from payadmin import create_worker_app
from payadmin.actions.payments import orders
from payadmin.config import Settings
from payadmin.jobs import batches, runner
from payadmin.providers.simulator import SimulatorProvider

STEPS: dict[str, tuple[tuple[Any, str], ...]] = {
    "claimed": ((orders, "claim_order"),),
    "answered": ((SimulatorProvider, "refund"), (SimulatorProvider, "void")),
    "booked": ((orders, "book_order"),),
    "checked a piece": ((batches, "check_some"),),
    "processed a piece": ((batches, "process_some"),),
    "paid a row": ((batches, "pay_some"),),
    "never": (),
}


def halt_after(owner: Any, name: str, point: str) -> None:
    step: Callable[..., Any] = getattr(owner, name)

    def halting(*args: Any, **kwargs: Any) -> None:
        step(*args, **kwargs)
        print(point, flush=True)
        time.sleep(3600)

    setattr(owner, name, halting)


def main(point: str) -> None:
    app = create_worker_app(Settings.from_env(os.environ))
    for owner, name in STEPS[point]:
        halt_after(owner, name, point)
    if point == "never":
        print("ready", flush=True)
    with app.app_context():
        while True:
            runner.drain()
            if point == "never":
                time.sleep(0.05)


if __name__ == "__main__":
    main(sys.argv[1])
