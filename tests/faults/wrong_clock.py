"""A payadmin process on a host whose clock is wrong: `python -m tests.faults.wrong_clock SECONDS scheduler`."""

import datetime as dt
import sys

import payadmin.db


def main() -> None:
    """Shift the one function by which payadmin reads the clock, before anything imports it."""
    wrong = dt.timedelta(seconds=float(sys.argv.pop(1)))
    right = payadmin.db.utcnow
    payadmin.db.utcnow = lambda: right() + wrong
    from payadmin.cli import main as payadmin_main

    payadmin_main()


if __name__ == "__main__":
    main()
