"""The inbox over HTTP: what each person sees, decides, is refused, and reads on the record's own page."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update

from payadmin.db import db, utcnow
from payadmin.jobs import runner
from payadmin.kernel import totp
from payadmin.models.access import SecondFactor, StaffUser
from payadmin.models.approvals import ApprovalPolicy, ApprovalRequest, ApprovalStatus
from payadmin.models.payments import Payment, Refund
from payadmin.models.subscriptions import RetryPolicy
from payadmin.models.system import ActionItem
from payadmin.permissions import Role
from tests.support.make import Make
from tests.support.signin import secret_of

S = ApprovalStatus


@pytest.fixture(autouse=True)
def _no_csrf(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", False)


@pytest.fixture
def operator(make: Make) -> FlaskClient:
    return make.browse(Role.PAYMENTS_OPERATOR)


@pytest.fixture
def cfo(make: Make) -> FlaskClient:
    return make.browse(Role.CFO)


def code_of(client: FlaskClient) -> str:
    """The code that the person's app shows, half a minute after the last one."""
    staff_id: int = client.staff_id  # type: ignore[attr-defined]
    db.session.rollback()
    with db.engine.begin() as connection:
        connection.execute(update(SecondFactor).where(SecondFactor.staff_id == staff_id).values(last_step=0))
    found = totp.code_at(secret_of(staff_id), utcnow())
    db.session.rollback()
    return found


def hidden(page: str, name: str) -> str:
    found = re.search(rf'name="{name}"[^>]*value="([^"]+)"', page)
    assert found is not None, f"no {name} on the page"
    return found[1]


def post(client: FlaskClient, path: str, **data: Any) -> Any:
    """Open a form and send it with a fresh code."""
    page = client.get(path).text
    given = {name: hidden(page, name) for name in ("offer", "key") if f'name="{name}"' in page}
    return client.post(path, data=given | {"code": code_of(client)} | data)


def ask(client: FlaskClient, make: Make, amount: str = "60.00") -> tuple[int, int]:
    """A refund that the operator asks for on its page; the payment and the request."""
    make.approval_policy()
    payment_id = make.payment().id
    path = f"/transactions/{payment_id}/action/refund/"
    answer = post(client, path, amount=amount, reason="DUPLICATE", note="Paid twice")
    assert answer.status_code == 303, answer.text
    db.session.rollback()
    return payment_id, db.session.query(ApprovalRequest.id).order_by(ApprovalRequest.id.desc()).limit(1).scalar() or 0


def status(request_id: int) -> ApprovalStatus:
    db.session.rollback()
    return db.session.get_one(ApprovalRequest, request_id, populate_existing=True).status


def test_a_refund_above_the_threshold_waits_and_its_payment_says_so(operator: FlaskClient, make: Make) -> None:
    payment_id, request_id = ask(operator, make)
    page = operator.get(f"/transactions/{payment_id}/").text
    assert "Not done yet: request" in page
    assert "Pending change by" in page
    assert f'href="/approvals/{request_id}/"' in page
    assert "waits for approval" in page
    assert db.session.query(Refund).count() == 0


def test_a_checker_approves_and_the_refund_is_made(operator: FlaskClient, cfo: FlaskClient, make: Make) -> None:
    payment_id, request_id = ask(operator, make)
    inbox = cfo.get("/approvals/?queue=to-decide").text
    assert "Refund 60.00 EUR of" in inbox
    details = cfo.get(f"/approvals/{request_id}/").text
    for words in ("Waiting for a second person", "60.00 EUR", "Refund requested", "Paid twice", "A refund of at least"):
        assert words in details
    answer = post(cfo, f"/approvals/{request_id}/decide/approve/", reason="")
    assert answer.status_code == 303, answer.text
    assert status(request_id) is S.APPLIED
    assert db.session.query(Refund).one().payment_id == payment_id
    assert "Approved and done." in cfo.get(f"/approvals/{request_id}/").text
    assert "Pending change" not in cfo.get(f"/transactions/{payment_id}/").text


