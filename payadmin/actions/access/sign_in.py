"""Signing in, step by step: password, own password and authenticator the first time, code, session.

Every step answers yes or no and never why, so a stranger learns nothing; the trail keeps the reason. A wrong answer is
a result, not an error, because the used-up try and its audit entry must be committed.
"""

import dataclasses
import secrets
import unicodedata
from dataclasses import dataclass

from sqlalchemy import select, update

from payadmin import guard, step_up
from payadmin.actions.access import factors
from payadmin.audit import Event
from payadmin.db import db
from payadmin.kernel import passwords
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.text import _
from payadmin.models.access import PasswordMemory, SecondFactor, StaffStatus, StaffUser, UserSession
from payadmin.permissions import Permission
from payadmin.queries import access
from payadmin.work import Actor, Work, use_case

LONGEST_NAME = 64


@dataclass(frozen=True)
class Browser:
    """Where a request comes from, as far as the server can tell."""

    ip: str
    agent: str


@dataclass(frozen=True)
class Ticket:
    """A sign-in that got past the password; it lives in the signed cookie of the login pages for ten minutes."""

    staff_id: int
    username: str
    epoch: int
    device: str | None
    must_change_password: bool
    has_authenticator: bool


@dataclass(frozen=True)
class Opened:
    """A new session: `token` goes into the cookie and nowhere else."""

    staff_id: int
    username: str
    token: str
    recovery_codes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Try:
    key: str
    allowed: bool
    staff_id: int | None = None
    password_hash: str | None = None


def stranger(ip: str | None, request_id: str | None) -> Actor:
    """Whoever is at the login page: may try to sign in, and nothing else."""
    return Actor(
        staff_id=None,
        name="(not signed in)",
        permissions=frozenset({Permission.ACCESS_SESSION_START}),
        ip=ip,
        request_id=request_id,
    )


def halfway(ticket: Ticket, ip: str | None, request_id: str | None) -> Actor:
    """Somebody who has given the password: the trail knows the name, the rights are still a stranger's."""
    return Actor(
        staff_id=ticket.staff_id,
        name=ticket.username,
        permissions=frozenset({Permission.ACCESS_SESSION_START}),
        ip=ip,
        request_id=request_id,
    )


def plain_username(raw: str) -> str:
    """How user names are compared: case, width and outer spaces do not matter."""
    # Cut first: composing accents is quadratic, and half a megabyte of them would hold the process for minutes.
    composed = unicodedata.normalize("NFKC", raw[:LONGEST_NAME]).replace("\0", "\ufffd")
    return composed.strip().lower()[:LONGEST_NAME]


# ------------------------------------------------------------------------------------------------ password


def check_password(actor: Actor, *, username: str, password: str, device: str | None) -> Ticket | None:
    """The first step of a sign-in. None for a wrong password, an unknown name, a locked or a paused account alike.

    The slow hash runs between two short transactions, so that no guess holds the database.
    """
    name = plain_username(username)
    tried = _reserve_password_try(actor, username=name, device=device)
    if not tried.allowed:
        return None
    right = passwords.matches(tried.password_hash, password[: passwords.LONGEST])
    if not right or tried.staff_id is None or tried.password_hash is None or len(password) > passwords.LONGEST:
        _note_wrong_password(actor, tried.staff_id)
        return None
    fresh = passwords.hash_password(password) if passwords.outdated(tried.password_hash) else None
    return _accept_password(
        actor,
        tried.staff_id,
        key=tried.key,
        device=device,
        password_hash=tried.password_hash,
        fresh_hash=fresh,
    )


@use_case(Permission.ACCESS_SESSION_START)
def _reserve_password_try(work: Work, *, username: str, device: str | None) -> _Try:
    key = guard.guard_key(username, device)
    staff = work.session.scalar(select(StaffUser).where(StaffUser.username == username))
    if not guard.reserve(work, key):
        work.record(Event.ACCESS_SIGN_IN_FAILED, staff, outcome="refused", reason="Too many wrong tries.")
        return _Try(key=key, allowed=False)
    if staff is None or not access.may_enter(work.session, staff):
        return _Try(key=key, allowed=True, staff_id=None if staff is None else staff.id)
    if staff.password_expires_at is not None and staff.password_expires_at <= work.now:
        return _Try(key=key, allowed=True, staff_id=staff.id)
    return _Try(key=key, allowed=True, staff_id=staff.id, password_hash=staff.password_hash)


@use_case(Permission.ACCESS_SESSION_START)
def _note_wrong_password(work: Work, staff_id: int | None) -> None:
    """The name is kept only if it is somebody's: people type passwords into the wrong field."""
    staff = None if staff_id is None else work.get(StaffUser, staff_id)
    reason = "Unknown user name." if staff is None else "Wrong password, or the account is not open."
    work.record(Event.ACCESS_SIGN_IN_FAILED, staff, outcome="failed", reason=reason)


