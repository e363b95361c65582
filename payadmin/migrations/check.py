"""Proof that models, migrations and a database's own constraints are the same thing (`payadmin db check`)."""

import contextlib
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, make_url
from sqlalchemy.schema import CreateSchema, DropSchema

from payadmin.db import Base, make_engine
from payadmin.migrations import head, upgrade
from payadmin.migrations.catalog import Catalog, read_catalog
from payadmin.models import load_models


def differences(url: str) -> list[str]:
    """One sentence for each way in which the models, the migrations and the database at `url` disagree.

    Two empty databases of the same kind are built and thrown away: temporary files for SQLite, schemas of their own
    for PostgreSQL, in the database at `url`. One is made by the migrations, the other from the models; the catalogues
    of both, and of the database itself, are then compared. Nothing of the database's own is written.
    """
    migrated = migrated_catalog(url)
    found = compare(migrated, models_catalog(url), "the migrations make", "the models say")
    return found + _database_differences(url, migrated)


def migrated_catalog(url: str) -> Catalog:
    """What the migrations make of an empty database of the same kind as the one at `url`."""
    with scratch(url) as empty:
        upgrade(empty)
        return catalog_of(empty)


def models_catalog(url: str) -> Catalog:
    """What the models say that a database of the same kind as the one at `url` should hold."""
    load_models()
    with scratch(url) as empty, connected(empty) as connection:
        Base.metadata.create_all(connection)
        return read_catalog(connection)


def catalog_of(url: str) -> Catalog:
    """What the database at `url` holds."""
    with connected(url) as connection:
        return read_catalog(connection)


def compare(ours: Catalog, theirs: Catalog, we: str, they: str) -> list[str]:
    """The differences of two catalogues, in sentences.

    Args:
        we: what the first catalogue is, as a subject and a verb ("the migrations make").
        they: the same of the second.
    """
    found = []
    for name in sorted(ours.keys() | theirs.keys()):
        if name not in theirs:
            found.append(f"{name}: {we} it ({ours[name]}), but nothing of the kind is what {they}.")
        elif name not in ours:
            found.append(f"{name}: {they} it ({theirs[name]}), but nothing of the kind is what {we}.")
        elif ours[name] != theirs[name]:
            found.append(f"{name}: {we} {ours[name]}, but {they} {theirs[name]}.")
    return found


def _database_differences(url: str, migrated: Catalog) -> list[str]:
    file = make_url(url).database
    if url.startswith("sqlite") and not (file and Path(file).exists()):
        return [f"There is no database at {file}: run `payadmin db upgrade`."]
    with connected(url) as connection:
        at = MigrationContext.configure(connection).get_current_revision()
        if at != head():
            return [f"The database is at revision {at or 'none'}, the code at {head()}: run `payadmin db upgrade`."]
        return compare(read_catalog(connection), migrated, "the database has", "the migrations make")


@contextlib.contextmanager
def connected(url: str) -> Iterator[Connection]:
    """A connection that commits at the end."""
    engine = make_engine(url)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


@contextlib.contextmanager
def scratch(url: str) -> Iterator[str]:
    """The address of an empty database of the same kind as `url`, gone afterwards."""
    if url.startswith("sqlite"):
        with tempfile.TemporaryDirectory(prefix="payadmin-check-") as folder:
            yield f"sqlite:///{folder}/scratch.db"
        return
    # A schema needs no right to create databases, and its names are seen by nobody else's search path.
    schema = f"payadmin_check_{secrets.token_hex(6)}"
    with connected(url) as connection:
        connection.execute(CreateSchema(schema))
    try:
        address = make_url(url).update_query_dict({"options": f"-csearch_path={schema}"})
        yield address.render_as_string(hide_password=False)
    finally:
        with connected(url) as connection:
            connection.execute(DropSchema(schema, cascade=True))