def test_ones_own_request_cannot_be_decided_but_cancelled(make: Make) -> None:
    both = make.browse(Role.PAYMENTS_OPERATOR, Role.ADMIN)
    payment_id, request_id = ask(both, make)
    details = both.get(f"/approvals/{request_id}/").text
    assert "You asked for this yourself" in details
    assert "decide/approve" not in details
    assert "decide/cancel" in details
    for decision in ("approve", "reject"):
        path = f"/approvals/{request_id}/decide/{decision}/"
        assert "You asked for this yourself" in both.get(path).text
        refused = both.post(path, data={"reason": "Mine", "code": code_of(both), "offer": "x"})
        assert (refused.status_code, status(request_id)) == (403, S.PENDING)
    assert both.post(f"/approvals/{request_id}/decide/cancel/", data={"reason": ""}).status_code == 422
    assert both.post(f"/approvals/{request_id}/decide/cancel/", data={"reason": "Typo"}).status_code == 303
    assert status(request_id) is S.CANCELLED
    db.session.rollback()
    assert db.session.get_one(Payment, payment_id).reserved_minor == 0


def test_rejecting_needs_a_reason_that_the_maker_reads(operator: FlaskClient, cfo: FlaskClient, make: Make) -> None:
    _, request_id = ask(operator, make)
    path = f"/approvals/{request_id}/decide/reject/"
    assert cfo.post(path, data={"reason": "  "}).status_code == 422
    assert cfo.post(path, data={"reason": "Ask <b>first</b>"}).status_code == 303
    page = operator.get(f"/approvals/{request_id}/").text
    assert "Ask &lt;b&gt;first&lt;/b&gt;" in page
    again = cfo.post(path, data={"reason": "Once more"})
    assert (again.status_code, "is rejected already" in again.text) == (409, True)


def test_a_wrong_code_decides_nothing(operator: FlaskClient, cfo: FlaskClient, make: Make) -> None:
    _, request_id = ask(operator, make)
    answer = post(cfo, f"/approvals/{request_id}/decide/approve/", reason="", code="000000")
    assert (answer.status_code, status(request_id)) == (422, S.PENDING)
    assert "That code is wrong" in answer.text


def test_everybody_sees_their_own_requests_and_those_they_decide(
    operator: FlaskClient, cfo: FlaskClient, make: Make
) -> None:
    _, request_id = ask(operator, make)
    other = make.browse(Role.PAYMENTS_OPERATOR)
    assert "Refund 60.00" in operator.get("/approvals/?queue=mine").text
    assert "Nothing to decide" in operator.get("/approvals/?queue=to-decide").text
    assert "Nothing of yours waits" in cfo.get("/approvals/?queue=mine").text
    assert "No requests yet" in other.get("/approvals/").text
    assert other.get(f"/approvals/{request_id}/").status_code == 404
    assert other.post(f"/approvals/{request_id}/decide/reject/", data={"reason": "x"}).status_code == 404
    assert make.browse(Role.CASHIER).get("/approvals/").status_code == 403


@pytest.mark.parametrize(
    ("args", "found"),
    [
        ("kind=refund", True),
        ("kind=void&kind=access", False),
        ("amount=EUR:60.00..60.00", True),
        ("amount=EUR:61.00..", False),
        ("status=PENDING", True),
        ("status=APPLIED", False),
        ("created_at=2020-01-01..2020-12-31", False),
        ("search=Refund", False),
    ],
)
def test_the_inbox_is_filtered_by_kind_amount_age_and_status(
    args: str, *, found: bool, operator: FlaskClient, cfo: FlaskClient, make: Make
) -> None:
    ask(operator, make)
    answer = cfo.get(f"/approvals/?{args}")
    assert answer.status_code == 200, answer.text
    assert ("Refund 60.00 EUR of" in answer.text) is found


