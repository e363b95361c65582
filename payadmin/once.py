"""A request that comes twice is done once: an `Idempotency-Key` is claimed in the transaction of the act itself.

So either the act and its answer are kept together, or neither, whatever is killed. Two copies at the same time: the
second waits for the first, and gets its answer.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from payadmin.kernel.errors import Conflict
from payadmin.models.api import ApiAnswer
from payadmin.work import Work

KEPT = dt.timedelta(hours=24)
_OTHER = "This Idempotency-Key was used for another request within the last 24 hours. Nothing was done: use a new one."


@dataclass(frozen=True)
class Once:
    """A request that may come again.

    Attributes:
        api_key_id: whose request it is; the same key of somebody else means nothing.
        key: what its sender named it.
        request_hash: the fingerprint of what it asks for.
    """

    api_key_id: int
    key: str
    request_hash: str


def claim(work: Work, once: Once | None) -> dict[str, Any] | None:
    """Take the request on, as the first thing its use case does.

    Returns:
        What was answered to the same request before: return that, and do nothing. None: go on, and `keep` the answer.

    Raises:
        Conflict: the key was used for a different request.
    """
    if once is None:
        return None
    _forget_old(work, once)
    make = postgresql.insert if work.session.get_bind().dialect.name == "postgresql" else sqlite.insert
    fresh = make(ApiAnswer).values(api_key_id=once.api_key_id, key=once.key, request_hash=once.request_hash)
    claimed = fresh.on_conflict_do_nothing(index_elements=["api_key_id", "key"]).returning(ApiAnswer.id)
    if work.session.scalar(claimed) is not None:
        return None
    known = work.session.execute(select(ApiAnswer.request_hash, ApiAnswer.body).where(*_named(once))).one()
    if known.request_hash != once.request_hash:
        raise Conflict(_OTHER)
    assert known.body is not None, "an answer is kept in the transaction that claims"
    body: dict[str, Any] = known.body
    return body


def keep(work: Work, once: Once | None, answer: dict[str, Any]) -> dict[str, Any]:
    """Keep the answer to the request, as the last thing its use case does; the answer, to be returned."""
    if once is not None:
        kept = update(ApiAnswer).where(*_named(once)).values(body=answer)
        work.session.execute(kept.execution_options(synchronize_session=False))
    return answer


def _named(once: Once) -> tuple[Any, ...]:
    return ApiAnswer.api_key_id == once.api_key_id, ApiAnswer.key == once.key


def _forget_old(work: Work, once: Once) -> None:
    is_old = ApiAnswer.created_at < work.now - KEPT
    # Its own name first, however many others are old: it may be used again.
    own = delete(ApiAnswer).where(*_named(once), is_old)
    # Rows that another act is just deleting are left to it: waiting could deadlock.
    some = select(ApiAnswer.id).where(is_old).limit(500).with_for_update(skip_locked=True)
    for statement in (own, delete(ApiAnswer).where(ApiAnswer.id.in_(some))):
        work.session.execute(statement.execution_options(synchronize_session=False))
