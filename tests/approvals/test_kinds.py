"""Every kind that can need a second person: at the use case itself, so that no page, run or command goes around it."""

import datetime as dt
from functools import partial

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from payadmin import step_up
from payadmin.actions import access, load_actions, subscriptions
from payadmin.actions.access.people import JOIN_ACT, join_accounts
from payadmin.actions.approvals import cancel_request, reject_request, save_policy
from payadmin.actions.payments import orders, resolve_order, resolved_facts
from payadmin.approvals import KINDS, RULES, ApprovalGate, Ask, Target, gate_of
from payadmin.audit import Event
from payadmin.db import db
from payadmin.kernel import payloads
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, NotFound
from payadmin.models.access import AccountLink, LinkPurpose, StaffStatus, StaffUser
from payadmin.models.approvals import ApprovalPolicy, ApprovalRequest, ApprovalStatus
from payadmin.models.payments import OrderStatus, Refund
from payadmin.models.subscriptions import AttemptState, ChargeStatus, OnExhausted, RetryPolicy, ScheduledCharge
from payadmin.permissions import Permission, Role
from payadmin.providers import Answer, Outcome
from payadmin.work import SYSTEM, Actor, Work, gated_names, use_case
from tests.support.approvals import Room, asked_refund, filed, join
from tests.support.desk import Desk, trail
from tests.support.make import Make, writing
from tests.support.signin import PASSWORD, make_staff

S = ApprovalStatus
POLICY = {"name": "Gentle", "delays_days": (1, 3), "max_attempts": 3, "retryable_codes": ()}


@pytest.mark.once
def test_every_kind_and_rule_is_asked_by_some_use_case() -> None:
    load_actions()
    assert {gate_of(name).kind for name in gated_names() if not name.startswith("test")} == set(KINDS)
    # Contracts and cashback are one desk's: Requests from Financial specialists.
    assert KINDS["contract"].permission == KINDS["cashback"].permission
    assert len({kind.permission for kind in KINDS.values()}) == len(KINDS) - 1
    assert len(RULES) == sum(len(kind.rules) for kind in KINDS.values())


@pytest.mark.once
def test_what_the_design_names_is_behind_the_gate() -> None:
    load_actions()
    assert gated_names() >= {
        "access._create",
        "access.change_roles",
        "approvals.save_policy",
        "payments.refund_in_run",
        "payments.request_refund",
        "payments.request_void",
        "payments.resolve_order",
        "subscriptions.book_as_paid",
        "subscriptions.declare_unpaid",
        "subscriptions.delete_retry_policy",
        "subscriptions.save_retry_policy",
    }


def test_roles_are_given_only_when_somebody_else_agrees(room: Room, make: Make) -> None:
    make.approval_policy("access")
    maker, checker = room.person(Role.ADMIN), room.person(Role.CFO)
    colleague = room.person(Role.CASHIER)
    assert colleague.staff_id is not None
    roles = (each for each in (Role.CASHIER, Role.ACCOUNTANT))
    request_id = filed(partial(access.change_roles, maker, colleague.staff_id, roles=roles, reason="She closes days"))
    request = room.request(request_id)
    assert request.title == f"Give {colleague.name} Accountant, Cashier"
    assert [(each["before"], each["after"]) for each in request.effects] == [
        ({"roles": ["CASHIER"]}, {"roles": ["ACCOUNTANT", "CASHIER"]})
    ]
    assert db.session.get_one(StaffUser, colleague.staff_id).roles == {Role.CASHIER}
    room.approve(checker, request_id)
    db.session.rollback()
    assert db.session.get_one(StaffUser, colleague.staff_id).roles == {Role.CASHIER, Role.ACCOUNTANT}
    [entry] = trail(event="access.staff.changed")
    assert (entry.actor_id, entry.keys["approved_by"]) == (maker.staff_id, checker.name)