def test_the_inbox_is_filtered_by_maker(operator: FlaskClient, cfo: FlaskClient, make: Make) -> None:
    ask(operator, make)
    name = db.session.get_one(StaffUser, operator.staff_id).username  # type: ignore[attr-defined]
    assert "Refund 60.00 EUR of" in cfo.get(f"/approvals/?maker_name={name}").text
    assert "Refund 60.00 EUR of" not in cfo.get("/approvals/?maker_name=nobody").text


@pytest.mark.parametrize("args", ["queue=all", "queue=mine&queue=to-decide", "kind=everything"])
def test_a_queue_or_kind_that_does_not_exist_is_refused(args: str, cfo: FlaskClient) -> None:
    assert cfo.get(f"/approvals/?{args}").status_code == 400


def test_the_menu_counts_what_waits_for_the_one_who_looks(operator: FlaskClient, cfo: FlaskClient, make: Make) -> None:
    ask(operator, make)
    ask(operator, make)

    def counted(client: FlaskClient) -> bool:
        return re.search(r"Approvals inbox<span class=\"count\">2<", client.get("/").text) is not None

    assert counted(cfo)
    assert not counted(operator)


def test_many_of_one_kind_are_approved_each_by_itself(operator: FlaskClient, cfo: FlaskClient, make: Make) -> None:
    pairs = [ask(operator, make) for _ in range(3)]
    ids = [str(request_id) for _, request_id in pairs]
    drafted = cfo.post("/approvals/action/", data={"action": "approve", "id": ids})
    page = cfo.get(drafted.location).text
    assert "180.00" in page
    assert status(int(ids[0])) is S.PENDING
    operator.post(f"/approvals/{ids[2]}/decide/cancel/", data={"reason": "Not this one"})
    token, offer = hidden(page, "token"), hidden(page, "offer")
    stale = cfo.post(drafted.location, data={"token": token, "offer": offer, "code": code_of(cfo), "reason": "OK"})
    assert stale.status_code == 422, "the code was for three requests, and two are left"
    offer = hidden(stale.text, "offer")
    done = cfo.post(drafted.location, data={"token": token, "offer": offer, "code": code_of(cfo), "reason": "OK"})
    assert done.status_code == 302, done.text
    runner.drain()
    assert [status(int(each)) for each in ids] == [S.APPLIED, S.APPLIED, S.CANCELLED]
    assert db.session.query(Refund).count() == 2
    outcome = cfo.get(drafted.location).text
    assert outcome.count("Approved and done.") == 2
    assert "is cancelled already" in outcome


def test_requests_of_several_kinds_are_not_approved_together(
    operator: FlaskClient, cfo: FlaskClient, make: Make
) -> None:
    _, refund = ask(operator, make)
    other = make.approval_request().id
    answer = cfo.post("/approvals/action/", data={"action": "approve", "id": [str(refund), str(other)]})
    assert (answer.status_code, "Choose requests of one kind" in answer.text) == (409, True)


def test_a_request_that_went_out_of_date_shows_what_changed(
    operator: FlaskClient, cfo: FlaskClient, make: Make
) -> None:
    payment_id, request_id = ask(operator, make)
    with db.engine.begin() as connection:
        changed = {"description": "Corrected", "version": 99}
        connection.execute(update(Payment.__table__).where(Payment.__table__.c.id == payment_id).values(**changed))
    post(cfo, f"/approvals/{request_id}/decide/approve/", reason="")
    assert status(request_id) is S.STALE
    page = cfo.get(f"/approvals/{request_id}/").text
    assert "What has changed since it was asked for" in page
    assert "Corrected" in page


