"""Questions about the API's keys."""

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from payadmin.models.api import ApiKey


def key_by_prefix(session: Session, prefix: str) -> ApiKey | None:
    """The key that begins with `prefix`, whatever its state, with its organization; one question."""
    statement = select(ApiKey).where(ApiKey.prefix == prefix).options(joinedload(ApiKey.organization))
    return session.scalars(statement.execution_options(populate_existing=True)).one_or_none()
