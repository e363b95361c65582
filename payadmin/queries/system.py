"""How the machine and the database are doing: now, and over the last thirty days."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Engine, Integer, cast, extract, func, literal, make_url, or_, select, text
from sqlalchemy.orm import Session

from payadmin.kernel.masks import mask_pan_in_text
from payadmin.kernel.text import NumberText, _
from payadmin.models.subscriptions import ChargeStatus, ScheduledCharge, Subscription, SubscriptionStatus
from payadmin.models.system import Backup, Sample, WebMinute

MOST_SLOW = 8
MOST_BACKUPS = 5
LONGEST_STATEMENT = 300
SLOW_SECONDS = 1
# How many points a line has at most, for each range that the page offers: days → seconds of one point.
SPANS = {1: 300, 7: 1_800, 30: 7_200}


@dataclass(frozen=True)
class Slow:
    """A statement that takes long: its text without values, how often it ran, and how long in milliseconds."""

    statement: str
    calls: int | None
    milliseconds: int


@dataclass(frozen=True)
class DatabaseFacts:
    """What the database says of itself."""

    kind: str
    bytes: int
    facts: Sequence[tuple[str, str]]
    slow: Sequence[Slow]
    slow_from: str


def database_bytes(session: Session) -> int:
    """How much room the database takes, with what is not yet folded into it."""
    if session.get_bind().dialect.name == "postgresql":
        return session.scalar(select(func.pg_database_size(func.current_database()))) or 0
    return sum(path.stat().st_size for path in _sqlite_files(session) if path.exists())


def connections(session: Session) -> int:
    """How many connections the database has; SQLite has none to count."""
    if session.get_bind().dialect.name != "postgresql":
        return 0
    counted = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    return session.scalar(text(counted)) or 0


def database_facts(session: Session) -> DatabaseFacts:
    """The database as it is now."""
    if session.get_bind().dialect.name == "postgresql":
        return _postgresql(session)
    file, wal, _shm = _sqlite_files(session)
    asked = (text("PRAGMA page_count"), text("PRAGMA freelist_count"), text("PRAGMA page_size"))
    pages, free, size = (session.scalar(each) or 0 for each in asked)
    facts = [
        (_("Version"), str(session.scalar(text("SELECT sqlite_version()")))),
        (_("File"), file.name),
        (
            _("Pages"),
            _(
                "%(pages)s, each of %(size)s bytes; %(free)s free",
                pages=NumberText(pages),
                size=NumberText(size),
                free=NumberText(free),
            ),
        ),
        (_("Write-ahead log"), megabytes(wal.stat().st_size if wal.exists() else 0)),
    ]
    return DatabaseFacts("SQLite", database_bytes(session), facts, (), "")


def _postgresql(session: Session) -> DatabaseFacts:
    by_state = session.execute(
        text(
            "SELECT coalesce(state, 'other'), count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() GROUP BY 1 ORDER BY 1"
        )
    ).all()
    most = session.scalar(text("SHOW max_connections"))
    hits = session.execute(
        text(
            "SELECT blks_hit, blks_read, deadlocks, temp_bytes FROM pg_stat_database WHERE datname = current_database()"
        )
    ).one()
    share = hits.blks_hit * 1_000 // max(hits.blks_hit + hits.blks_read, 1)
    facts = [
        (_("Version"), str(session.scalar(text("SHOW server_version")))),
        (
            _("Connections"),
            _(
                "%(states)s (at most %(most)s)",
                states=", ".join(f"{number} {state}" for state, number in by_state),
                most=most,
            ),
        ),
        (_("Found in memory"), f"{share // 10}.{share % 10} %"),
        (_("Deadlocks since the start"), f"{hits.deadlocks:,}"),
        (_("Temporary files since the start"), megabytes(hits.temp_bytes)),
    ]
    slow, source = _slow(session)
    return DatabaseFacts("PostgreSQL", database_bytes(session), facts, slow, source)


def _slow(session: Session) -> tuple[list[Slow], str]:
    """The slowest statements: since the start where pg_stat_statements is there, else those that run now."""
    if session.scalar(text("SELECT to_regclass('pg_stat_statements')")) is not None:
        rows = session.execute(
            text(
                "SELECT query, calls, mean_exec_time FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid "
                "WHERE d.datname = current_database() ORDER BY mean_exec_time DESC LIMIT :most"
            ),
            {"most": MOST_SLOW},
        ).all()
        return [Slow(_shown(query), calls, int(mean)) for query, calls, mean in rows], _(
            "pg_stat_statements, mean time"
        )
    rows = session.execute(
        text(
            "SELECT query, extract(epoch FROM now() - query_start) * 1000 FROM pg_stat_activity "
            "WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid() "
            "AND query_start < now() - make_interval(secs => :slow) ORDER BY query_start LIMIT :most"
        ),
        {"slow": SLOW_SECONDS, "most": MOST_SLOW},
    ).all()
    return [Slow(_shown(query), None, int(ms)) for query, ms in rows], _("running now for more than a second")


def _shown(statement: str) -> str:
    """A statement on one line. Values are never in it: payadmin binds them."""
    line = mask_pan_in_text(" ".join(statement.split()))
    return line if len(line) <= LONGEST_STATEMENT else f"{line[:LONGEST_STATEMENT]}…"


def _sqlite_files(session: Session) -> list[Path]:
    bind: Any = session.get_bind()
    engine: Engine = bind.engine
    name = make_url(str(engine.url)).database or ""
    return [Path(f"{name}{ending}") for ending in ("", "-wal", "-shm")]


def megabytes(number: int) -> str:
    """A size as people read it."""
    for unit, size in (("GB", 2**30), ("MB", 2**20), ("kB", 2**10)):
        if number >= size:
            tenths = number * 10 // size
            return f"{tenths // 10:,}.{tenths % 10} {unit}"
    return f"{number} bytes"


def oldest_due_charge(session: Session, *, first: dt.date, today: dt.date) -> dt.date | None:
    """The earliest date whose charge is due and that no worker has taken yet.

    Args:
        first: the earliest date that may still run.
        today: the business day.
    """
    due = (
        select(ScheduledCharge.due_date)
        .outerjoin(Subscription, Subscription.id == ScheduledCharge.subscription_id)
        .where(
            ScheduledCharge.status == ChargeStatus.SCHEDULED,
            ScheduledCharge.due_date.between(first, today),
            or_(Subscription.status == SubscriptionStatus.ACTIVE, ScheduledCharge.batch_row_id.is_not(None)),
        )
    )
    return session.scalar(due.order_by(ScheduledCharge.due_date).limit(1))


# ---- over time -------------------------------------------------------------------------------------------------------


def hosts(session: Session, since: dt.datetime) -> list[str]:
    """The machines that were measured lately."""
    return list(session.scalars(select(Sample.host).where(Sample.at >= since).distinct().order_by(Sample.host)))


def newest_samples(session: Session, since: dt.datetime) -> list[Sample]:
    """The last measure of each machine."""
    last = select(func.max(Sample.id)).where(Sample.at >= since).group_by(Sample.host)
    return list(session.scalars(select(Sample).where(Sample.id.in_(last)).order_by(Sample.host)))


def line(session: Session, column: str, *, since: dt.datetime, seconds: int) -> list[tuple[int, int]]:
    """The highest value of a column of `Sample` in each span, over all machines: (epoch second, value) in order."""
    span = _span(session, Sample.at, seconds)
    highest = func.max(getattr(Sample, column))
    found = session.execute(select(span, highest).where(Sample.at >= since).group_by(span).order_by(span))
    return [(place * seconds, int(value)) for place, value in found]


def answered(session: Session, *, since: dt.datetime, seconds: int) -> list[tuple[int, int, int, int]]:
    """What the pages answered in each span: (epoch second, requests, errors, milliseconds of one request)."""
    span = _span(session, WebMinute.at, seconds)
    sums: list[Any] = [func.sum(each) for each in (WebMinute.requests, WebMinute.errors, WebMinute.milliseconds)]
    asked: Any = select(span, *sums)
    found = session.execute(asked.where(WebMinute.at >= since).group_by(span).order_by(span))
    return [
        (place * seconds, int(requests), int(errors), int(took) // max(int(requests), 1))
        for place, requests, errors, took in found
    ]


def newest_backups(session: Session) -> list[Backup]:
    """The last backups that were written and read back."""
    return list(session.scalars(select(Backup).order_by(Backup.at.desc(), Backup.id.desc()).limit(MOST_BACKUPS)))


def _span(session: Session, at: Any, seconds: int) -> ColumnElement[int]:
    # Written into the statement: PostgreSQL would not see that two bound values of SELECT and GROUP BY are the same.
    length: Any = literal(seconds, literal_execute=True)
    if session.get_bind().dialect.name == "postgresql":
        return cast(func.floor(extract("epoch", at) / length), Integer)
    return cast(cast(func.strftime("%s", at), Integer).op("/")(length), Integer)