@use_case(Permission.ACCESS_SESSION_START)
def _accept_password(
    work: Work,
    staff_id: int,
    *,
    key: str,
    device: str | None,
    password_hash: str,
    fresh_hash: str | None,
) -> Ticket | None:
    staff = work.get(StaffUser, staff_id)
    if not access.may_enter(work.session, staff) or staff.password_hash != password_hash:
        return None  # locked, blocked, or given another password, while the hash was computed
    guard.hand_back(work, key)
    if fresh_hash is not None and work.change(
        StaffUser, staff_id, when=(StaffUser.password_hash == password_hash,), password_hash=fresh_hash
    ):
        work.record(Event.ACCESS_PASSWORD_CHANGED, staff, reason="Hashed again with today's parameters.")
    factor = factors.factor_of(work, staff)
    if not factor.is_confirmed:
        factors.offer_secret(factor)
    return Ticket(
        staff_id=staff.id,
        username=staff.username,
        epoch=staff.session_epoch,
        device=device,
        must_change_password=staff.must_change_password,
        has_authenticator=factor.is_confirmed,
    )


# ------------------------------------------------------------------------------------------------ new password


def choose_password(actor: Actor, ticket: Ticket, *, password: str) -> Ticket:
    """Replace the temporary password of a first sign-in, or of a reset, by one that only its owner knows.

    Raises:
        Invalid: the password breaks the rule; `field` is "password".
        Conflict: the sign-in is out of date.
    """
    fresh = new_hash(ticket.staff_id, password=password)
    epoch = _keep_first_password(actor, ticket.staff_id, epoch=ticket.epoch, password_hash=fresh)
    return dataclasses.replace(ticket, epoch=epoch, must_change_password=False)


def new_hash(staff_id: int, *, password: str) -> str:
    """The hash of a new password that satisfies the rule and is none of the person's last four.

    Raises:
        Invalid: with the sentence to show; `field` is "password".
    """
    known = access.earlier_passwords(db.session(), staff_id)
    problem = passwords.complaint(password, username=known.username, names=known.names)
    if problem is not None:
        raise Invalid(problem, field="password")
    if any(passwords.matches(earlier, password) for earlier in known.hashes):
        raise Invalid(
            _(
                "You have used this password before. Choose one that is not among your last %(remembered)s.",
                remembered=passwords.REMEMBERED,
            ),
            field="password",
        )
    return passwords.hash_password(password)


@use_case(Permission.ACCESS_SESSION_START)
def _keep_first_password(work: Work, staff_id: int, *, epoch: int, password_hash: str) -> int:
    staff = work.get(StaffUser, staff_id)
    if not access.may_enter(work.session, staff) or not staff.must_change_password or staff.session_epoch != epoch:
        raise Conflict("This sign-in is out of date. Start again.")
    return store_password(work, staff, password_hash)


def store_password(work: Work, staff: StaffUser, password_hash: str) -> int:
    """Make `password_hash` the person's password, end every session and return the new epoch."""
    changed = work.change(
        StaffUser,
        staff.id,
        when=(StaffUser.session_epoch == staff.session_epoch,),
        password_hash=password_hash,
        must_change_password=False,
        password_expires_at=None,
        session_epoch=StaffUser.session_epoch + 1,
    )
    if not changed:
        raise Conflict("The account was changed at the same moment. Try again.")
    remember(work, staff.id, password_hash)
    work.record(Event.ACCESS_PASSWORD_CHANGED, staff, username=staff.username)
    return staff.session_epoch


def remember(work: Work, staff_id: int, password_hash: str) -> None:
    """Add a hash to the last four and let older ones go."""
    work.add(PasswordMemory(staff_id=staff_id, password_hash=password_hash))
    kept = select(PasswordMemory).where(PasswordMemory.staff_id == staff_id).order_by(PasswordMemory.id.desc())
    for old in work.session.scalars(kept.offset(passwords.REMEMBERED)):
        work.session.delete(old)


# ------------------------------------------------------------------------------------------------ second factor


@use_case(Permission.ACCESS_SESSION_START)
def read_pending_secret(work: Work, staff_id: int, *, epoch: int) -> str | None:
    """The secret that waits for enrolment, for the QR code; None when there is nothing to enrol."""
    staff = work.get(StaffUser, staff_id)
    factor = work.session.scalar(select(SecondFactor).where(SecondFactor.staff_id == staff_id))
    if staff.session_epoch != epoch or staff.must_change_password or factor is None:
        return None
    if factor.is_confirmed or factor.sealed_pending is None:
        return None
    return step_up.unseal(staff_id, factor.sealed_pending)


