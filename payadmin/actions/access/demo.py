"""The accounts of `payadmin demo`: one for each role, ready to sign in."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sqlalchemy import select
from sqlalchemy.orm import Session

from payadmin import step_up
from payadmin.actions.access import factors
from payadmin.actions.access.sign_in import remember
from payadmin.actions.access.staff import new_account
from payadmin.audit import Event
from payadmin.kernel import passwords, totp
from payadmin.models.access import SecondFactor, StaffStatus, StaffUser
from payadmin.permissions import Permission, Role
from payadmin.work import SYSTEM, Work, use_case

# The administrator of a demo also operates payments, or a visitor would look for the buttons in vain.
DEMO_STAFF: tuple[tuple[str, str, frozenset[Role]], ...] = (
    ("admin", "Ada Winter", frozenset({Role.ADMIN, Role.PAYMENTS_OPERATOR})),
    ("operator", "Elena Weber", frozenset({Role.PAYMENTS_OPERATOR})),
    ("cfo", "Carlos Ortega", frozenset({Role.CFO})),
    ("specialist", "Farah Siddiqui", frozenset({Role.FINANCIAL_SPECIALIST})),
    ("accountant", "Akira Tanaka", frozenset({Role.ACCOUNTANT})),
    ("bookkeeper", "Britta Olsen", frozenset({Role.ACCOUNTANT})),
    ("cashier", "Chiara Conti", frozenset({Role.CASHIER})),
    ("teller", "Tomas Novak", frozenset({Role.CASHIER})),
    ("compliance", "Colin Mackay", frozenset({Role.COMPLIANCE})),
    ("antifraud", "Anna Nowak", frozenset({Role.ANTI_FRAUD})),
    ("support", "Sofia Lindgren", frozenset({Role.SUPPORT_MANAGER})),
    ("agent", "Amir Haddad", frozenset({Role.SUPPORT_AGENT})),
    ("issuer", "Isabel Moreau", frozenset({Role.ISSUER})),
    ("partner", "Pavel Horak", frozenset({Role.PARTNER})),
)


_NOWHERE: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True)
class DemoAccount:
    """What the demo prints of one account."""

    username: str
    password: str
    secret: str
    roles: frozenset[Role]


def create_demo_staff(password: str, *, organizations: Mapping[str, int] = _NOWHERE) -> tuple[DemoAccount, ...]:
    """Active accounts of every role, with `password` and an authenticator; those that exist are kept.

    There are two accountants and two cashiers, for what one person may not do alone.

    Args:
        organizations: to which organization an account belongs, by its user name; one that has any keeps it.

    Returns:
        The accounts in the order of `DEMO_STAFF`; `secret` makes the codes (`kernel.totp.code_at`).
    """
    hashes = {username: passwords.hash_password(password) for username in _missing(SYSTEM)}
    return _create_demo_staff(SYSTEM, password=password, hashes=hashes, organizations=organizations)


def demo_secret(session: Session, username: str) -> str | None:
    """The authenticator secret of a demo account as it is now: whoever tries the tour may have set up another phone."""
    factor = session.scalar(
        select(SecondFactor)
        .join(StaffUser, StaffUser.id == SecondFactor.staff_id)
        .where(StaffUser.username == username)
    )
    return step_up.unseal(factor.staff_id, factor.sealed) if factor is not None and factor.sealed else None


@use_case(Permission.ACCESS_STAFF_MANAGE)
def _missing(work: Work) -> list[str]:
    known = set(work.session.scalars(select(StaffUser.username)))
    return [username for username, _, _ in DEMO_STAFF if username not in known]


@use_case(Permission.ACCESS_STAFF_MANAGE)
def _create_demo_staff(
    work: Work, *, password: str, hashes: dict[str, str], organizations: Mapping[str, int]
) -> tuple[DemoAccount, ...]:
    accounts = []
    for username, full_name, roles in DEMO_STAFF:
        staff = work.session.scalar(select(StaffUser).where(StaffUser.username == username))
        if staff is None:
            staff = _ready(work, username, full_name, roles, hashes[username])
        if username in organizations and staff.organization_id is None:
            work.change(StaffUser, staff.id, organization_id=organizations[username])
            after: dict[str, object] = {"organization_id": organizations[username]}
            work.record(Event.ACCESS_STAFF_CHANGED, staff, after=after, reason="Demo account.", username=username)
        sealed = factors.factor_of(work, staff).sealed
        if sealed is not None:
            secret = step_up.unseal(staff.id, sealed)
            accounts.append(DemoAccount(username, password, secret, staff.roles))
    return tuple(accounts)


def _ready(work: Work, username: str, full_name: str, roles: frozenset[Role], password_hash: str) -> StaffUser:
    email = f"{username}@payadmin.example"
    manager = None
    if Role.SUPPORT_AGENT in roles:
        manager = work.session.scalar(select(StaffUser.id).where(StaffUser.username == "support"))
    staff = new_account(work, username=username, full_name=full_name, email=email, roles=roles, manager_id=manager)
    remember(work, staff.id, password_hash)
    work.change(StaffUser, staff.id, status=StaffStatus.ACTIVE, password_hash=password_hash, must_change_password=False)
    factor = factors.factor_of(work, staff)
    factor.sealed, factor.confirmed_at = step_up.seal(staff.id, totp.new_secret()), work.now
    work.record(Event.ACCESS_FACTOR_ENROLLED, staff, reason="Demo account.", username=username)
    return staff
