"""The approvals room: makers, checkers with authenticators, second accounts of one person, and many people at once."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from payadmin import step_up
from payadmin.actions.approvals import ACT, Decision, approve_request, confirmed_facts
from payadmin.db import db, utcnow
from payadmin.kernel import totp
from payadmin.kernel.errors import NeedsApproval
from payadmin.models.access import SecondFactor, StaffUser
from payadmin.models.approvals import ApprovalRequest
from payadmin.permissions import Permission, Role, permissions_of
from payadmin.work import Actor
from tests.support.desk import Desk
from tests.support.make import Make, writing
from tests.support.signin import make_staff, secret_of


class Room:
    """Everything a test of approvals does, in the words of the people who do it."""

    def __init__(self, app: Flask, make: Make) -> None:
        self.app = app
        self.make = make

    def person(self, *roles: Role, same_as: Actor | None = None) -> Actor:
        """Somebody with an account and an authenticator, or one more account of somebody."""
        writing()
        staff = make_staff(*roles, person_id=same_as.staff_id if same_as else None)
        granted = frozenset(roles)
        return Actor(staff_id=staff.id, name=staff.username, roles=granted, permissions=permissions_of(granted))

    def only(self, *permissions: Permission) -> Actor:
        """Somebody with these permissions and no others."""
        found = self.person(Role.CASHIER)
        return Actor(staff_id=found.staff_id, name=found.name, permissions=frozenset(permissions))

    def code(self, actor: Actor) -> str:
        """What the authenticator shows, half a minute after the last code."""
        assert actor.staff_id is not None
        with db.engine.begin() as connection:
            connection.execute(update(SecondFactor).where(SecondFactor.staff_id == actor.staff_id).values(last_step=0))
        code = totp.code_at(secret_of(actor.staff_id), utcnow())
        db.session.rollback()
        return code

    def confirm(self, actor: Actor, request_id: int) -> dict[str, str]:
        """What the checker's form carries."""
        code = self.code(actor)
        with self.app.test_request_context():
            request = db.session.get(ApprovalRequest, request_id, populate_existing=True)
            assert request is not None
            offer = step_up.offer(actor, ACT, confirmed_facts(request))
        db.session.rollback()
        return {"offer": offer, "code": code}

    def approve(self, actor: Actor, request_id: int, reason: str | None = None) -> Decision:
        """Approve a request as a checker does."""
        return approve_request(actor, request_id, reason=reason, **self.confirm(actor, request_id))

    def request(self, request_id: int) -> ApprovalRequest:
        """A request as it is now."""
        db.session.rollback()
        return db.session.get_one(ApprovalRequest, request_id, populate_existing=True)


def filed(act: Callable[[], Any]) -> int:
    """Do something that a policy sends to a second person; the number of its request."""
    with pytest.raises(NeedsApproval) as caught:
        act()
    db.session.rollback()
    return int(caught.value.data["request_id"])


def asked_refund(room: Room, desk: Desk, minor: int = 60_00, *, actor: Actor | None = None) -> tuple[int, int]:
    """A refund that waits for approval: the payment and the request."""
    room.make.approval_policy()
    payment_id = desk.paid().id
    return payment_id, filed(lambda: desk.refund(payment_id, minor, actor=actor))


def join(room: Room, first: Actor, second: Actor) -> None:
    """Say, behind everybody's back, that two accounts are one person's."""
    writing()
    second_row = db.session.scalars(select(StaffUser).where(StaffUser.id == second.staff_id)).one()
    second_row.person_id = first.staff_id
    db.session.flush()
    db.session.info.pop("payadmin.changed", None)
    db.session.commit()
