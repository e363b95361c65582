"""Run the simulator by itself: `python -m payadmin.simulator --port 0 --journal FILE --faults JSON`."""

import argparse
import json
import sys
from pathlib import Path

from payadmin.simulator import serve


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m payadmin.simulator", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--journal", type=Path)
    parser.add_argument("--faults", type=json.loads, default={})
    arguments = parser.parse_args()

    def ready(port: int) -> None:
        sys.stdout.write(f"http://127.0.0.1:{port}\n")
        sys.stdout.flush()

    serve(arguments.port, arguments.journal, arguments.faults, ready=ready)


if __name__ == "__main__":
    main()
