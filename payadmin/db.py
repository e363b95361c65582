"""The database: engine recipes for SQLite and PostgreSQL, the declarative base, and the column types money needs."""

import datetime as dt
import enum
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import (
    JSON,
    BigInteger,
    ColumnElement,
    DateTime,
    Dialect,
    Engine,
    Enum,
    Integer,
    MetaData,
    String,
    TypeDecorator,
    bindparam,
    create_engine,
    event,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, MappedColumn, mapped_column, registry

E = TypeVar("E", bound=enum.Enum)

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}

# SQLite gives automatic ids only to INTEGER; PostgreSQL needs BIGINT for five million rows and more.
BigId = BigInteger().with_variant(Integer(), "sqlite")
Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


_AS_IF: ContextVar[dt.datetime | None] = ContextVar("payadmin.as_if", default=None)


def utcnow() -> dt.datetime:
    """The current time, aware, in UTC."""
    return _AS_IF.get() or dt.datetime.now(dt.UTC)


@contextmanager
def as_if(moment: dt.datetime) -> Iterator[None]:
    """Let it be another moment here, for sample data that is to look as if it had been made over days."""
    before = _AS_IF.set(moment)
    try:
        yield
    finally:
        _AS_IF.reset(before)


class UtcDateTime(TypeDecorator[dt.datetime]):
    """An aware UTC moment on both databases; a naive value is refused before it reaches the table."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            msg = "naive datetime: payadmin stores aware UTC moments only"
            raise ValueError(msg)
        value = value.astimezone(dt.UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


class Base(DeclarativeBase):
    """The base of every model."""

    # Flask-SQLAlchemy 3.1 with SQLAlchemy 2.1 refuses a type_annotation_map on the class itself.
    registry = registry(
        metadata=MetaData(naming_convention=NAMING),
        type_annotation_map={dt.datetime: UtcDateTime(), int: BigInteger().with_variant(Integer(), "sqlite")},
    )


db = SQLAlchemy(model_class=Base)


def enum_column(members: type[E], **options: Any) -> MappedColumn[E]:
    """A column that holds a member of `members` by name, checked by the database too."""
    longest = max(len(member.name) for member in members)
    kind = Enum(
        members, native_enum=False, create_constraint=True, length=max(longest, 24), name=_snake(members.__name__)
    )
    return mapped_column(kind, **options)


def text_column(length: int, **options: Any) -> MappedColumn[str]:
    """A short text column of at most `length` characters."""
    return mapped_column(String(length), **options)


def search_text(length: int) -> String:
    """Text whose prefixes an index finds on both databases: compared by bytes, not by a language's rules."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


def among(column: Any, values: Sequence[Any]) -> ColumnElement[bool]:
    """The condition that `column` holds one of `values`, written into the statement itself.

    SQLite uses a partial index only for a statement that spells out the index's own condition; a bound value hides it.
    """
    spelled = bindparam(None, list(values), type_=column.type, expanding=True, literal_execute=True)
    found: ColumnElement[bool] = column.in_(spelled)
    return found


def _snake(name: str) -> str:
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in name).lstrip("_")


def engine_options(url: str) -> dict[str, Any]:
    """Options for `create_engine` that make `url` safe for money."""
    # What a statement was about stays out of logs: the driver's errors would print hashes, tokens and addresses.
    hidden = {"hide_parameters": True}
    if url.startswith("sqlite"):
        return hidden | {"connect_args": {"timeout": 30, "check_same_thread": False}}
    return hidden | {"pool_pre_ping": True, "pool_size": 10, "max_overflow": 20, "pool_recycle": 1800}


def make_engine(url: str) -> Engine:
    """An engine outside Flask (commands, benchmarks) with the same recipe as the application's."""
    return prepare(create_engine(url, **engine_options(url)))


def prepare(engine: Engine) -> Engine:
    """Install the connection recipe: WAL, foreign keys, full sync and real transactions on SQLite; UTC on PostgreSQL.

    The SQLite driver's own transaction handling drops locks silently (reliability: 200 of 200 payments over-refunded),
    so it is switched off and `BEGIN` is ours: `BEGIN IMMEDIATE` where `immediate` is asked for, which every use case
    does, plain `BEGIN` for readers.
    """
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _sqlite_connect)
        event.listen(engine, "begin", _sqlite_begin)
    return engine


def _sqlite_connect(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "foreign_keys=ON",
        "busy_timeout=30000",
        "synchronous=FULL",
        "recursive_triggers=ON",  # or INSERT OR REPLACE rewrites rows that triggers protect
        "temp_store=MEMORY",
        "cache_size=-65536",
        "mmap_size=268435456",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
    connection.create_function("business_day", 2, _business_day, deterministic=True)


def _business_day(moment: str, zone: str) -> str:
    """The day of a stored moment in a time zone; SQLite knows no zones."""
    utc = dt.datetime.fromisoformat(moment).replace(tzinfo=dt.UTC)
    return utc.astimezone(ZoneInfo(zone)).date().isoformat()


def _sqlite_begin(connection: Any) -> None:
    immediate = connection.get_execution_options().get("immediate")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
