"""Needs attention over HTTP: what waits for a person, what each act does, and who may only look."""

import datetime as dt
import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, select, text
from werkzeug.datastructures import MultiDict

from payadmin.actions.subscriptions import CATCH_UP_MOST, close_finding
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.models.subscriptions import (
    AttemptState,
    ChargeAttempt,
    ChargeStatus,
    ScheduledCharge,
    Subscription,
    SubscriptionStatus,
)
from payadmin.permissions import Role
from payadmin.views import attention, lists
from payadmin.work import SYSTEM
from tests.support.billing import Office
from tests.support.desk import trail
from tests.support.make import Make

C = ChargeStatus


@pytest.fixture(autouse=True)
def _no_csrf(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", False)


@pytest.fixture
def operator(make: Make) -> FlaskClient:
    return make.browse(Role.PAYMENTS_OPERATOR)


def in_days(days: int) -> dt.date:
    return lists.today() + dt.timedelta(days=days)


def missed(make: Make, subscription: Subscription | None = None, *, days: int = -9) -> ScheduledCharge:
    return make.scheduled_charge(subscription, due_date=in_days(days), status=C.MISSED)


def undecided(make: Make) -> ScheduledCharge:
    """A charge whose outcome nobody knows."""
    row = make.scheduled_charge(status=C.UNKNOWN, needs_staff=True, message="The provider has no trace of it.")
    make.charge_attempt(row, state=AttemptState.MANUAL)
    return row


def finding(make: Make) -> ScheduledCharge:
    """A charge that the provider shows twice."""
    return make.scheduled_charge(
        due_date=in_days(-1), status=C.FAILED, needs_staff=True, message="The provider reports two charges."
    )


def choose(client: FlaskClient, act: str, *rows: ScheduledCharge) -> str:
    answer = client.post(f"/needs-attention/{act}/", data={"id": [str(row.id) for row in rows]})
    assert answer.status_code == 303, answer.text
    return str(answer.location)


def status(row: ScheduledCharge) -> str:
    row_id = row.id
    db.session.rollback()
    found = db.session.scalar(select(ScheduledCharge.status).where(ScheduledCharge.id == row_id))
    assert found is not None
    return found.name


def counts(page: str) -> dict[str, str]:
    return dict(re.findall(r'aria-current="(?:true|false)">([^<]+)<b>([^<]+)</b>', page))


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_when_nothing_waits_the_page_says_so(operator: FlaskClient) -> None:
    page = operator.get("/needs-attention/").text
    assert "Nothing needs you" in page
    assert counts(page) == {
        "Missed dates": "0", "Need a decision": "0", "Stopped subscriptions": "0", "Not planned": "0",
        "Failed today": "0",
    }  # fmt: skip


def test_each_kind_of_work_has_its_group_with_its_number_and_its_words(operator: FlaskClient, make: Make) -> None:
    late = missed(make)
    unclear, twice = undecided(make), finding(make)
    held = make.subscription(status=SubscriptionStatus.ON_HOLD, consecutive_failures=3)
    last = make.scheduled_charge(held, due_date=in_days(-2), status=C.FAILED, message="Card expired <b>")
    make.scheduled_charge(held, due_date=in_days(-30), status=C.FAILED, message="Older")
    make.subscription(status=SubscriptionStatus.ABORTED)
    old = make.scheduled_charge(due_date=in_days(-70), status=C.FAILED)

    page = operator.get("/needs-attention/").text
    assert counts(page) == {
        "Missed dates": "1", "Need a decision": "2", "Stopped subscriptions": "2", "Not planned": "0",
        "Failed today": "3",
    }  # fmt: skip
    assert late.invoice_number in page, "the first group with something in it opens"
    decisions = operator.get("/needs-attention/?group=decisions").text
    assert "The provider has no trace of it." in decisions
    assert f"/scheduled-charges/{unclear.id}/ask/" in decisions
    assert f"/scheduled-charges/{unclear.id}/decide/declare-unpaid/" in decisions
    assert f"/scheduled-charges/{twice.id}/decide/looked-after/" in decisions
    assert f"/scheduled-charges/{twice.id}/ask/" not in decisions
    stopped = operator.get("/needs-attention/?group=stopped").text
    assert f"/subscriptions/{held.id}/" in stopped
    assert "Card expired &lt;b&gt;" in stopped
    assert "Older" not in stopped
    assert f"/scheduled-charges/{last.id}/" in stopped
    assert "3 failures in a row" in stopped
    failed = operator.get("/needs-attention/?group=failed").text
    assert last.invoice_number in failed
    assert old.invoice_number not in failed


def test_news_of_failures_alone_still_mean_that_nothing_needs_anybody(operator: FlaskClient, make: Make) -> None:
    make.scheduled_charge(due_date=in_days(0), status=C.FAILED)
    assert "Nothing needs you" in operator.get("/needs-attention/?group=missed").text


def test_a_group_continues_where_its_page_ended(operator: FlaskClient, make: Make) -> None:
    subscription = make.subscription()
    rows = [missed(make, subscription, days=-days) for days in range(30, 5, -1)]

    first = operator.get("/needs-attention/?group=missed&size=20").text
    address = re.search(r'href="([^"]*after=[^"]*)" rel="next"', first)
    assert address is not None
    second = operator.get(address[1].replace("&amp;", "&")).text

    shown = [re.findall(r'data-href="/scheduled-charges/(\d+)/"', page) for page in (first, second)]
    assert [int(row_id) for row_id in (*shown[0], *shown[1])] == [row.id for row in rows], "oldest first, each once"
    assert 'rel="prev"' in second


@pytest.mark.parametrize(
    "query", ["group=nothing", "group=missed&group=failed", "junk=1", "after=forged", "status=PAID"]
)
def test_an_address_that_makes_no_sense_is_refused(operator: FlaskClient, query: str) -> None:
    assert operator.get(f"/needs-attention/?{query}").status_code == 400


def test_the_number_of_questions_does_not_grow_with_the_work(operator: FlaskClient, make: Make) -> None:
    def fill() -> None:
        missed(make)
        undecided(make)
        held = make.subscription(status=SubscriptionStatus.ON_HOLD)
        make.scheduled_charge(held, due_date=in_days(0), status=C.FAILED)

    def asked(path: str) -> int:
        operator.get(path)
        seen: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            seen.append(statement)

        event.listen(db.engine, "before_cursor_execute", note)
        assert operator.get(path).status_code == 200
        event.remove(db.engine, "before_cursor_execute", note)
        return len(seen)

    paths = [f"/needs-attention/?group={key}" for key in attention.GROUPS]
    fill()
    few = [asked(path) for path in paths]
    for _ in range(9):
        fill()
    assert [asked(path) for path in paths] == few
    assert max(few) <= 15


def test_every_group_is_found_through_an_index(app: Flask, make: Make, dialect: str) -> None:
    undecided(make)
    if dialect == "postgresql":
        db.session.execute(text("SET enable_seqscan = off"))
    seen: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            seen.append((statement, parameters))

    event.listen(db.engine, "before_cursor_execute", note)
    with app.test_request_context():
        attention.waiting()
        attention.menu_count()
        for group in attention.GROUPS.values():
            rows = lists.read(attention.shape_of(group), MultiDict())
            lists.fetch(rows, group.scope(), group.names)
    event.remove(db.engine, "before_cursor_execute", note)
    assert len(seen) == 2 + len(attention.GROUPS)
    connection = db.session.connection()
    for statement, parameters in seen:
        word = "EXPLAIN" if dialect == "postgresql" else "EXPLAIN QUERY PLAN"
        plan = "\n".join(str(row) for row in connection.exec_driver_sql(f"{word} {statement}", parameters))
        assert "Seq Scan" not in plan, plan
        assert not re.search(r"SCAN (scheduled_charge|subscription|charge_attempt)(?! USING)", plan), plan


# --- missed dates -----------------------------------------------------------------------------------------------------


def test_missed_dates_are_charged_oldest_first_and_a_few_of_a_subscription_at_a_time(
    office: Office, operator: FlaskClient, make: Make
) -> None:
    subscription = office.subscription(schedule=None)
    late = [office.due(subscription, days=-days, status=C.MISSED) for days in (9, 8, 7, 6, 5)]
    other = office.due(days=-4, status=C.MISSED)
    place = choose(operator, "charge", *reversed(late), other)

    page = operator.get(place).text
    assert "Charge 4 missed dates" in page
    assert page.count(f"At most {CATCH_UP_MOST} dates of a subscription are caught up at a time.") == 2
    assert "2 of 6 chosen dates are left out" in page
    assert 'name="code"' not in page

    assert operator.post(place).status_code == 303
    assert [status(row) for row in late] == ["ENQUEUED"] * 3 + ["MISSED"] * 2
    outcome = operator.get(place).text
    assert "Being charged: 4 of 6 missed dates" in outcome
    assert "2 dates were refused" in outcome
    assert office.work() == 4
    assert [status(row) for row in (*late[:3], other)] == ["SUCCEEDED"] * 4
    assert len(office.payments()) == 4
    operator.post(place)
    assert office.work() == 0, "the same form sent twice charges once"


def test_a_missed_date_of_a_stopped_subscription_is_refused_with_the_reason(operator: FlaskClient, make: Make) -> None:
    row = missed(make, make.subscription(status=SubscriptionStatus.ON_HOLD))
    assert "The subscription is on hold: activate it" in operator.get("/needs-attention/").text
    page = operator.get(choose(operator, "charge", row)).text
    assert "This cannot be done any more." in page
    assert "The subscription is on hold." in page


def test_missed_dates_are_let_go_with_a_reason(operator: FlaskClient, make: Make) -> None:
    rows = [missed(make), missed(make)]
    place = choose(operator, "let-go", *rows)
    assert operator.post(place, data={"reason": " "}).status_code == 422
    assert [status(row) for row in rows] == ["MISSED"] * 2

    assert operator.post(place, data={"reason": "Paid in cash"}).status_code == 303

    assert [status(row) for row in rows] == ["SKIPPED"] * 2
    assert [entry.reason for entry in trail(event="subscriptions.charge.skipped")] == ["Paid in cash"] * 2
    assert "Let go: 2 of 2 missed dates" in operator.get(place).text
    assert "Nothing needs you" in operator.get("/needs-attention/").text


def test_two_operators_take_the_same_missed_date_and_the_second_is_told(
    office: Office, operator: FlaskClient, make: Make
) -> None:
    row = office.due(days=-5, status=C.MISSED)
    colleague = make.browse(Role.PAYMENTS_OPERATOR)
    mine, theirs = choose(operator, "charge", row), choose(colleague, "let-go", row)
    operator.post(mine)

    assert colleague.post(theirs, data={"reason": "Why"}).status_code == 303

    assert status(row) == "ENQUEUED"
    assert "This date is enqueued, not missed." in colleague.get(theirs).text
    assert "Let go: 0 of 1 missed date" in colleague.get(theirs).text
    again = choose(colleague, "charge", row)
    assert colleague.post(again).status_code == 303
    assert "It is enqueued, not missed." in colleague.get(again).text
    assert office.attempts(row.id) == ["DUE"], "there is one attempt, however many ask"


# --- decisions --------------------------------------------------------------------------------------------------------


def attempt_state(row: ScheduledCharge) -> str:
    row_id = row.id
    db.session.rollback()
    found = db.session.scalar(select(ChargeAttempt.state).where(ChargeAttempt.scheduled_charge_id == row_id))
    assert found is not None
    return found.name


def test_the_provider_is_asked_again_once(operator: FlaskClient, make: Make) -> None:
    row = undecided(make)
    answer = operator.post(f"/scheduled-charges/{row.id}/ask/", follow_redirects=True)
    assert "The provider is asked again." in answer.text
    assert attempt_state(row) == "UNKNOWN"
    assert "The provider is being asked" in answer.text
    second = make.browse(Role.PAYMENTS_OPERATOR).post(f"/scheduled-charges/{row.id}/ask/", follow_redirects=True)
    assert "Nothing about this charge is undecided any more." in second.text
    assert counts(operator.get("/needs-attention/").text)["Need a decision"] == "0"


def test_a_charge_is_declared_unpaid_with_a_reason_and_only_once(operator: FlaskClient, make: Make) -> None:
    row = undecided(make)
    place = f"/scheduled-charges/{row.id}/decide/declare-unpaid/"
    page = operator.get(place).text
    assert "The provider has no trace of it." in page
    assert "no money moved" in page
    assert operator.post(place, data={"reason": ""}).status_code == 422
    assert operator.post(place, data={"reason": "x" * 201}).status_code == 422
    assert status(row) == "UNKNOWN"

    assert operator.post(place, data={"reason": "Support says so"}).status_code == 303

    assert (status(row), attempt_state(row)) == ("FAILED", "DECLINED")
    second = make.browse(Role.PAYMENTS_OPERATOR).post(place, data={"reason": "Me too"})
    assert second.status_code == 409
    assert "Nothing about this charge is undecided any more." in second.text
    assert [entry.reason for entry in trail(event="subscriptions.charge.declared_unpaid")] == ["Support says so"]


def test_a_difference_leaves_the_list_once_somebody_looked_after_it(operator: FlaskClient, make: Make) -> None:
    row = finding(make)
    place = f"/scheduled-charges/{row.id}/decide/looked-after/"
    assert operator.post(place, data={"reason": ""}).status_code == 422

    assert operator.post(place, data={"reason": "Refunded the second charge"}).status_code == 303

    assert status(row) == "FAILED", "nothing but the mark changes"
    [entry] = trail(event="subscriptions.charge.finding_closed")
    assert (entry.reason, entry.entity_id) == ("Refunded the second charge", str(row.id))
    assert counts(operator.get("/needs-attention/").text)["Need a decision"] == "0"
    second = make.browse(Role.PAYMENTS_OPERATOR).post(place, data={"reason": "Me too"})
    assert second.status_code == 409
    assert "Somebody has looked after this charge already." in second.text


def test_an_open_outcome_cannot_be_looked_after_but_wants_a_decision(app: Flask, make: Make) -> None:
    row = undecided(make)
    with pytest.raises(Conflict, match="Ask the provider again"):
        close_finding(SYSTEM, row.id, reason="Why")
    with pytest.raises(Invalid):
        close_finding(SYSTEM, row.id, reason=" ")
    assert attempt_state(row) == "MANUAL"


# --- who --------------------------------------------------------------------------------------------------------------


def test_readers_see_the_work_and_no_acts(make: Make) -> None:
    late, unclear = missed(make), undecided(make)
    reader = make.browse(Role.CFO)

    page = reader.get("/needs-attention/?group=missed").text
    assert late.invoice_number in page
    assert "rowcheck" not in page
    assert "Charge now" not in page
    decisions = reader.get("/needs-attention/?group=decisions").text
    assert "The provider has no trace of it." in decisions
    assert "Ask again" not in decisions
    for act in ("charge", "let-go"):
        assert reader.post(f"/needs-attention/{act}/", data={"id": late.id}).status_code == 403
        assert reader.get(f"/needs-attention/{act}/0123456789abcdef/").status_code == 403
        assert reader.post(f"/needs-attention/{act}/0123456789abcdef/", data={"reason": "Why"}).status_code == 403
    assert reader.post(f"/scheduled-charges/{unclear.id}/ask/").status_code == 403
    assert (status(late), attempt_state(unclear)) == ("MISSED", "MANUAL")
    assert make.browse(Role.CASHIER).get("/needs-attention/").status_code == 403


def test_a_choice_belongs_to_its_act_and_its_person(operator: FlaskClient, make: Make) -> None:
    row = missed(make)
    place = choose(operator, "charge", row)
    assert operator.post(place.replace("/charge/", "/let-go/"), data={"reason": "Why"}).status_code == 404
    assert operator.get(place.replace("/needs-attention/charge/", "/cancel-scheduled/")).status_code == 404
    assert make.browse(Role.PAYMENTS_OPERATOR).post(place).status_code == 404
    assert status(row) == "MISSED"


def test_the_menu_counts_what_waits(operator: FlaskClient, make: Make) -> None:
    missed(make)
    undecided(make)
    make.scheduled_charge(due_date=in_days(0), status=C.FAILED)
    assert re.search(r'Needs attention<span class="count"[^>]*>2<', operator.get("/").text)