def test_whoever_is_to_lose_a_role_cannot_keep_it_by_signing_in(room: Room, make: Make) -> None:
    make.approval_policy("access")
    maker, checker, colleague = (room.person(role) for role in (Role.ADMIN, Role.CFO, Role.CASHIER))
    assert colleague.staff_id is not None
    asked = partial(access.change_roles, maker, colleague.staff_id, roles=[Role.ACCOUNTANT], reason="Elsewhere now")
    request_id, stranger = filed(asked), access.stranger("192.0.2.1", None)
    ticket = access.check_password(stranger, username=colleague.name, password=PASSWORD, device=None)
    assert ticket is not None
    code = {"code": room.code(colleague), "browser": access.Browser("", "")}
    assert access.check_code(stranger, colleague.staff_id, ticket=ticket, **code)
    assert room.approve(checker, request_id).status is S.APPLIED
    db.session.rollback()
    colleague_row = db.session.get_one(StaffUser, colleague.staff_id, populate_existing=True)
    assert colleague_row.roles == {Role.ACCOUNTANT}
    assert colleague_row.last_login_at is not None


def test_the_same_roles_again_need_nobody(room: Room, make: Make) -> None:
    make.approval_policy("access")
    colleague = room.person(Role.CASHIER)
    assert colleague.staff_id is not None
    access.change_roles(room.person(Role.ADMIN), colleague.staff_id, roles=[Role.CASHIER], reason="As before")
    assert db.session.query(ApprovalRequest).count() == 0


def test_a_role_beyond_the_makers_own_grants_is_not_even_asked_for(room: Room, make: Make) -> None:
    make.approval_policy("access")
    manager = room.person(Role.SUPPORT_MANAGER)
    writing()
    agent_id = make_staff(Role.SUPPORT_AGENT, manager_id=manager.staff_id).id
    with pytest.raises(Forbidden, match="may not give"):
        access.change_roles(manager, agent_id, roles=[Role.ADMIN], reason="Please")
    assert db.session.query(ApprovalRequest).count() == 0


def test_the_credentials_of_a_new_account_are_made_when_it_is_approved(room: Room, make: Make) -> None:
    make.approval_policy("access")
    maker = room.person(Role.ADMIN)
    invite = partial(
        access.create_staff, maker, username="Nina", full_name="Nina N", email="n@x.example", roles=[Role.CFO]
    )
    request_id = filed(invite)
    assert "password" not in str(room.request(request_id).payload)
    with pytest.raises(Conflict, match="waits for approval of the same thing"):
        invite()
    room.approve(room.person(Role.CFO), request_id)
    db.session.rollback()
    account = db.session.query(StaffUser).filter_by(username="nina").one()
    assert (account.status, account.must_change_password) == (StaffStatus.INVITED, True)
    assert (account.password_hash is not None, account.parent_id) == (True, maker.staff_id)
    assert db.session.query(AccountLink).filter_by(staff_id=account.id, purpose=LinkPurpose.CREDENTIALS).count() == 1


def test_a_file_of_people_waits_as_one_request(room: Room, make: Make) -> None:
    make.approval_policy("access")
    maker = room.person(Role.ADMIN)
    people = b"username,full_name,email,roles\nada,Ada A,ada@x.example,CASHIER\nbo,Bo B,bo@x.example,CASHIER\n"
    request_id = filed(partial(access.import_staff, maker, people, name="people.csv"))
    assert room.request(request_id).title == "Invite 2 people: ada, bo"
    assert "argon2" not in str(room.request(request_id).payload)
    invited = db.session.query(StaffUser).filter(StaffUser.username.in_(["ada", "bo"]))
    assert invited.count() == 0
    room.approve(room.person(Role.CFO), request_id)
    db.session.rollback()
    assert [row.status for row in invited] == [StaffStatus.INVITED] * 2


