"""One row of any model, made up from its columns: for tests about every model there is."""

import datetime as dt
import itertools
from enum import Enum
from typing import Any

from sqlalchemy import inspect

from payadmin.db import Base, UtcDateTime
from payadmin.models.base import Audited
from tests.support.books import BOOKS
from tests.support.make import Make

_numbers = itertools.count(1)


def one_of_each(make: Make) -> dict[type[Any], Any]:
    """An audited row of every model, by its model."""
    models = [mapper.class_ for mapper in Base.registry.mappers if issubclass(mapper.class_, Audited)]
    return {model: one(make, model) for model in models}


def one(make: Make, model: type[Any]) -> Any:
    """A row of `model` with as little in it as the database accepts, and of what it points to."""
    table = inspect(model).local_table.name
    if (ready := getattr(make, table.replace("payment_method", "method"), None)) is not None:
        return ready()
    if table in BOOKS:
        return BOOKS[table](make)
    values: dict[str, Any] = {}
    for attribute in inspect(model).column_attrs:
        column = attribute.columns[0]
        if column.nullable or column.primary_key or column.default is not None or column.server_default is not None:
            continue
        values[attribute.key] = _parent(make, column) if column.foreign_keys else _value(column)
    return make._save(model(**values))


def _parent(make: Make, column: Any) -> Any:
    target = next(iter(column.foreign_keys)).column
    model = next(mapper.class_ for mapper in Base.registry.mappers if mapper.local_table is target.table)
    return getattr(one(make, model), target.key)


def _value(column: Any) -> Any:
    kind = dt.datetime if isinstance(column.type, UtcDateTime) else column.type.python_type
    if issubclass(kind, Enum):
        return next(iter(column.type.enum_class))
    if kind is str:
        return f"x{next(_numbers)}"[: column.type.length]
    made: dict[type[Any], Any] = {
        int: 1,
        bool: False,
        dt.datetime: dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        dt.date: dt.date(2026, 1, 1),
        dict: {},
        object: {},
    }
    return made[kind]
