"""Guessing is limited in the database: a try is reserved before anything is checked, and handed back if it was right.

Counting after the check lets parallel guesses through (all 40 of 40, measured); reserving first lets exactly ten. The
counter belongs to a user name, known or not, or to a user name on a browser that has completed a sign-in before. So a
stranger who guesses locks out other strangers, never the owner on their own browser. Cards tried with a registration
link are counted for that link.
"""

import datetime as dt
import hashlib
from typing import Any

from sqlalchemy import case, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from payadmin.models.access import LoginGuard
from payadmin.work import Work

TRIES = 10
PAUSE = dt.timedelta(minutes=30)


def guard_key(username: str, device: str | None) -> str:
    """The counter that a sign-in as `username` uses up."""
    return hashlib.sha256(f"{username}|{device or ''}".encode()).hexdigest()


def reserve(work: Work, key: str) -> bool:
    """Use up one try of `key`; False when none is left until the pause is over."""
    make = postgresql.insert if work.session.get_bind().dialect.name == "postgresql" else sqlite.insert
    fresh = make(LoginGuard).values(key=key, fails=0, until=work.now + PAUSE)
    work.session.execute(fresh.on_conflict_do_nothing(index_elements=["key"]))
    over = LoginGuard.until < work.now
    return _update(
        work,
        key,
        or_(LoginGuard.fails < TRIES, over),
        fails=case((over, 1), else_=LoginGuard.fails + 1),
        until=work.now + PAUSE,
    )


def is_paused(session: Session, key: str, now: dt.datetime) -> bool:
    """Whether no try of `key` is left until the pause is over; reads only, so that hammering writes nothing."""
    spent = select(LoginGuard.id).where(LoginGuard.key == key, LoginGuard.fails >= TRIES, LoginGuard.until >= now)
    return session.scalar(spent) is not None


def hand_back(work: Work, key: str) -> None:
    """The reserved try was right: it does not count."""
    _update(work, key, LoginGuard.fails > 0, fails=LoginGuard.fails - 1)


def forget(work: Work, key: str) -> None:
    """A complete sign-in, or a manager who knows who is asking, starts the count again."""
    _update(work, key, LoginGuard.fails > 0, fails=0)


def tidy(work: Work) -> None:
    """Drop counters whose pause ended more than a day ago: strangers invent user names without end."""
    # Counters in use by another sign-in are left alone: waiting for them could deadlock.
    stale = select(LoginGuard.id).where(LoginGuard.until < work.now - dt.timedelta(days=1))
    statement = delete(LoginGuard).where(LoginGuard.id.in_(stale.with_for_update(skip_locked=True)))
    work.session.execute(statement.execution_options(synchronize_session=False))


def _update(work: Work, key: str, condition: Any, **values: Any) -> bool:
    statement = update(LoginGuard).where(LoginGuard.key == key, condition).values(**values)
    result = work.session.execute(statement.execution_options(synchronize_session=False))
    return bool(result.rowcount == 1)  # type: ignore[attr-defined]