@use_case(Permission.ACCESS_SESSION_START)
def enrol(work: Work, staff_id: int, *, ticket: Ticket, code: str, browser: Browser) -> Opened | None:
    """Confirm a first authenticator by one code, open the account and the session, and hand out recovery codes."""
    staff = _in_step(work, staff_id, ticket)
    key = guard.guard_key(ticket.username, ticket.device)
    if staff is None or staff.must_change_password or not guard.reserve(work, key):
        _wrong(work, staff_id, "Enrolment refused: out of date, or too many wrong tries.")
        return None
    factor = factors.factor_of(work, staff)
    if factor.is_confirmed or not factors.confirm_pending(work, factor, code):
        _wrong(work, staff_id, "Wrong code at enrolment.")
        return None
    if staff.status is StaffStatus.INVITED:
        work.change(StaffUser, staff.id, when=(StaffUser.status == StaffStatus.INVITED,), status=StaffStatus.ACTIVE)
    work.record(Event.ACCESS_FACTOR_ENROLLED, staff, username=staff.username)
    codes = factors.new_recovery_codes(work, staff)
    opened = _complete(work, staff, ticket, browser)
    return Opened(opened.staff_id, opened.username, opened.token, codes)


@use_case(Permission.ACCESS_SESSION_START)
def check_code(work: Work, staff_id: int, *, ticket: Ticket, code: str, browser: Browser) -> Opened | None:
    """The second step of a sign-in: a code of the authenticator, each good for once."""
    staff = _in_step(work, staff_id, ticket)
    key = guard.guard_key(ticket.username, ticket.device)
    if staff is None or staff.must_change_password or not guard.reserve(work, key):
        _wrong(work, staff_id, "Code refused: out of date, or too many wrong tries.")
        return None
    factor = factors.factor_of(work, staff)
    if not step_up.spend_code(work, factor, code):
        _wrong(work, staff_id, "Wrong or used authenticator code.")
        return None
    factors.reseal(factor)
    return _complete(work, staff, ticket, browser)


@use_case(Permission.ACCESS_SESSION_START)
def check_recovery_code(work: Work, staff_id: int, *, ticket: Ticket, code: str, browser: Browser) -> Opened | None:
    """The second step without the authenticator: one of the recovery codes, each good for once."""
    staff = _in_step(work, staff_id, ticket)
    key = guard.guard_key(ticket.username, ticket.device)
    if staff is None or staff.must_change_password or not guard.reserve(work, key):
        _wrong(work, staff_id, "Recovery code refused: out of date, or too many wrong tries.")
        return None
    factor = factors.factor_of(work, staff)
    if not factor.is_confirmed or not factors.spend_recovery_code(work, staff, code):
        _wrong(work, staff_id, "Wrong or used recovery code.")
        return None
    return _complete(work, staff, ticket, browser, reason="With a recovery code.")


def _in_step(work: Work, staff_id: int, ticket: Ticket) -> StaffUser | None:
    staff = work.session.get(StaffUser, staff_id, populate_existing=True)
    if staff is None or not access.may_enter(work.session, staff) or staff.session_epoch != ticket.epoch:
        return None
    return staff


def _wrong(work: Work, staff_id: int, reason: str) -> None:
    work.record(Event.ACCESS_SIGN_IN_FAILED, work.session.get(StaffUser, staff_id), outcome="failed", reason=reason)


def _complete(work: Work, staff: StaffUser, ticket: Ticket, browser: Browser, reason: str | None = None) -> Opened:
    guard.forget(work, guard.guard_key(ticket.username, ticket.device))
    guard.tidy(work)
    # Without a new version: what somebody asks about the account stays as good as it was, or whoever is to lose a role
    # could keep it by signing in again before anybody approves.
    came = update(StaffUser).where(StaffUser.id == staff.id).values(last_login_at=work.now)
    work.session.execute(came.execution_options(synchronize_session=False, explained=True))
    token = open_session(work, staff, browser)
    work.record(Event.ACCESS_SIGNED_IN, staff, username=staff.username, browser=browser.agent[:80], reason=reason)
    return Opened(staff.id, staff.username, token)


def open_session(work: Work, staff: StaffUser, browser: Browser) -> str:
    """Start a session of the account's present epoch and return its token."""
    token = secrets.token_urlsafe(32)
    work.add(
        UserSession(
            staff_id=staff.id,
            token_hash=access.token_hash(token),
            epoch=staff.session_epoch,
            ip=browser.ip[:45],
            agent=browser.agent[:200],
            last_seen_at=work.now,
        )
    )
    return token