def test_a_change_shows_before_and_after(cfo: FlaskClient, make: Make, operator: FlaskClient) -> None:
    make.approval_policy("retry_policy")
    policy = make._save(
        RetryPolicy(name="Gentle", delays_days=[1], max_attempts=2, retryable_codes=[], on_exhausted="ON_HOLD")
    )
    form = {"name": "Gentle", "max_attempts": "3", "delays_days": "1, 5", "on_exhausted": "ABORTED"}
    answer = operator.post(f"/retry-policies/{policy.id}/edit/", data=form | {"seen_version": "1"})
    assert answer.status_code == 303
    assert answer.location.startswith("/approvals/")
    page = cfo.get(answer.location).text
    for words in ("Change retry policy “Gentle”", '<th scope="col">Now</th>', "1, 5", "Abort the subscription"):
        assert words in page, words
    assert "Pending change by" in operator.get(f"/retry-policies/{policy.id}/").text


def test_the_policy_table_is_edited_on_a_page(cfo: FlaskClient, make: Make) -> None:
    make.unit("EUR")
    assert "Nothing needs a second person" in cfo.get("/approval-policies/").text
    form = {"rule": "refund", "unit": "EUR", "threshold": "500.00", "expires_hours": "24", "is_on": "y"}
    for wrong, words in (
        ({"unit": ""}, "Choose the currency"),
        ({"threshold": "abc"}, "is not an amount"),
        ({"threshold": ""}, "Enter the amount"),
        ({"rule": ""}, "Choose one."),
        ({"expires_hours": "0"}, "Enter from 1 to 720 hours."),
    ):
        answer = cfo.post("/approval-policies/new/", data=form | wrong)
        assert (answer.status_code, words in answer.text) == (422, True), (wrong, answer.text)
    made = cfo.post("/approval-policies/new/", data=form)
    assert made.status_code == 302, made.text
    policy = db.session.query(ApprovalPolicy).one()
    assert (policy.rule, policy.unit, policy.threshold_minor, policy.is_on) == ("refund", "EUR", 500_00, True)
    page = cfo.get("/approval-policies/").text
    assert "A refund of at least" in page
    assert "Administrator or CFO" in page
    edit = {"threshold": "1,000.00", "expires_hours": "48", "seen_version": "1"}
    assert cfo.post(f"/approval-policies/{policy.id}/edit/", data=edit).status_code == 302
    stale = cfo.post(f"/approval-policies/{policy.id}/edit/", data=edit | {"threshold": "2"})
    assert (stale.status_code, "Somebody else changed this policy" in stale.text) == (409, True)
    db.session.rollback()
    row = db.session.get_one(ApprovalPolicy, policy.id, populate_existing=True)
    assert (row.threshold_minor, row.expires_hours, row.is_on) == (1_000_00, 48, False)


def test_only_those_who_may_change_the_table(make: Make, operator: FlaskClient) -> None:
    policy = make.approval_policy()
    for path in ("/approval-policies/", "/approval-policies/new/", f"/approval-policies/{policy.id}/edit/"):
        assert operator.get(path).status_code == 403
    assert operator.post("/approval-policies/new/", data={"rule": "policy"}).status_code == 403


def test_a_bulk_refund_row_that_waits_says_so(operator: FlaskClient, make: Make) -> None:
    make.approval_policy()
    small, large = make.payment(amount_minor=10_00).id, make.payment().id
    drafted = operator.post("/transactions/action/", data={"action": "refund", "id": [str(small), str(large)]})
    page = operator.get(drafted.location).text
    data = {name: hidden(page, name) for name in ("token", "offer")}
    data |= {f"r{small}-amount": "10.00", f"r{large}-amount": "100.00", "reason": "DUPLICATE", "note": ""}
    assert operator.post(drafted.location, data=data | {"code": code_of(operator)}).status_code == 302
    runner.drain()
    db.session.rollback()
    sentences = {row.row_id: row.sentence or "" for row in db.session.query(ActionItem)}
    assert "a second person has to approve it" in sentences[large]
    assert db.session.query(Refund).one().payment_id == small


