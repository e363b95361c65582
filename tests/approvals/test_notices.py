"""The bell of approvals: those who may decide are told once, and the maker is told what became of it."""

import datetime as dt

from sqlalchemy import select, update

from payadmin.actions.approvals import approve_in_run, cancel_request, reject_request
from payadmin.actions.payments import refund_in_run
from payadmin.approval_notices import MOST_TOLD
from payadmin.db import db
from payadmin.jobs.approvals import expire_requests
from payadmin.models.access import StaffStatus, StaffUser
from payadmin.models.approvals import ApprovalRequest, ApprovalStatus
from payadmin.models.payments import RefundReason
from payadmin.models.system import ActionItem, ActionRun, ItemState, NoticeKind, StaffNotice
from payadmin.permissions import Role
from payadmin.work import Actor
from tests.support.approvals import Room, asked_refund, filed
from tests.support.desk import Desk
from tests.support.make import Make, writing


def told(actor: Actor) -> list[StaffNotice]:
    db.session.rollback()
    own = select(StaffNotice).where(StaffNotice.staff_id == actor.staff_id)
    return list(db.session.scalars(own.order_by(StaffNotice.id)))


def change(actor: Actor, **values: object) -> None:
    """Something about an account that nobody has to explain here."""
    db.session.rollback()
    with db.engine.begin() as connection:
        connection.execute(update(StaffUser).where(StaffUser.id == actor.staff_id).values(**values))


def test_those_who_may_decide_are_told_once_and_nobody_else(room: Room, desk: Desk) -> None:
    maker, cfo, admin = desk.operator(), room.person(Role.CFO), room.person(Role.ADMIN)
    twin = room.person(Role.CFO, same_as=maker)
    locked, limited, operator = room.person(Role.CFO), room.person(Role.CFO), room.person(Role.PAYMENTS_OPERATOR)
    change(locked, status=StaffStatus.LOCKED)
    change(limited, menu_access=["transactions"])
    payment_id, request_id = asked_refund(room, desk, actor=maker)
    for checker in (cfo, admin):
        [notice] = told(checker)
        assert (notice.kind, notice.page, notice.row_id) == (NoticeKind.APPROVAL, "approvals", request_id)
        assert notice.title.startswith(f"{maker.name} asks for your approval: Refund 60.00 EUR of ")
    for other in (maker, twin, locked, limited, operator):
        assert told(other) == []
    assert payment_id


def test_a_form_that_is_sent_again_tells_nobody_again(room: Room, desk: Desk, make: Make) -> None:
    make.approval_policy()
    maker, cfo, payment_id = desk.operator(), room.person(Role.CFO), desk.paid().id
    first = filed(lambda: desk.refund(payment_id, 60_00, actor=maker, key="the-same-form-key"))
    assert filed(lambda: desk.refund(payment_id, 60_00, actor=maker, key="the-same-form-key")) == first
    assert len(told(cfo)) == 1


def test_a_refused_request_tells_nobody(room: Room, desk: Desk, make: Make) -> None:
    cfo = room.person(Role.CFO)
    asked_refund(room, desk)
    assert len(told(cfo)) == 1
    make.approval_policy(unit="USD", threshold_minor=1)
    payment_id = desk.paid().id
    desk.refund(payment_id, 10_00)  # below the threshold: nobody is asked
    assert len(told(cfo)) == 1


def test_the_maker_is_told_of_every_end_but_their_own(room: Room, desk: Desk) -> None:
    cfo = room.person(Role.CFO)
    ends = {}
    for name in ("approved", "rejected", "expired", "stale", "cancelled"):
        maker = ends[name] = desk.operator()
        payment_id, request_id = asked_refund(room, desk, actor=maker)
        if name == "approved":
            room.approve(cfo, request_id)
        elif name == "rejected":
            reject_request(cfo, request_id, reason="Not now")
        elif name == "cancelled":
            cancel_request(maker, request_id, reason="Typo")
        elif name == "stale":
            with db.engine.begin() as connection:
                connection.execute(db.text(f"UPDATE payment SET version = version + 1 WHERE id = {payment_id}"))
            room.approve(cfo, request_id)
    late = room.make.approval_request(
        maker=db.session.get_one(StaffUser, ends["expired"].staff_id),
        expires_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        target_key="approval_policy:new:late",
    )
    assert late.id
    expire_requests()
    words = {
        "approved": (NoticeKind.APPROVAL, f"Your request is approved by {cfo.name} and done: Refund 60.00 EUR"),
        "rejected": (NoticeKind.APPROVAL, "Your request is rejected: Refund"),
        "expired": (NoticeKind.APPROVAL, "Your request is expired, nobody decided in time:"),
        "stale": (NoticeKind.FAILED, "Your request is out of date, nothing was done: Refund"),
    }
    for name, (kind, start) in words.items():
        notice = told(ends[name])[-1]
        assert (notice.kind, notice.page) == (kind, "approvals")
        assert notice.title.startswith(start), notice.title
        assert len(told(ends[name])) == 1
    assert told(ends["cancelled"]) == []


def test_only_so_many_are_told_and_those_who_were_here_last_are(room: Room, desk: Desk) -> None:
    long_gone = room.person(Role.CFO)
    here = [room.person(Role.CFO) for _ in range(MOST_TOLD)]
    for each in here:
        change(each, last_login_at=dt.datetime(2026, 6, 1, tzinfo=dt.UTC))
    asked_refund(room, desk)
    assert told(long_gone) == []
    assert all(len(told(each)) == 1 for each in here)


def test_the_rows_of_one_run_are_told_about_together(room: Room, desk: Desk, make: Make) -> None:
    make.approval_policy(threshold_minor=50_00)
    maker, cfo = desk.operator(), room.person(Role.CFO)
    payments = [desk.paid().id for _ in range(3)]
    writing()
    run = ActionRun(
        token="a-run-of-three-refunds", actor_id=maker.staff_id, actor_name=maker.name, page="transactions",
        action="refund", handler="payments.refund_in_run", total=3,
    )  # fmt: skip
    db.session.add(run)
    db.session.flush()
    for payment_id in payments:
        db.session.add(ActionItem(run_id=run.id, row_id=payment_id, state=ItemState.WAITING, answers={"amount": 60_00}))
    db.session.commit()
    asked = {"reason": RefundReason.DUPLICATE.name, "note": "Twice"}
    requests = [
        filed(
            lambda payment_id=payment_id: refund_in_run(  # type: ignore[misc]
                maker,
                payment_id,
                key=f"a-run-of-three-refunds:{payment_id}:1",
                run_data=asked,
                row_data={"amount": 60_00},
            )
        )
        for payment_id in payments
    ]
    [notice] = told(cfo)
    assert (notice.page, notice.row_id) == ("approvals", None)
    assert "asks for your approval of rows of a bulk run, such as: Refund" in notice.title
    for request_id in requests:
        approve_in_run(cfo, request_id, key=f"the-checkers-run-token:{request_id}:1", run_data={}, row_data={})
    [notice] = told(maker)
    assert notice.title.startswith(
        f"{cfo.name} approved requests of yours in a bulk run, such as: Refund 60.00 EUR of "
    )
    db.session.rollback()
    assert {each.status for each in db.session.scalars(select(ApprovalRequest))} == {ApprovalStatus.APPLIED}