def test_retry_policies_are_made_changed_and_deleted_only_when_somebody_else_agrees(room: Room, make: Make) -> None:
    make.approval_policy("retry_policy")
    maker, checker = room.person(Role.PAYMENTS_OPERATOR), room.person(Role.CFO)
    hold = {"on_exhausted": OnExhausted.ON_HOLD}
    make_it = partial(subscriptions.save_retry_policy, maker, **POLICY, **hold)  # type: ignore[arg-type]
    room.approve(checker, filed(make_it))
    policy = db.session.query(RetryPolicy).one()
    assert (policy.name, policy.delays_days, policy.on_exhausted) == ("Gentle", [1, 3], OnExhausted.ON_HOLD)
    values = POLICY | {"policy_id": policy.id, "version": policy.version}
    subscriptions.save_retry_policy(maker, **values, **hold)  # type: ignore[arg-type]
    change = filed(partial(subscriptions.save_retry_policy, maker, **(values | {"max_attempts": 2}), **hold))  # type: ignore[arg-type]
    with pytest.raises(Conflict, match="waits for approval"):
        subscriptions.delete_retry_policy(maker, policy.id)
    room.approve(checker, change)
    room.approve(checker, filed(partial(subscriptions.delete_retry_policy, maker, policy.id)))
    assert db.session.query(RetryPolicy).count() == 0


def test_a_charge_is_declared_unpaid_only_when_somebody_else_agrees(room: Room, make: Make) -> None:
    make.approval_policy("outcome")
    charge = make.scheduled_charge(status=ChargeStatus.UNKNOWN, needs_staff=True, message="No trace.")
    make.charge_attempt(charge, state=AttemptState.MANUAL)
    maker = room.person(Role.PAYMENTS_OPERATOR)
    request_id = filed(partial(subscriptions.declare_unpaid, maker, charge.id, reason="Asked the provider"))
    assert room.request(request_id).reason == "Asked the provider"
    room.approve(room.person(Role.ADMIN), request_id)
    db.session.rollback()
    assert db.session.get_one(ScheduledCharge, charge.id).status is ChargeStatus.FAILED


def test_a_charge_is_booked_as_paid_only_when_somebody_else_agrees(room: Room, make: Make) -> None:
    make.approval_policy("outcome")
    charge = make.scheduled_charge(status=ChargeStatus.UNKNOWN, needs_staff=True, message="Another amount.")
    make.charge_attempt(charge, state=AttemptState.MANUAL)
    maker = room.person(Role.PAYMENTS_OPERATOR)
    answer = Answer(Outcome.SUCCEEDED, "ch_1", 12_00, unit="EUR")
    book = partial(
        subscriptions.book_as_paid, maker, charge.id, version=charge.version, answer=answer, reason="It is theirs"
    )
    request_id = filed(book)
    assert room.request(request_id).amount_minor == 12_00
    room.approve(room.person(Role.ADMIN), request_id)
    db.session.rollback()
    assert db.session.get_one(ScheduledCharge, charge.id).status is ChargeStatus.SUCCEEDED


def _unresolved(desk: Desk) -> tuple[int, int]:
    payment_id = desk.paid().id
    refund_id = desk.refund(payment_id, 30_00).id
    fence = orders.claim_order(SYSTEM, refund_id, kind="refund").fence
    orders.leave_to_staff(SYSTEM, refund_id, kind="refund", fence=fence, sentence=orders.TOO_OLD)
    return payment_id, refund_id


@pytest.mark.parametrize("succeeded", [True, False])
def test_a_person_says_what_became_of_a_refund_and_another_agrees(
    *, succeeded: bool, room: Room, desk: Desk, make: Make
) -> None:
    payment_id, refund_id = _unresolved(desk)
    maker = room.person(Role.PAYMENTS_OPERATOR)

    def say() -> None:
        from payadmin import step_up

        code = room.code(maker)
        with room.app.test_request_context():
            offer = step_up.offer(maker, "payments.resolve", resolved_facts("refund", refund_id))
        resolve_order(
            maker, refund_id, kind="refund", succeeded=succeeded, reason="Mail of today", offer=offer, code=code
        )

    make.approval_policy("outcome")
    request_id = filed(say)
    assert db.session.get_one(Refund, refund_id).needs_staff
    room.approve(room.person(Role.CFO), request_id)
    expected = ("PARTIALLY_REFUNDED", 0, 30_00, None) if succeeded else ("PAID", 0, 0, None)
    assert desk.money(payment_id) == expected
    refund = db.session.get_one(Refund, refund_id)
    assert refund.status is (OrderStatus.SUCCEEDED if succeeded else OrderStatus.FAILED)
    assert "Mail of today" in (refund.message or "")
    with pytest.raises(Conflict, match="Nobody has to say"):
        say()


