"""Who is signed in, and what the account page shows."""

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session, joinedload

from payadmin.kernel import passwords
from payadmin.models.access import PasswordMemory, RecoveryCode, SecondFactor, StaffUser, UserSession
from payadmin.models.system import TranslationOverride


@dataclass(frozen=True)
class SessionRule:
    """How long a session lasts without an act, and at most."""

    idle: dt.timedelta
    absolute: dt.timedelta


def token_hash(token: str) -> str:
    """What the session table keeps of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def open_session_of(
    session: Session, token: str, rule: SessionRule, now: dt.datetime
) -> tuple[UserSession, int | None] | None:
    """The session that `token` opens; None if it ended, idled out, grew too old, or its account changed.

    The serial of the texts comes along (`payadmin.texts`): every page needs both, and one question is cheaper than two.
    """
    row = session.execute(
        select(UserSession, select(func.max(TranslationOverride.serial)).scalar_subquery())
        .where(UserSession.token_hash == token_hash(token))
        .options(joinedload(UserSession.staff))
        .execution_options(populate_existing=True)
    ).one_or_none()
    if row is None or not row[0].is_open(now, idle=rule.idle, absolute=rule.absolute):
        return None
    return row[0], row[1]


def open_sessions(session: Session, staff_id: int, rule: SessionRule, now: dt.datetime) -> Sequence[UserSession]:
    """The sessions of one person that could be used right now, the latest used first."""
    found = session.scalars(
        select(UserSession)
        .where(UserSession.staff_id == staff_id, UserSession.ended_at.is_(None))
        .options(joinedload(UserSession.staff))
        .order_by(UserSession.last_seen_at.desc(), UserSession.id.desc())
    )
    return [one for one in found if one.is_open(now, idle=rule.idle, absolute=rule.absolute)]


def earlier_passwords(session: Session, staff_id: int) -> tuple[str, list[str]]:
    """The user name, and the hashes that a new password must not match."""
    username, current = session.execute(
        select(StaffUser.username, StaffUser.password_hash).where(StaffUser.id == staff_id)
    ).one()
    kept = session.scalars(
        select(PasswordMemory.password_hash)
        .where(PasswordMemory.staff_id == staff_id)
        .order_by(PasswordMemory.id.desc())
        .limit(passwords.REMEMBERED)
    )
    return username, list(dict.fromkeys([*([current] if current else []), *kept]))


def factor_of(session: Session, staff_id: int) -> SecondFactor | None:
    """The person's authenticator, if there is one."""
    return session.scalar(select(SecondFactor).where(SecondFactor.staff_id == staff_id))


def recovery_codes_left(session: Session, staff_id: int) -> int:
    """How many recovery codes can still be used."""
    return session.scalar(  # type: ignore[return-value]
        select(func.count())
        .select_from(RecoveryCode)
        .where(RecoveryCode.staff_id == staff_id, RecoveryCode.used_at.is_(None))
    )
