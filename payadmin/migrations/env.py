"""Run by Alembic: migrations of payadmin's metadata on the database that the caller names."""

from alembic import context

from payadmin.db import Base, make_engine
from payadmin.models import load_models

load_models()

engine = make_engine(context.config.attributes["url"])
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