def test_a_machine_is_told_that_an_act_waits(operator: FlaskClient, make: Make) -> None:
    make.approval_policy("retry_policy")
    form = {"name": "New", "max_attempts": "1", "delays_days": "", "on_exhausted": "ABORTED"}
    answer = operator.post("/retry-policies/new/", data=form, headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json["code"]) == (202, "needs_approval")


def test_an_unresolved_refund_is_resolved_on_its_payments_page(
    operator: FlaskClient, make: Make, fresh: Callable[[], int]
) -> None:
    refund_id = fresh()
    payment_id = db.session.get_one(Refund, refund_id).payment_id
    path = f"/transactions/{payment_id}/resolve/refund/{refund_id}/"
    assert path in operator.get(f"/transactions/{payment_id}/").text
    assert operator.get(f"/transactions/{payment_id}/resolve/void/{refund_id}/").status_code == 404
    assert post(operator, path, outcome="", reason="Mail").status_code == 422
    assert post(operator, path, outcome="failed", reason="Mail", code="123").status_code == 422
    assert post(operator, path, outcome="failed", reason="Mail of today").status_code == 303
    db.session.rollback()
    assert db.session.get_one(Payment, payment_id).reserved_minor == 0
    assert operator.get(path).status_code == 409


@pytest.fixture
def fresh(make: Make) -> Callable[[], int]:
    """A refund whose outcome nobody can find out."""

    def made() -> int:
        from payadmin.models.payments import InFlight, OrderStatus, RefundReason

        payment = make.payment(reserved_minor=30_00, in_flight=InFlight.REFUND)
        row = make._save(
            Refund(
                payment_id=payment.id,
                amount_minor=30_00,
                unit="EUR",
                reason=RefundReason.DUPLICATE,
                key="k" * 20,
                provider_key="p" * 20,
                reference="rf-unresolved",
                requested_by="operator",
                status=OrderStatus.REQUESTED,
                needs_staff=True,
                message="The provider has no trace of it.",
            )
        )
        with db.engine.begin() as connection:
            connection.execute(update(Refund.__table__).values(status="UNKNOWN"))
        db.session.rollback()
        return int(row.id)

    return made


def test_a_row_of_a_run_that_was_asked_for_is_not_done_until_it_is_approved(
    operator: FlaskClient, cfo: FlaskClient, make: Make
) -> None:
    make.approval_policy()
    pairs = [make.payment().id for _ in range(2)]
    drafted = operator.post("/transactions/action/", data={"action": "refund", "id": [str(each) for each in pairs]})
    page = operator.get(drafted.location).text
    data = {name: hidden(page, name) for name in ("token", "offer")}
    data |= {f"r{payment_id}-amount": "100.00" for payment_id in pairs}
    data |= {"reason": "DUPLICATE", "note": "", "code": code_of(operator)}
    assert operator.post(drafted.location, data=data).status_code == 302
    runner.drain()
    requests = [number for (number,) in db.session.query(ApprovalRequest.id).order_by(ApprovalRequest.id)]

    def counts() -> dict[str, str]:
        status_page = operator.get(f"{drafted.location}status/").text
        return dict(re.findall(r"<dt>([^<]+)</dt><dd>([^<]+)</dd>", status_page))

    outcome = operator.get(drafted.location).text
    assert outcome.count(">Waiting for approval</span>") == 2
    assert all(f'href="/approvals/{number}/"' in outcome for number in requests)
    assert counts() == {"Done": "0", "Failed": "0", "Left out": "0", "Waiting for approval": "2", "Remaining": "0"}
    assert post(cfo, f"/approvals/{requests[0]}/decide/approve/", reason="").status_code == 303
    assert post(cfo, f"/approvals/{requests[1]}/decide/reject/", reason="The goods were used").status_code == 303
    outcome = operator.get(drafted.location).text
    assert "Waiting for approval" not in outcome
    assert "Rejected; nothing was done." in outcome
    assert re.search("Approved by [^ ]+, and done", outcome)
    assert counts() == {"Done": "1", "Failed": "0", "Left out": "0", "Not approved": "1", "Remaining": "0"}


