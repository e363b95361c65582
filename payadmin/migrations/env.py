"""Run by Alembic: migrations of payadmin's metadata on the database that the caller names."""

from typing import Any, Literal

from alembic import context
from sqlalchemy import JSON, BigInteger

from payadmin.db import Base, UtcDateTime, make_engine
from payadmin.models import load_models


def render_item(kind: str, item: Any, _autogenerate: Any) -> str | Literal[False]:
    """Write our own column types as what they are in the database: a migration must outlive the class."""
    if kind != "type":
        return False
    if isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if isinstance(item, BigInteger) and "sqlite" in item._variant_mapping:  # noqa: SLF001 - Alembic's own renderer reads it
        return "INTEGER"
    return "JSON" if isinstance(item, JSON) else False


load_models()
engine = make_engine(context.config.attributes["url"])
try:
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            render_as_batch=context.config.attributes.get("batch", False),
            render_item=render_item,
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            context.run_migrations()
finally:  # a migration that refuses must not leave a connection behind
    engine.dispose()
