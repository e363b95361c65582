"""Refunds and voids that wait for a second person: what is held, what is done, and what is left as it was (PY4)."""

import datetime as dt

import pytest
from sqlalchemy import text

from payadmin.actions.approvals import approve_in_run, approve_request, cancel_request, reject_request
from payadmin.actions.payments import refund_in_run
from payadmin.db import db
from payadmin.jobs.approvals import expire_requests
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, NotFound
from payadmin.models.approvals import ApprovalRequest, ApprovalStatus
from payadmin.models.outbox import OutboxMessage
from payadmin.models.payments import Payment, PaymentEvent, PaymentStatus, Refund, RefundReason, VoidRequest
from payadmin.models.system import ActionItem, ActionRun, ItemState
from payadmin.permissions import Permission, Role
from payadmin.work import NotDone
from tests.support.approvals import Room, asked_refund, filed
from tests.support.desk import Desk, trail
from tests.support.make import Make, writing

S = ApprovalStatus


def test_without_a_policy_nothing_waits(desk: Desk) -> None:
    payment_id = desk.paid().id
    desk.refund(payment_id, 60_00)
    assert db.session.query(ApprovalRequest).count() == 0


@pytest.mark.parametrize(("minor", "waits"), [(49_99, False), (50_00, True), (50_01, True)])
def test_the_threshold_itself_needs_a_second_person(minor: int, *, waits: bool, desk: Desk, make: Make) -> None:
    make.approval_policy(threshold_minor=50_00)
    payment_id = desk.paid().id
    if waits:
        filed(lambda: desk.refund(payment_id, minor))
    else:
        desk.refund(payment_id, minor)
    assert db.session.query(Refund).count() == (0 if waits else 1)


def test_a_policy_counts_in_its_own_currency_and_only_while_it_is_on(desk: Desk, make: Make) -> None:
    make.approval_policy(unit="USD", threshold_minor=1)
    make.approval_policy(threshold_minor=1, is_on=False)
    desk.refund(desk.paid().id, 60_00)
    assert db.session.query(ApprovalRequest).count() == 0


def test_a_refund_that_waits_holds_its_money_and_sends_nothing(room: Room, desk: Desk) -> None:
    maker = desk.operator()
    payment_id, request_id = asked_refund(room, desk, actor=maker)
    assert desk.money(payment_id) == ("PAID", 60_00, 0, None)
    request = room.request(request_id)
    assert (request.status, request.kind, request.use_case) == (S.PENDING, "refund", "payments.request_refund")
    assert (request.amount_minor, request.unit, request.maker_id) == (60_00, "EUR", maker.staff_id)
    assert request.reasons == ["A refund of at least 50.00 EUR"]
    assert request.expires_at - request.created_at > dt.timedelta(hours=71)
    assert not {"offer", "code"} & request.payload.keys()
    assert [effect["event"] for effect in request.effects] == ["payments.refund.requested"]
    assert (db.session.query(Refund).count(), db.session.query(OutboxMessage).count()) == (0, 0)
    [line] = db.session.query(PaymentEvent).all()
    assert (line.event, line.actor_name) == ("Approval requested", maker.name)
    [entry] = trail(event="approvals.request.filed")
    assert (entry.entity_id, entry.actor_id) == (str(request_id), maker.staff_id)
    assert trail(event="payments.refund.requested") == []
    assert len(trail(event="access.step_up.spent")) == 1


def test_nobody_else_can_spend_what_a_waiting_refund_holds(room: Room, desk: Desk) -> None:
    payment_id, _ = asked_refund(room, desk)
    for act in (lambda: desk.refund(payment_id, 10_00), lambda: desk.refund(payment_id, 70_00)):
        with pytest.raises(Conflict, match="waits for approval"):
            act()
    with pytest.raises(Conflict, match="waits for approval"):
        desk.void(payment_id)
    assert desk.money(payment_id) == ("PAID", 60_00, 0, None)