def test_without_a_reason_or_a_code_nobody_resolves_anything(room: Room, desk: Desk) -> None:
    payment_id, refund_id = _unresolved(desk)
    maker = room.person(Role.PAYMENTS_OPERATOR)
    for reason in (" ", "Because"):
        with pytest.raises(Invalid):
            resolve_order(maker, refund_id, kind="refund", succeeded=True, reason=reason, offer="x", code="000000")
    assert desk.money(payment_id) == ("PAID", 30_00, 0, "REFUND")


# ---- any act -------------------------------------------------------------------------------------------------------

GATHERING = ApprovalGate(
    "access",
    target=lambda arguments: Target(StaffUser, arguments["staff_id"]),
    ask=lambda _work, arguments: Ask(f"Say {arguments['words']}", {"access": 0}),
    secret=frozenset({"password"}),
)


@use_case(Permission.ACCESS_STAFF_MANAGE, gate=GATHERING)
def say(work: Work, staff_id: int, /, *, password: str | None = None, **details: str) -> None:
    """An act that gathers its arguments."""
    staff = work.get(StaffUser, staff_id)
    work.record(Event.ACCESS_STAFF_CHANGED, staff, after=dict(details) | {"was_told": password is not None})


@use_case(Permission.ACCESS_STAFF_MANAGE, gate=GATHERING)
def say_by_name(work: Work, staff_id: int, *, password: str | None = None, **details: str) -> None:
    """The same, with everything by name."""
    staff = work.get(StaffUser, staff_id)
    work.record(Event.ACCESS_STAFF_CHANGED, staff, after=dict(details) | {"was_told": password is not None})


def test_an_act_that_gathers_its_arguments_is_stored_and_done_with_all_of_them(room: Room, make: Make) -> None:
    make.approval_policy("access")
    maker, about = room.person(Role.ADMIN), room.person(Role.CASHIER)
    request_id = filed(partial(say_by_name, maker, about.staff_id, password="secret", words="hello", more="x"))
    assert room.request(request_id).payload == {"staff_id": about.staff_id, "words": "hello", "more": "x"}
    room.approve(room.person(Role.CFO), request_id)
    [entry] = trail(event="access.staff.changed")
    assert entry.after == {"words": "hello", "more": "x", "was_told": False}


def test_a_gate_in_front_of_an_act_that_cannot_be_called_by_name_is_a_mistake_that_is_seen_at_once(
    room: Room, make: Make
) -> None:
    make.approval_policy("access")
    maker, about = room.person(Role.ADMIN), room.person(Role.CASHIER)
    with pytest.raises(TypeError):
        say(maker, about.staff_id, words="hello")


# ---- policies ------------------------------------------------------------------------------------------------------

LINE = {"rule": "refund", "unit": "EUR", "threshold_minor": 500_00, "is_on": True, "expires_hours": 24}


def test_the_table_is_free_until_it_protects_itself(room: Room, make: Make) -> None:
    make.unit("EUR")
    first, second = room.person(Role.ADMIN), room.person(Role.CFO)
    policy_id = save_policy(first, **LINE)
    own = save_policy(first, rule="policy", unit=None, threshold_minor=None, is_on=True, expires_hours=72)
    lower = partial(save_policy, first, **(LINE | {"threshold_minor": 1}), policy_id=policy_id, version=1)
    request_id = filed(lower)
    off = {"rule": "policy", "unit": None, "threshold_minor": None, "is_on": False, "expires_hours": 72}
    switch_off = filed(partial(save_policy, first, **off, policy_id=own, version=1))
    assert db.session.get_one(ApprovalPolicy, own).is_on
    for each in (request_id, switch_off):
        with pytest.raises(Forbidden):
            room.approve(first, each)
    room.approve(second, request_id)
    db.session.rollback()
    assert db.session.get_one(ApprovalPolicy, policy_id).threshold_minor == 1
    room.approve(second, switch_off)
    save_policy(first, **LINE, policy_id=policy_id, version=2)
    assert len(trail(event="approvals.policy.saved")) == 5


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"rule": "everything"}, "rule"),
        ({"unit": None}, "unit"),
        ({"unit": "XXX"}, "unit"),
        ({"threshold_minor": None}, "threshold"),
        ({"threshold_minor": -1}, "threshold"),
        ({"rule": "access"}, "threshold"),
        ({"expires_hours": 0}, "expires_hours"),
        ({"expires_hours": 721}, "expires_hours"),
    ],
)
def test_a_line_that_makes_no_sense_is_refused_at_its_field(
    wrong: dict[str, object], field: str, room: Room, make: Make
) -> None:
    make.unit("EUR")
    with pytest.raises(Invalid) as caught:
        save_policy(room.person(Role.ADMIN), **(LINE | wrong))
    assert caught.value.field == field
    assert db.session.query(ApprovalPolicy).count() == 0


