"""The search box: every branch is a look-up through an index, and the branches are united by id."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import ARRAY, BigInteger, ColumnElement, Select, String, Table, any_, inspect, literal, select, union
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import InstrumentedAttribute

from payadmin.db import db
from payadmin.views.columns import Column, Kind
from payadmin.views.filters import begins_with, row_id_of

MOST_MATCHES = 10_000
SHORTEST_PREFIX = 3

_POSTGRESQL = postgresql.dialect()

Lookup = Callable[[str], "Select[Any] | None"]


def exact(attr: InstrumentedAttribute[Any], *, fold: Callable[[str], str] = str) -> Lookup:
    """Rows whose `attr` is the term."""
    return lambda term: select(_key(attr)).where(attr == fold(term))


def prefix(attr: InstrumentedAttribute[Any], *, fold: Callable[[str], str] = str) -> Lookup:
    """Rows whose `attr` begins with the term; shorter terms than three characters only match exactly."""

    def look(term: str) -> Select[Any]:
        text = fold(term)
        where = begins_with(attr, text) if len(text) >= SHORTEST_PREFIX else attr == text
        return select(_key(attr)).where(where)

    return look


def through(foreign: InstrumentedAttribute[Any], lookup: Lookup) -> Lookup:
    """Rows that point, by `foreign`, to a row that `lookup` finds: payments by their customer's e-mail."""

    def look(term: str) -> Select[Any] | None:
        found = lookup(term)
        return None if found is None else select(_key(foreign)).where(foreign.in_(found))

    return look


def by_id(model: type[Any]) -> Lookup:
    """The row whose number is the term."""

    def look(term: str) -> Select[Any] | None:
        row_id = row_id_of(term)
        return None if row_id is None else select(model.id).where(model.id == row_id)

    return look


def _key(attr: InstrumentedAttribute[Any]) -> Any:
    return attr.class_.id


def default_lookups(model: type[Any], columns: Mapping[str, Column]) -> tuple[Lookup, ...]:
    """Look-ups for every text column that leads an index, and for the row's number."""
    table = inspect(model).local_table
    texts = [
        column
        for column in columns.values()
        if column.kind is Kind.TEXT and not column.secret and column.info.get("search", True) and leads(table, column)
    ]
    lower: dict[str, Callable[[str], str]] = {"email": str.lower}
    kinds = [(prefix if has_ordered_bytes(column) else exact, column) for column in texts]
    return (by_id(model), *(look(column.attr, fold=lower.get(column.name, str)) for look, column in kinds))


def has_ordered_bytes(column: Column) -> bool:
    """Whether both databases find prefixes of the column through its index (see `payadmin.db.search_text`)."""
    kind = column.attr.property.columns[0].type.dialect_impl(_POSTGRESQL)
    return getattr(kind, "collation", None) == "C"


def leads(table: Table, column: Column, pinned: Sequence[str] = ()) -> bool:
    """Whether an index finds rows by `column`: it comes first, or right after columns the page always fixes."""
    return any(column.name in names[: _fixed(names, pinned) + 1] for names in index_columns(table))


def sorts(table: Table, column: Column, pinned: Sequence[str] = ()) -> bool:
    """Whether an index gives rows in the order of `column`, then of the primary key."""
    name = column.name
    if column.nullable:
        return False
    if column.attr.property.columns[0].primary_key:
        return True
    unique = any([item.name for item in index.columns] == [name] for index in table.indexes if index.unique)
    if column.attr.property.columns[0].unique or unique:
        return True
    return any(
        name in names and names[names.index(name) + 1 :] == ["id"] and set(names[: names.index(name)]) <= set(pinned)
        for names in index_columns(table)
    )


def index_columns(table: Table) -> list[list[str]]:
    """The columns of every full index of the table, unique columns included."""
    full = [index for index in table.indexes if index.dialect_options["postgresql"].get("where") is None]
    named = [[column.name for column in index.columns] for index in full]
    alone = [[column.name] for column in table.columns if column.unique or column.index or column.primary_key]
    return named + alone


def _fixed(names: Sequence[str], pinned: Sequence[str]) -> int:
    count = 0
    while count < len(names) and names[count] in pinned:
        count += 1
    return count


class Found:
    """What a search term finds: looked up once, before the list is read.

    A planner that sees the look-ups inside the list's own statement cannot tell how few rows they find, and walks the
    whole table in the list's order instead. It is shown the ids.
    """

    def __init__(self, lookups: Sequence[Lookup], term: str) -> None:
        self.term = term
        branches = [branch.limit(MOST_MATCHES + 1) for look in lookups if (branch := look(term)) is not None]
        self._statement: Select[Any] | None = None
        if branches:
            united = union(*(select(branch.subquery().c[0].label("id")) for branch in branches)).subquery()
            self._statement = select(united.c.id).limit(MOST_MATCHES + 1)

    @cached_property
    def ids(self) -> Sequence[int]:
        """The rows found, in no order."""
        return () if self._statement is None else db.session.scalars(self._statement).all()

    @property
    def truncated(self) -> bool:
        """Whether the term matches more rows than the search looks at, so that some are not shown."""
        return len(self.ids) > MOST_MATCHES

    def holds(self, key: InstrumentedAttribute[Any]) -> ColumnElement[bool]:
        """The condition that the row with this key was found."""
        if db.session.get_bind().dialect.name == "postgresql":
            return key == any_(literal(list(self.ids), ARRAY(BigInteger)))  # one argument, however many ids
        return key.in_(self.ids)


def is_text(column: Column) -> bool:
    """Whether the column holds words that a look-up of related rows can search."""
    return isinstance(column.attr.property.columns[0].type, String)
