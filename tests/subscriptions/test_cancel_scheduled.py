"""Cancel scheduled over HTTP: what is found, what can be chosen, one code for the choice, and what became of each."""

import datetime as dt
import re
import threading
import time
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, func, select, text, update

from payadmin.db import db, utcnow
from payadmin.kernel import totp
from payadmin.models.access import SecondFactor
from payadmin.models.subscriptions import AttemptState, ChargeStatus, ScheduledCharge
from payadmin.models.system import ActionItem, ActionRun, RunState
from payadmin.permissions import Role
from payadmin.views import cancel_scheduled, lists
from tests.support.desk import trail
from tests.support.make import Make
from tests.support.signin import secret_of

C = ChargeStatus


@pytest.fixture(autouse=True)
def _no_csrf(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", False)


@pytest.fixture
def operator(make: Make) -> FlaskClient:
    return make.browse(Role.PAYMENTS_OPERATOR)


def in_days(days: int) -> dt.date:
    return lists.today() + dt.timedelta(days=days)


def dates(make: Make, *days: int, billing: str = "B-77", **values: Any) -> list[ScheduledCharge]:
    """Execute dates so many days from today, of one subscription."""
    subscription = make.subscription(billing_number=billing)
    return [make.scheduled_charge(subscription, due_date=in_days(number), **values) for number in days]


def code_of(client: FlaskClient) -> str:
    """The code that the operator's app shows, half a minute after the last one."""
    staff_id: int = client.staff_id  # type: ignore[attr-defined]
    db.session.rollback()
    with db.engine.begin() as connection:
        connection.execute(update(SecondFactor).where(SecondFactor.staff_id == staff_id).values(last_step=0))
    found = totp.code_at(secret_of(staff_id), utcnow())
    db.session.rollback()
    return found


def offer(page: str) -> str:
    found = re.search(r'name="offer"[^>]*value="([^"]+)"', page)
    assert found is not None, "no offer on the page"
    return found[1]


def choose(client: FlaskClient, *rows: ScheduledCharge, **values: Any) -> str:
    """Tick dates and go to the confirmation; its address."""
    ids = [str(row.id) for row in rows]
    answer = client.post("/cancel-scheduled/choose/", data={"id": ids} | values)
    assert answer.status_code == 303, answer.text
    return str(answer.location)


def set_status(row: ScheduledCharge, status: ChargeStatus) -> None:
    """Something happens behind the operator's back."""
    row_id = row.id
    db.session.rollback()
    with db.engine.begin() as connection:
        table = ScheduledCharge.__table__
        connection.execute(update(table).where(table.c.id == row_id).values(status=status))


def statuses(*rows: ScheduledCharge) -> list[str]:
    db.session.rollback()
    ids = [row.id for row in rows]
    columns = select(ScheduledCharge.id, ScheduledCharge.status)
    found = {row.id: row.status.name for row in db.session.execute(columns.where(ScheduledCharge.id.in_(ids)))}
    return [found[row_id] for row_id in ids]


# --- finding ----------------------------------------------------------------------------------------------------------


def test_a_billing_number_finds_its_coming_dates_and_says_why_some_cannot_be_cancelled(
    operator: FlaskClient, make: Make
) -> None:
    subscription = make.subscription(billing_number="B-77")
    free, soon = (make.scheduled_charge(subscription, due_date=in_days(days)) for days in (3, 10))
    running = make.scheduled_charge(subscription, due_date=in_days(0), status=C.PROCESSING)
    gone = make.scheduled_charge(subscription, due_date=in_days(5), status=C.CANCELLED)
    over = make.scheduled_charge(subscription, due_date=in_days(-30), status=C.FAILED)
    make.scheduled_charge(make.subscription(billing_number="B-OTHER"), due_date=in_days(3), invoice_number="R-OTHER")

    page = operator.get("/cancel-scheduled/?billing_number=B-77").get_data(as_text=True)

    assert page.count('class="rowcheck"') == 2
    for row in (free, soon):
        assert f'name="id" value="{row.id}"' in page
    assert "It is already being charged." in page
    assert "It was already cancelled." in page
    assert running.invoice_number in page
    assert gone.invoice_number in page
    assert over.invoice_number not in page, "what is over is not listed"
    assert "R-OTHER" not in page
    assert f"/subscriptions/{subscription.id}/" in page
    assert "4 execute dates, 2 can be cancelled" in page


def test_numbers_are_found_whole_first_and_by_their_beginning_only_when_nothing_is_exactly_so(
    operator: FlaskClient, make: Make
) -> None:
    [exact] = dates(make, 3, billing="BILL-1")
    [longer] = dates(make, 3, billing="BILL-12")

    page = operator.get("/cancel-scheduled/?billing_number=BILL-1").get_data(as_text=True)
    assert exact.invoice_number in page
    assert longer.invoice_number not in page, "dates of another number must not be cancelled along"
    page = operator.get("/cancel-scheduled/?billing_number=BILL").get_data(as_text=True)
    assert exact.invoice_number in page
    assert longer.invoice_number in page
    assert "No number is exactly what you typed" in page
    assert "Nothing found" in operator.get("/cancel-scheduled/?billing_number=BI").get_data(as_text=True)


def test_an_invoice_number_alone_or_with_a_billing_number_narrows(operator: FlaskClient, make: Make) -> None:
    subscription = make.subscription(billing_number="B-77")
    one = make.scheduled_charge(subscription, due_date=in_days(1), invoice_number="INV-0001")
    two = make.scheduled_charge(subscription, due_date=in_days(2), invoice_number="INV-0002")
    other = make.scheduled_charge(due_date=in_days(2), invoice_number="INV-0003")

    def found(query: str) -> set[str]:
        page = operator.get(f"/cancel-scheduled/?{query}").get_data(as_text=True)
        return {row.invoice_number for row in (one, two, other) if f'value="{row.id}"' in page}

    assert found("invoice_number=INV-0002") == {"INV-0002"}
    assert found("invoice_number=INV-") == {"INV-0001", "INV-0002", "INV-0003"}
    assert found("invoice_number=INV-&billing_number=B-77") == {"INV-0001", "INV-0002"}
    assert found("invoice_number=INV-0003&billing_number=B-77") == set()


@pytest.mark.parametrize("key", ["billing_number", "invoice_number"])
@pytest.mark.parametrize(
    "junk", ["%00", "x" * 100, "%27%3B--", "%25%25%25", "___", "%F0%9F%92%A9%F0%9F%92%A9", "%FF%FE%FD", "%3Cscript%3E"]
)
def test_junk_finds_nothing_and_breaks_nothing(operator: FlaskClient, make: Make, key: str, junk: str) -> None:
    [row] = dates(make, 3)
    answer = operator.get(f"/cancel-scheduled/?{key}={junk}")
    assert answer.status_code == 200
    assert row.invoice_number not in answer.text
    assert "<script>alert" not in answer.text


def test_hostile_names_stay_text(operator: FlaskClient, make: Make) -> None:
    customer = make.customer(name="<img src=x onerror=alert(2)>")
    subscription = make.subscription(billing_number="<b>77", customer_id=customer.id)
    row = make.scheduled_charge(subscription, due_date=in_days(3))
    for path in ("/cancel-scheduled/?billing_number=%3Cb%3E77", choose(operator, row)):
        page = operator.get(path).get_data(as_text=True)
        assert "<img src=x" not in page
        assert "<b>77" not in page
        assert "&lt;img src=x" in page


def test_the_number_of_questions_does_not_grow_with_the_dates(operator: FlaskClient, make: Make) -> None:
    def asked(path: str) -> int:
        operator.get(path)
        seen: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            seen.append(statement)

        event.listen(db.engine, "before_cursor_execute", note)
        assert operator.get(path).status_code == 200
        event.remove(db.engine, "before_cursor_execute", note)
        return len(seen)

    subscription = make.subscription(billing_number="B-77")
    rows = [make.scheduled_charge(subscription, due_date=in_days(3))]
    paths = ("/cancel-scheduled/?billing_number=B-77", "/cancel-scheduled/?invoice_number=R-0")
    few = [asked(path) for path in paths]
    confirmation = asked(choose(operator, *rows))
    rows += [make.scheduled_charge(make.subscription(), due_date=in_days(3)) for _ in range(9)]
    rows += [make.scheduled_charge(subscription, due_date=in_days(days)) for days in range(4, 20)]
    assert [asked(path) for path in paths] == few
    assert asked(choose(operator, *rows)) == confirmation


def test_both_searches_go_through_indexes(
    app: Flask, make: Make, dialect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plans of the very statements that the page runs; PostgreSQL is told not to scan what it could look up."""
    dates(make, 3)
    seen: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        seen.append((statement, parameters))

    if dialect == "postgresql":
        db.session.execute(text("SET enable_seqscan = off"))
    event.listen(db.engine, "before_cursor_execute", note)
    with app.test_request_context():
        billing, invoice = {"billing_number": "B-7"}, {"invoice_number": "R-0"}
        for given in (billing, invoice, billing | invoice):
            assert cancel_scheduled.find(given, lists.today()).rows
    event.remove(db.engine, "before_cursor_execute", note)
    connection = db.session.connection()
    for statement, parameters in seen:
        word = "EXPLAIN" if dialect == "postgresql" else "EXPLAIN QUERY PLAN"
        plan = "\n".join(str(row) for row in connection.exec_driver_sql(f"{word} {statement}", parameters))
        assert "Seq Scan" not in plan, plan
        # What SQLite makes of an empty IN () reads nothing.
        tables = [
            line for line in plan.splitlines() if "SCAN CONSTANT ROW" not in line and "SCAN (subquery" not in line
        ]
        assert "SCAN" not in "".join(tables), plan


def test_support_and_finance_have_no_way_in(make: Make) -> None:
    [row] = dates(make, 3)
    for role in (Role.SUPPORT_AGENT, Role.CFO, Role.ADMIN):
        client = make.browse(role)
        assert client.get("/cancel-scheduled/?billing_number=B-77").status_code == 403
        assert client.post("/cancel-scheduled/choose/", data={"id": row.id}).status_code == 403
        assert client.get("/cancel-scheduled/0123456789abcdef/").status_code == 403
    assert statuses(row) == ["SCHEDULED"]


# --- confirming -------------------------------------------------------------------------------------------------------


def test_one_code_cancels_the_whole_choice_and_the_page_keeps_the_outcome(operator: FlaskClient, make: Make) -> None:
    rows = dates(make, 3, 4, 5)
    place = choose(operator, *rows[:2], list="billing_number=B-77")
    page = operator.get(place).text
    assert "Cancel 2 execute dates" in page
    assert "20.00 EUR" in page.replace("\xa0", " ")
    assert "a later change of the schedule does not bring them back" in page
    assert statuses(*rows) == ["SCHEDULED"] * 3, "looking cancels nothing"

    done = operator.post(place, data={"reason": "Moved away", "offer": offer(page), "code": code_of(operator)})

    assert done.status_code == 303
    assert statuses(*rows) == ["CANCELLED", "CANCELLED", "SCHEDULED"]
    outcome = operator.get(place).text
    assert "Cancelled: 2 of 2 execute dates" in outcome
    assert "Moved away" in outcome
    assert "/cancel-scheduled/?billing_number=B-77" in outcome
    events = trail(event="subscriptions.charge.cancelled")
    assert [entry.reason for entry in events] == ["Moved away"] * 2
    again = operator.post(place, data={"reason": "Moved away", "offer": offer(page), "code": code_of(operator)})
    assert again.status_code == 303, "the same form sent twice leads to the outcome"
    assert len(trail(event="subscriptions.charge.cancelled")) == 2


def test_a_wrong_code_cancels_nothing_and_keeps_choice_and_reason(operator: FlaskClient, make: Make) -> None:
    rows = dates(make, 3, 4)
    place = choose(operator, *rows)
    form = {"reason": "Holiday in May", "offer": offer(operator.get(place).text), "code": "000000"}

    refused = operator.post(place, data=form)

    assert refused.status_code == 422
    assert "That code is wrong or was already used" in refused.text
    assert 'aria-invalid="true"' in refused.text
    assert "Holiday in May" in refused.text
    assert all(row.invoice_number in refused.text for row in rows)
    assert statuses(*rows) == ["SCHEDULED"] * 2
    assert db.session.scalar(select(ActionRun.state)) is RunState.DRAFT
    right = form | {"offer": offer(refused.text), "code": code_of(operator)}
    assert operator.post(place, data=right).status_code == 303
    assert statuses(*rows) == ["CANCELLED"] * 2


def test_a_used_code_cancels_nothing(operator: FlaskClient, make: Make) -> None:
    first, second = dates(make, 3, 4)
    place = choose(operator, first)
    code = code_of(operator)
    form = {"reason": "Why", "offer": offer(operator.get(place).text), "code": code}
    assert operator.post(place, data=form).status_code == 303
    place = choose(operator, second)

    refused = operator.post(place, data={"reason": "Why", "offer": offer(operator.get(place).text), "code": code})

    assert refused.status_code == 422
    assert "already used" in refused.text
    assert statuses(first, second) == ["CANCELLED", "SCHEDULED"]


def test_the_offer_of_one_choice_or_person_confirms_no_other(operator: FlaskClient, make: Make) -> None:
    first, second = dates(make, 3, 4)
    one, other = choose(operator, first), choose(operator, second)
    borrowed = offer(operator.get(one).text)
    answer = operator.post(other, data={"reason": "Why", "offer": borrowed, "code": code_of(operator)})
    assert answer.status_code == 422
    assert "does not belong to this form" in answer.text
    colleague = make.browse(Role.PAYMENTS_OPERATOR)
    assert colleague.get(one).status_code == 404
    form = {"reason": "Why", "offer": borrowed, "code": code_of(colleague)}
    assert colleague.post(one, data=form).status_code == 404
    assert statuses(first, second) == ["SCHEDULED"] * 2


@pytest.mark.parametrize("reason", ["", "   ", "x" * 201, "card 4111111111111111", "nul\x00"])
def test_without_a_sensible_reason_nothing_is_cancelled_and_no_code_is_spent(
    operator: FlaskClient, make: Make, reason: str
) -> None:
    [row] = dates(make, 3)
    place = choose(operator, row)
    code = code_of(operator)
    refused = operator.post(place, data={"reason": reason, "offer": offer(operator.get(place).text), "code": code})
    assert refused.status_code == 422
    assert statuses(row) == ["SCHEDULED"]
    form = {"reason": "Why", "offer": offer(refused.text), "code": code}
    assert operator.post(place, data=form).status_code == 303


def test_dates_that_started_meanwhile_are_refused_one_by_one_and_the_rest_is_cancelled(
    operator: FlaskClient, make: Make
) -> None:
    started, sent, free = dates(make, 0, 1, 2)
    place = choose(operator, started, sent, free)
    page = operator.get(place).text
    set_status(started, C.ENQUEUED)
    set_status(sent, C.UNKNOWN)

    operator.post(place, data={"reason": "Why", "offer": offer(page), "code": code_of(operator)})

    assert statuses(started, sent, free) == ["ENQUEUED", "UNKNOWN", "CANCELLED"]
    outcome = operator.get(place).text
    assert "Cancelled: 1 of 3 execute dates" in outcome
    assert "2 dates were refused" in outcome
    assert "It is already being charged." in outcome
    assert "which is being asked what happened" in outcome
    sentences = db.session.scalars(select(ActionItem.sentence).order_by(ActionItem.row_id)).all()
    assert [bool(sentence) for sentence in sentences] == [True, True, False]


def test_two_operators_cancel_the_same_date_and_the_second_is_told(operator: FlaskClient, make: Make) -> None:
    rows = dates(make, 3)
    colleague = make.browse(Role.PAYMENTS_OPERATOR)
    mine, theirs = choose(operator, *rows), choose(colleague, *rows)
    form = {"reason": "Why", "offer": offer(operator.get(mine).text)}
    other = {"reason": "Why", "offer": offer(colleague.get(theirs).text)}
    operator.post(mine, data=form | {"code": code_of(operator)})

    answer = colleague.post(theirs, data=other | {"code": code_of(colleague)})

    assert answer.status_code == 303
    assert "It was already cancelled." in colleague.get(theirs).text
    assert "Cancelled: 0 of 1 execute date" in colleague.get(theirs).text
    assert len(trail(event="subscriptions.charge.cancelled")) == 1


def test_a_choice_that_cannot_be_cancelled_any_more_offers_no_button(operator: FlaskClient, make: Make) -> None:
    [row] = dates(make, 3)
    place = choose(operator, row)
    set_status(row, C.PROCESSING)
    page = operator.get(place).text
    assert "This cannot be done any more." in page
    assert "It is already being charged." in page
    assert 'name="code"' not in page


def test_a_date_that_a_worker_takes_at_this_very_moment_is_refused(
    app: Flask, operator: FlaskClient, make: Make, dialect: str
) -> None:
    """Between the look and the change another transaction commits; the row's lock makes the look wait for it."""
    if dialect != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    [row] = dates(make, 0)
    place = choose(operator, row)
    form = {"reason": "Why", "offer": offer(operator.get(place).text), "code": code_of(operator)}
    row_id = row.id
    db.session.rollback()
    table = ScheduledCharge.__table__

    def send() -> None:
        with app.app_context():
            operator.post(place, data=form)

    with db.engine.connect() as worker:
        worker.execute(update(table).where(table.c.id == row_id).values(status=C.ENQUEUED))
        thread = threading.Thread(target=send)
        thread.start()
        time.sleep(1)
        worker.commit()
        thread.join(timeout=20)
    assert statuses(row) == ["ENQUEUED"]
    assert "It is already being charged." in operator.get(place).text


def test_nothing_ticked_junk_and_too_much_are_refused_kindly(operator: FlaskClient, make: Make) -> None:
    empty = operator.post("/cancel-scheduled/choose/", data={"list": "billing_number=B-77"})
    assert (empty.status_code, empty.location) == (303, "/cancel-scheduled/?billing_number=B-77")
    assert "Choose at least one execute date first." in operator.get(empty.location).text
    assert operator.post("/cancel-scheduled/choose/", data={"id": "one"}).status_code == 400
    assert operator.post("/cancel-scheduled/choose/", data={"id": "999999999"}).status_code == 409
    many = [str(number) for number in range(1, 202)]
    assert operator.post("/cancel-scheduled/choose/", data={"id": many}).status_code == 409
    assert operator.get("/cancel-scheduled/no-such-choice/").status_code == 404
    assert db.session.scalar(select(func.count()).select_from(ActionRun)) == 0


# --- the list and the details of scheduled charges --------------------------------------------------------------------


def test_the_list_is_filtered_searched_and_exported(operator: FlaskClient, make: Make) -> None:
    first, _ = dates(make, 3, 4, billing="B-77")
    failed = make.scheduled_charge(due_date=in_days(-1), status=C.FAILED)

    def found(query: str) -> set[int]:
        answer = operator.get(f"/scheduled-charges/?{query}")
        assert answer.status_code == 200, query
        return {int(row_id) for row_id in re.findall(r'data-href="/scheduled-charges/(\d+)/"', answer.text)}

    assert found("status=FAILED") == {failed.id}
    assert found(f"due_date={in_days(3)}") == {first.id}
    assert found("amount=EUR:10.00") >= {first.id, failed.id}
    assert found("amount=EUR:11.00..") == set()
    assert found(f"subscription={first.subscription_id}&due_date={in_days(3)}..{in_days(3)}") == {first.id}
    assert found(f"search={first.invoice_number}") == {first.id}
    assert len(found("search=B-77")) == 2
    typed = operator.get("/scheduled-charges/?subscription.find=B-77")
    assert typed.status_code == 302, typed.text[-1500:]
    assert f"subscription={first.subscription_id}" in typed.location
    export = operator.get("/scheduled-charges/export/csv/?status=FAILED").get_data(as_text=True)
    assert failed.invoice_number in export
    assert first.invoice_number not in export


def test_the_details_say_what_every_attempt_came_to_and_lead_to_payment_and_subscription(
    operator: FlaskClient, make: Make
) -> None:
    subscription = make.subscription(billing_number="B-77")
    payment = make.payment(transaction_id="T-77", subscription_id=subscription.id)
    row = make.scheduled_charge(subscription, status=C.SUCCEEDED, payment_id=payment.id, attempts=2)
    done = {"first_sent_at": utcnow(), "last_sent_at": utcnow(), "done_at": utcnow()}
    make.charge_attempt(row, seq=1, state=AttemptState.DECLINED, code="do_not_honor", message="Not <today>.", **done)
    make.charge_attempt(row, seq=2, state=AttemptState.SUCCEEDED, provider_id="ch_77", **done)

    page = operator.get(f"/scheduled-charges/{row.id}/").text

    assert f"/transactions/{payment.id}/" in page
    assert f"/subscriptions/{subscription.id}/" in page
    assert "do_not_honor" in page
    assert "Not &lt;today&gt;." in page
    assert "ch_77" in page
    assert "It was already charged." in page
    assert "data-poll" not in page
    assert operator.get(f"/scheduled-charges/{row.id}/payment/").location == f"/transactions/{payment.id}/"
    assert operator.get(f"/scheduled-charges/{row.id}/subscription/").location == f"/subscriptions/{subscription.id}/"


def test_the_details_are_live_while_the_charge_is_in_hand(operator: FlaskClient, make: Make) -> None:
    row = make.scheduled_charge(status=C.PROCESSING)
    assert f"/scheduled-charges/{row.id}/progress/" in operator.get(f"/scheduled-charges/{row.id}/").text
    assert 'data-done="0"' in operator.get(f"/scheduled-charges/{row.id}/progress/").text
    set_status(row, C.FAILED)
    assert 'data-done="1"' in operator.get(f"/scheduled-charges/{row.id}/progress/").text


def test_readers_see_dates_and_no_acts(make: Make) -> None:
    row = make.scheduled_charge(status=C.MISSED)
    reader = make.browse(Role.CFO)
    page = reader.get(f"/scheduled-charges/{row.id}/").text
    assert "Charge now" not in page
    assert "Cancel this date" not in page
    assert reader.post(f"/scheduled-charges/{row.id}/ask/").status_code == 403
    assert reader.get(f"/scheduled-charges/{row.id}/decide/declare-unpaid/").status_code == 403
    assert reader.post(f"/scheduled-charges/{row.id}/decide/looked-after/", data={"reason": "Why"}).status_code == 403
    assert make.browse(Role.CASHIER).get("/scheduled-charges/").status_code == 403


def test_the_palette_finds_a_date_by_its_invoice_number(operator: FlaskClient, make: Make) -> None:
    row = make.scheduled_charge(due_date=in_days(3), invoice_number="R-PALETTE-1")
    found = operator.get("/palette/?q=R-PALETTE").get_json()
    assert [hit["url"] for hit in found if hit["group"] == "Scheduled charges"] == [f"/scheduled-charges/{row.id}/"]
