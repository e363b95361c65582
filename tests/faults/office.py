"""An application, a database and a provider for fault runs that need threads and not processes."""

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from payadmin import create_app
from payadmin.db import db
from payadmin.migrations import upgrade
from tests.bench.list import bench_settings
from tests.faults.stage import database_in
from tests.support.billing import Office
from tests.support.make import Make
from tests.support.simulator import Simulator


@contextlib.contextmanager
def office_on(database: str, **faults: Any) -> Iterator[Office]:
    """A billing office on an empty database of its own, inside its application's context."""
    with tempfile.TemporaryDirectory(prefix="payadmin-faults-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        with database_in(database, folder) as (url, _server), Simulator(**faults) as simulator:
            upgrade(url)
            settings = dataclasses.replace(
                bench_settings(url, folder), simulator_url=simulator.url, provider_timeout_seconds=5
            )
            app = create_app(settings)
            with app.app_context():
                try:
                    yield Office(app, Make(app), simulator)
                finally:
                    db.session.remove()
                    db.engine.dispose()