def test_there_is_one_line_for_each_rule_and_currency(room: Room, make: Make) -> None:
    make.unit("EUR")
    actor = room.person(Role.ADMIN)
    policy_id = save_policy(actor, **LINE)
    with pytest.raises(Conflict, match="already"):
        save_policy(actor, **LINE)
    with pytest.raises(Conflict, match="Somebody else changed"):
        save_policy(actor, **(LINE | {"is_on": False}), policy_id=policy_id, version=7)
    with pytest.raises(Invalid, match="keeps its rule"):
        save_policy(actor, **(LINE | {"rule": "void"}), policy_id=policy_id, version=1)
    with pytest.raises(Forbidden):
        save_policy(room.person(Role.PAYMENTS_OPERATOR), **LINE)


# ---- people --------------------------------------------------------------------------------------------------------


def test_accounts_of_one_person_are_joined_and_stay_joined(room: Room) -> None:
    manager = room.person(Role.ADMIN)
    first, second, third = (room.person(Role.CASHIER) for _ in range(3))

    def say(account: Actor, other: int | None, reason: str) -> None:
        assert account.staff_id is not None
        assert other is not None
        code = room.code(manager)
        with room.app.test_request_context():
            offer = step_up.offer(manager, JOIN_ACT, {"staff": account.staff_id})
        db.session.rollback()
        join_accounts(manager, account.staff_id, first_id=other, reason=reason, offer=offer, code=code)

    say(second, third.staff_id, "One person")
    say(third, first.staff_id, "The same one")
    db.session.rollback()
    people = {db.session.get_one(StaffUser, each.staff_id).person for each in (first, second, third)}
    assert people == {first.staff_id}
    say(third, second.staff_id, "Said twice")
    assert len(trail(event="access.staff.joined")) == 3
    with pytest.raises(Invalid):
        say(third, third.staff_id, "Nonsense")
    with pytest.raises(Invalid, match="Say"):
        say(third, second.staff_id, " ")
    with pytest.raises(NotFound):
        say(third, 4711, "Nobody")


@pytest.mark.parametrize("end", ["approve", "reject", "cancel"])
def test_a_request_is_decided_although_its_maker_was_joined_to_somebody(end: str, room: Room, desk: Desk) -> None:
    maker, twin, checker = desk.operator(), room.person(Role.CFO), room.person(Role.CFO)
    payment_id, request_id = asked_refund(room, desk, actor=maker)
    join(room, twin, maker)
    with pytest.raises(Forbidden, match="another of yours"):
        room.approve(twin, request_id)
    match end:
        case "approve":
            assert room.approve(checker, request_id).status is S.APPLIED
        case "reject":
            assert reject_request(checker, request_id, reason="No").status is S.REJECTED
        case "cancel":
            assert cancel_request(twin, request_id, reason="Mine as well").status is S.CANCELLED
    assert desk.money(payment_id)[1] == (60_00 if end == "approve" else 0)


# ---- what is stored ------------------------------------------------------------------------------------------------