HELD_FROM = "From 50.00 EUR on, this needs a second person: it will be asked for, not done."


def test_a_refund_form_says_beforehand_from_which_amount_it_will_only_be_asked_for(
    operator: FlaskClient, make: Make
) -> None:
    large, small = make.payment().id, make.payment(amount_minor=49_99).id
    assert "second person" not in operator.get(f"/transactions/{large}/action/refund/").text
    make.approval_policy()
    assert HELD_FROM in operator.get(f"/transactions/{large}/action/refund/").text
    assert "second person" not in operator.get(f"/transactions/{small}/action/refund/").text, "never reached"
    path = f"/transactions/{small}/action/refund/"
    assert post(operator, path, amount="10.00", reason="DUPLICATE", note="").status_code == 303
    make.approval_policy("refund_again")
    with db.engine.begin() as connection:  # as if the provider had answered
        connection.execute(update(Payment).where(Payment.id == small).values(in_flight=None, reserved_minor=0))
    assert "A further refund of the same payment needs a second person" in operator.get(path).text


def test_a_void_form_says_that_it_will_only_be_asked_for(operator: FlaskClient, make: Make) -> None:
    make.approval_policy("void")
    large, small = make.payment().id, make.payment(amount_minor=49_99).id
    words = "This needs a second person: it will be asked for, not done."
    assert words in operator.get(f"/transactions/{large}/action/void/").text
    assert words not in operator.get(f"/transactions/{small}/action/void/").text


def test_a_bulk_refund_says_which_rows_will_only_be_asked_for(operator: FlaskClient, make: Make) -> None:
    make.approval_policy()
    ids = [str(make.payment(amount_minor=minor).id) for minor in (40_00, 60_00)]
    drafted = operator.post("/transactions/action/", data={"action": "refund", "id": ids}).location
    assert "Rows of 50.00 EUR and more need a second person" in operator.get(drafted).text
    make.approval_policy("refund_bulk", threshold_minor=100_00)
    assert "Together from 100.00 EUR on, every row needs a second person" in operator.get(drafted).text


def test_an_administrator_says_that_two_accounts_are_one_person_and_they_cannot_agree_any_more(
    make: Make, operator: FlaskClient, cfo: FlaskClient
) -> None:
    admin = make.browse(Role.ADMIN)
    operator_id, cfo_id = operator.staff_id, cfo.staff_id  # type: ignore[attr-defined]
    _, request_id = ask(operator, make)
    path = f"/staff/{operator_id}/same-person/"
    page = admin.get(path).text
    assert "There is no way back" in page
    assert path in admin.get(f"/staff/{operator_id}/").text
    assert admin.post(path, data={"first_id": str(cfo_id), "reason": ""}).status_code == 422
    wrong = {"first_id": str(cfo_id), "reason": "Same payroll number", "offer": hidden(page, "offer"), "code": "000000"}
    assert admin.post(path, data=wrong).status_code == 422
    itself = post(admin, path, first_id=str(operator_id), reason="Same payroll number")
    assert (itself.status_code, "Choose another account" in itself.text) == (422, True)
    db.session.rollback()
    assert db.session.get_one(StaffUser, operator_id).person == operator_id
    done = post(admin, path, first_id=str(cfo_id), reason="Same payroll number")
    assert done.status_code == 303, done.text
    assert "The same person also has" in admin.get(f"/staff/{operator_id}/").text
    assert "You asked for this yourself" in cfo.get(f"/approvals/{request_id}/decide/approve/").text
    db.session.rollback()
    assert db.session.get_one(StaffUser, operator_id).person == cfo_id
    assert cfo.get(path).status_code == 403, "administrators only"
    assert path not in cfo.get(f"/staff/{operator_id}/").text
    own = admin.get(f"/staff/{admin.staff_id}/same-person/").text  # type: ignore[attr-defined]
    assert "Somebody else must do this" in own
