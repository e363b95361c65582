"""Many at the same moment: threads that begin together, each with a database session of its own."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flask import Flask

from payadmin.db import db


def at_once(app: Flask, acts: Sequence[Callable[[], Any]]) -> list[Any]:
    """Start every act in a thread of its own, all at the same moment; what each returned or raised, in their order."""
    gate = threading.Barrier(len(acts))

    def run(act: Callable[[], Any]) -> Any:
        with app.app_context():
            gate.wait()
            try:
                return act()
            except Exception as error:  # noqa: BLE001 - what is raised is what the test looks at
                return error

    db.session.rollback()  # a test that has read something keeps nobody waiting
    with ThreadPoolExecutor(len(acts)) as pool:
        answers = list(pool.map(run, acts))
    db.session.rollback()  # the test sees what they did, not what was before
    return answers


def together(app: Flask, *acts: Callable[[], Any]) -> tuple[list[Any], list[BaseException]]:
    """The same, told apart: what came back, and what was raised."""
    answers = at_once(app, acts)
    return (
        [each for each in answers if not isinstance(each, Exception)],
        [each for each in answers if isinstance(each, Exception)],
    )