def test_approving_does_it_in_the_makers_name_and_notes_the_checker(room: Room, desk: Desk) -> None:
    maker, checker = desk.operator(), room.person(Role.CFO)
    payment_id, request_id = asked_refund(room, desk, actor=maker)
    decision = room.approve(checker, request_id, "Agreed with the shop")
    assert (decision.status, decision.sentence) == (S.APPLIED, "Approved and done.")
    assert desk.money(payment_id) == ("PAID", 60_00, 0, "REFUND")
    refund = db.session.query(Refund).one()
    assert (refund.requested_by_id, refund.requested_by) == (maker.staff_id, maker.name)
    request = room.request(request_id)
    assert (request.checker_id, request.decided_by, request.decision_reason) == (
        checker.staff_id,
        checker.name,
        "Agreed with the shop",
    )
    [entry] = trail(event="payments.refund.requested")
    assert (entry.actor_id, entry.keys["approved_by"], entry.keys["approval_id"]) == (
        maker.staff_id,
        checker.name,
        request_id,
    )
    [decided] = trail(event="approvals.request.approved")
    assert (decided.actor_id, decided.keys["maker"]) == (checker.staff_id, maker.name)
    desk.settle()
    assert desk.money(payment_id) == ("PARTIALLY_REFUNDED", 0, 60_00, None)
    assert desk.refunds_at_provider(refund.reference) == [60_00]


def test_rejecting_gives_the_money_back_and_says_why(room: Room, desk: Desk) -> None:
    payment_id, request_id = asked_refund(room, desk)
    checker = room.person(Role.CFO)
    for reason in ("", "  ", "x" * 501):
        with pytest.raises(Invalid):
            reject_request(checker, request_id, reason=reason)
    reject_request(checker, request_id, reason="The goods were used")
    assert desk.money(payment_id) == ("PAID", 0, 0, None)
    request = room.request(request_id)
    assert (request.status, request.decision_reason) == (S.REJECTED, "The goods were used")
    with pytest.raises(Conflict, match="is rejected already by"):
        room.approve(room.person(Role.ADMIN), request_id)
    desk.refund(payment_id, 40_00)
    assert db.session.query(Refund).count() == 1


def test_only_the_maker_cancels_and_nothing_is_deleted(room: Room, desk: Desk) -> None:
    maker = desk.operator()
    payment_id, request_id = asked_refund(room, desk, actor=maker)
    with pytest.raises(NotFound):
        cancel_request(room.person(Role.CFO), request_id, reason="Not mine")
    with pytest.raises(Invalid, match="Say why"):
        cancel_request(maker, request_id, reason=" ")
    cancel_request(room.person(Role.PAYMENTS_OPERATOR, same_as=maker), request_id, reason="Typed too much")
    assert desk.money(payment_id) == ("PAID", 0, 0, None)
    assert room.request(request_id).status is S.CANCELLED


def test_what_nobody_decides_expires_and_lets_go(room: Room, desk: Desk) -> None:
    room.make.approval_policy(expires_hours=1)
    payment_id = desk.paid().id
    request_id = filed(lambda: desk.refund(payment_id, 60_00))
    assert expire_requests() == 0
    late = room.make.approval_request(expires_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC)).id
    assert expire_requests() == 1
    assert room.request(late).status is S.EXPIRED
    assert room.request(request_id).status is S.PENDING
    assert desk.money(payment_id)[1] == 60_00


def test_the_maker_never_decides_by_whichever_account(room: Room, desk: Desk) -> None:
    maker = desk.operator()
    payment_id, request_id = asked_refund(room, desk, actor=maker)
    for other in (maker, room.person(Role.CFO, same_as=maker), room.person(Role.ADMIN, Role.CFO, same_as=maker)):
        with pytest.raises(Forbidden):
            room.approve(other, request_id)
        with pytest.raises(Forbidden):
            reject_request(other, request_id, reason="No")
    assert room.request(request_id).status is S.PENDING
    assert desk.money(payment_id) == ("PAID", 60_00, 0, None)