@pytest.mark.once
def test_arguments_are_stored_as_what_they_are_and_nothing_else_is_made_of_them() -> None:
    given = {
        "role": Role.CFO,
        "roles": frozenset({Role.CFO, Role.ADMIN}),
        "day": dt.date(2026, 1, 31),
        "at": dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC),
        "many": [1, "two", None, True],
        "map": {"amount": 5},
        "answer": Answer(Outcome.SUCCEEDED, "ch_1", 5, unit="EUR"),
    }
    assert payloads.decode(payloads.encode(given)) == given
    for bad in (1.5, b"bytes", object(), dt.timedelta(1)):
        with pytest.raises(TypeError):
            payloads.encode({"x": bad})
    for forged in (
        {"$enum": "os:system", "name": "x"},
        {"$record": "subprocess:Popen", "fields": {}},
        {"$record": "payadmin.work:Work.get", "fields": {}},
        {"$enum": "payadmin.work:Actor", "name": "x"},
        {"unknown": 1},
        1.5,
    ):
        with pytest.raises(ValueError, match="a stored act"):
            payloads.decode({"x": forged})


WRITTEN_ONCE = [
    "UPDATE approval_request SET amount_minor = 1, unit = 'EUR'",
    "UPDATE approval_request SET payload = '{}'",
    "UPDATE approval_request SET payload_hash = 'x'",
    "UPDATE approval_request SET maker_id = 1, maker_person_id = 1",
    "UPDATE approval_request SET target_version = 5, target_id = 1",
    "DELETE FROM approval_request",
]


@pytest.mark.parametrize("statement", WRITTEN_ONCE)
def test_the_database_itself_keeps_a_request_as_it_was_written(statement: str, room: Room, make: Make) -> None:
    make.unit("EUR")
    room.person(Role.CASHIER)
    make.approval_request()
    with pytest.raises(DatabaseError, match="written once"):
        db.session.execute(text(statement))
    db.session.rollback()


def test_the_database_itself_refuses_the_maker_as_checker(room: Room, make: Make) -> None:
    maker = room.person(Role.ADMIN)
    twin, other = room.person(Role.CFO, same_as=maker), room.person(Role.CFO)
    row = make.approval_request(maker=db.session.get_one(StaffUser, maker.staff_id))
    decide = "UPDATE approval_request SET status = 'APPLIED', checker_id = :who, checker_person_id = :person"
    late = room.person(Role.CFO)
    join(room, maker, late)  # found out while the request waits
    for who, person in (
        (late.staff_id, maker.staff_id),
        (maker.staff_id, maker.staff_id),
        (twin.staff_id, maker.staff_id),
        (twin.staff_id, other.staff_id),  # somebody else's name on the twin's account
    ):
        with pytest.raises(DatabaseError):
            db.session.execute(text(decide), {"who": who, "person": person})
        db.session.rollback()
    with pytest.raises(DatabaseError):
        db.session.execute(text("UPDATE approval_request SET status = 'APPLIED'"))
    db.session.rollback()
    writing()
    db.session.execute(text(decide), {"who": other.staff_id, "person": other.staff_id})
    db.session.commit()
    with pytest.raises(DatabaseError, match="decided once"):
        db.session.execute(text("UPDATE approval_request SET status = 'PENDING'"))
    db.session.rollback()
    assert room.request(row.id).status is S.APPLIED


def test_what_was_changed_in_the_database_behind_its_triggers_is_not_applied(
    room: Room, make: Make, dialect: str
) -> None:
    row = make.approval_request(payload_hash="0" * 64)
    decision = room.approve(room.person(Role.CFO), row.id)
    assert (decision.status, dialect in {"sqlite", "postgresql"}) == (S.FAILED, True)
    assert "not what was asked for" in decision.sentence
    assert db.session.query(ApprovalPolicy).count() == 0


def test_every_checkers_permission_is_some_roles() -> None:
    from payadmin.permissions import GRANTS

    for kind in KINDS.values():
        assert any(kind.permission in granted for granted in GRANTS.values())
    assert Permission.APPROVALS_REFUND_APPROVE not in GRANTS[Role.PAYMENTS_OPERATOR]
