"""Who is signed in, and what the account page shows."""

import datetime as dt
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, func, or_, select, true
from sqlalchemy.orm import Session, joinedload

from payadmin.kernel import passwords
from payadmin.models.access import (
    AccountLink,
    EmailChange,
    PasswordMemory,
    RecoveryCode,
    SecondFactor,
    StaffRole,
    StaffUser,
    UserSession,
)
from payadmin.models.payments import Notification
from payadmin.models.system import TranslationOverride
from payadmin.permissions import Role, grantable_by
from payadmin.queries.blocks import organization_block

LETTERS = 3


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
    """The session that `token` opens; None if it ended, idled out, grew too old, or its account may not enter now.

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
    return (row[0], row[1]) if may_enter(session, row[0].staff) else None


def may_enter(session: Session, staff: StaffUser) -> bool:
    """Whether the account is open, and no block keeps out the organization whose consumption it sees (LI5)."""
    seen = staff.organization_id
    return staff.may_sign_in and (seen is None or organization_block(session, seen) is None)


def open_sessions(session: Session, staff_id: int, rule: SessionRule, now: dt.datetime) -> Sequence[UserSession]:
    """The sessions of one person that could be used right now, the latest used first."""
    found = session.scalars(
        select(UserSession)
        .where(UserSession.staff_id == staff_id, UserSession.ended_at.is_(None))
        .options(joinedload(UserSession.staff))
        .order_by(UserSession.last_seen_at.desc(), UserSession.id.desc())
    )
    return [one for one in found if one.is_open(now, idle=rule.idle, absolute=rule.absolute)]


@dataclass(frozen=True)
class Known:
    """What a new password must be unlike: the person's names, and the hashes of earlier passwords."""

    username: str
    names: tuple[str, ...]
    hashes: list[str]


def earlier_passwords(session: Session, staff_id: int) -> Known:
    """What the person's new password must be unlike."""
    username, full_name, email, current = session.execute(
        select(StaffUser.username, StaffUser.full_name, StaffUser.email, StaffUser.password_hash).where(
            StaffUser.id == staff_id
        )
    ).one()
    kept = session.scalars(
        select(PasswordMemory.password_hash)
        .where(PasswordMemory.staff_id == staff_id)
        .order_by(PasswordMemory.id.desc())
        .limit(passwords.REMEMBERED)
    )
    hashes = list(dict.fromkeys([*([current] if current else []), *kept]))
    return Known(username, (full_name, email.partition("@")[0]), hashes)


def managed_by(staff_id: int | None, roles: Iterable[Role]) -> ColumnElement[bool]:
    """The accounts that somebody with `roles` may manage, themselves not left out: the grant matrix as a condition.

    An SCC belongs to one support manager: who may manage SCCs only as a support manager sees their own.
    """
    grantable = grantable_by(roles)
    beyond = select(StaffRole.id).where(StaffRole.staff_id == StaffUser.id, StaffRole.role.not_in(grantable))
    conditions = [true() if grantable == frozenset(Role) else ~beyond.exists()]
    if own_team_only(roles):
        agent = select(StaffRole.id).where(StaffRole.staff_id == StaffUser.id, StaffRole.role == Role.SUPPORT_AGENT)
        conditions.append(or_(~agent.exists(), StaffUser.manager_id == staff_id))
    return and_(*conditions)


def own_team_only(roles: Iterable[Role]) -> bool:
    """Whether somebody with `roles` may manage SCCs, but only as a support manager their own."""
    return Role.SUPPORT_AGENT not in grantable_by(frozenset(roles) - {Role.SUPPORT_MANAGER})


def open_email_change(session: Session, staff_id: int, now: dt.datetime) -> EmailChange | None:
    """The address that somebody has asked for and that still waits for a yes."""
    return session.scalar(
        select(EmailChange).where(
            EmailChange.staff_id == staff_id, EmailChange.closed_at.is_(None), EmailChange.expires_at > now
        )
    )


def other_accounts(session: Session, staff: StaffUser) -> Sequence[str]:
    """The user names of the same person's other accounts."""
    same = or_(StaffUser.id == staff.person, StaffUser.person_id == staff.person)
    named = select(StaffUser.username).where(same, StaffUser.id != staff.id)
    return session.scalars(named.order_by(StaffUser.username)).all()


def letters_to(session: Session, username: str) -> list[tuple[Notification, AccountLink]]:
    """The newest mails with a secret that were written to a member of staff, the newest last, each with its secret."""
    about = (
        select(Notification, AccountLink)
        .join(AccountLink, AccountLink.id == Notification.account_link_id)
        .join(StaffUser, StaffUser.id == AccountLink.staff_id)
        .where(StaffUser.username == username)
        .order_by(Notification.id.desc())
        .limit(LETTERS)
    )
    return [(row[0], row[1]) for row in reversed(session.execute(about).all())]


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