def test_a_checker_needs_the_permission_of_the_kind_and_nothing_else(room: Room, desk: Desk) -> None:
    payment_id, request_id = asked_refund(room, desk)
    everything_else = frozenset(Permission) - {Permission.APPROVALS_REFUND_APPROVE}
    with pytest.raises(Forbidden, match="does not decide"):
        room.approve(room.only(*everything_else), request_id)
    room.approve(room.only(Permission.HOME_PAGE_READ, Permission.APPROVALS_REFUND_APPROVE), request_id)
    assert desk.money(payment_id) == ("PAID", 60_00, 0, "REFUND")


def test_a_checker_confirms_with_a_code_of_their_own(room: Room, desk: Desk) -> None:
    payment_id, request_id = asked_refund(room, desk)
    checker, other = room.person(Role.CFO), room.person(Role.CFO)
    given = room.confirm(checker, request_id)
    for wrong in ({"code": ""}, {"code": room.code(other)}, {"offer": room.confirm(other, request_id)["offer"]}):
        with pytest.raises(Invalid) as caught:
            approve_request(checker, request_id, reason=None, **(given | wrong))
        assert caught.value.field == "code"
    assert desk.money(payment_id) == ("PAID", 60_00, 0, None)


def test_a_payment_that_changed_meanwhile_makes_the_request_out_of_date(room: Room, desk: Desk) -> None:
    payment_id, request_id = asked_refund(room, desk)
    writing()
    payment = db.session.get_one(Payment, payment_id)
    payment.status = PaymentStatus.CHARGED_BACK
    db.session.flush()
    db.session.info.pop("payadmin.changed", None)
    db.session.commit()
    decision = room.approve(room.person(Role.CFO), request_id)
    assert decision.status is S.STALE
    assert room.request(request_id).differences == [{"key": "status", "before": "PAID", "after": "CHARGED_BACK"}]
    assert desk.money(payment_id) == ("CHARGED_BACK", 0, 0, None)
    assert db.session.query(Refund).count() == 0
    assert len(trail(event="approvals.request.stale")) == 1


def test_an_act_that_is_refused_when_it_is_approved_changes_nothing_but_its_request(room: Room, desk: Desk) -> None:
    maker = desk.operator()
    payment_id, request_id = asked_refund(room, desk, actor=maker)
    writing()
    db.session.execute(text("UPDATE staff_user SET status = 'LOCKED' WHERE id = :id"), {"id": maker.staff_id})
    db.session.commit()
    decision = room.approve(room.person(Role.CFO), request_id)
    assert decision.status is S.FAILED
    assert "is shut" in decision.sentence
    assert desk.money(payment_id) == ("PAID", 0, 0, None)
    assert db.session.query(Refund).count() == 0


def test_a_maker_who_may_no_longer_refund_is_not_refunded_for(room: Room, desk: Desk) -> None:
    maker = desk.operator()
    payment_id, request_id = asked_refund(room, desk, actor=maker)
    writing()
    db.session.execute(text("UPDATE staff_user_role SET role = 'CASHIER' WHERE staff_id = :id"), {"id": maker.staff_id})
    db.session.commit()
    answer = approve_in_run(room.person(Role.CFO), request_id, key="k", run_data={"reason": "OK"}, row_data={})
    assert isinstance(answer, NotDone)
    assert "Your role does not allow this" in answer.sentence
    assert (room.request(request_id).status, desk.money(payment_id)) == (S.FAILED, ("PAID", 0, 0, None))


def test_a_second_refund_of_a_payment_needs_a_second_person_when_the_policy_says_so(room: Room, desk: Desk) -> None:
    room.make.approval_policy("refund_again")
    payment_id = desk.paid().id
    desk.refund(payment_id, 10_00)
    desk.settle()
    request_id = filed(lambda: desk.refund(payment_id, 1_00))
    assert room.request(request_id).reasons == ["A further refund of the same payment"]


def test_a_bulk_run_counts_as_a_whole(room: Room, desk: Desk) -> None:
    room.make.approval_policy("refund_bulk", threshold_minor=150_00)
    maker = desk.operator()
    ids = [desk.paid().id for _ in range(2)]
    writing()
    shared = {"actor_id": maker.staff_id, "actor_name": maker.name, "page": "transactions", "action": "refund"}
    run = ActionRun(token="a-run-of-two-refunds", handler="payments.refund_in_run", total=2, **shared)
    db.session.add(run)
    db.session.flush()
    for payment_id in ids:
        db.session.add(ActionItem(run_id=run.id, row_id=payment_id, state=ItemState.WAITING, answers={"amount": 75_00}))
    db.session.commit()
    given = {"run_data": {"reason": "DUPLICATE", "note": None}, "row_data": {"amount": 75_00}}
    requests = [
        filed(lambda i=i: refund_in_run(maker, i, key=f"a-run-of-two-refunds:{i}:1", **given))  # type: ignore[misc]
        for i in ids
    ]
    assert room.request(requests[0]).reasons == ["A bulk run that refunds in all at least 150.00 EUR"]
    checker = room.person(Role.CFO)
    for request_id in requests:
        for _ in range(2):
            assert approve_in_run(checker, request_id, key="run", run_data={}, row_data={}) == "Approved and done."
    assert db.session.query(Refund).count() == 2
    single = desk.paid().id
    refund_in_run(maker, single, key="another:1:1", **given)
    assert db.session.query(Refund).count() == 3


def test_the_same_form_asks_once_and_its_answer_stays(room: Room, desk: Desk) -> None:
    room.make.approval_policy()
    maker = desk.operator()
    payment_id = desk.paid().id
    form = desk.confirm(maker, "payments.refund", payment_id) | {"key": "one-form"}
    first = filed(lambda: desk.refund(payment_id, 60_00, actor=maker, **form))
    assert filed(lambda: desk.refund(payment_id, 60_00, actor=maker, **form)) == first
    assert desk.money(payment_id) == ("PAID", 60_00, 0, None)
    room.approve(room.person(Role.CFO), first)
    assert desk.refund(payment_id, 60_00, actor=maker, **form).id == db.session.query(Refund).one().id
    with pytest.raises(Conflict, match="with another amount"):
        desk.refund(payment_id, 10_00, actor=maker, **form)


def test_what_would_be_refused_is_refused_at_once_and_not_filed(room: Room, desk: Desk) -> None:
    room.make.approval_policy()
    payment_id = desk.paid().id
    with pytest.raises(Conflict, match="more than is left"):
        desk.refund(payment_id, 100_01)
    with pytest.raises(Invalid, match="Say in the note"):
        desk.refund(payment_id, 60_00, reason=RefundReason.OTHER)
    assert db.session.query(ApprovalRequest).count() == 0
    assert desk.money(payment_id) == ("PAID", 0, 0, None)


def test_a_void_waits_and_is_done_when_approved(room: Room, desk: Desk) -> None:
    room.make.approval_policy("void")
    payment_id = desk.paid().id
    request_id = filed(lambda: desk.void(payment_id))
    with pytest.raises(Conflict, match="waits for approval of the same thing"):
        desk.void(payment_id)
    assert (desk.money(payment_id), db.session.query(VoidRequest).count()) == (("PAID", 0, 0, None), 0)
    room.approve(room.person(Role.ADMIN), request_id)
    desk.settle()
    assert desk.money(payment_id) == ("VOIDED", 0, 0, None)


def test_a_card_number_in_the_makers_note_is_not_kept(room: Room, desk: Desk) -> None:
    room.make.approval_policy()
    payment_id = desk.paid().id
    request_id = filed(lambda: desk.refund(payment_id, 60_00, note="Card 4111 1111 1111 1111 twice"))
    request = room.request(request_id)
    assert "4111 1111" not in str((request.payload, request.reason, request.effects))


def test_jobs_and_commands_cannot_pass_the_gate(room: Room, desk: Desk, make: Make) -> None:
    make.approval_policy()
    payment_id = desk.paid().id
    with pytest.raises(Forbidden, match="Only a person"):
        refund_in_run(make.actor(), payment_id, key="k", run_data={"reason": "DUPLICATE"}, row_data={})
    assert desk.money(payment_id) == ("PAID", 0, 0, None)
