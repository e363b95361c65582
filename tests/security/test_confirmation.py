"""No way around the authenticator code: not by another form, another run, other amounts, or trying again (P33)."""

import re
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select, update

from payadmin.db import db, utcnow
from payadmin.kernel import totp
from payadmin.models.access import SecondFactor
from payadmin.models.audit import AuditEvent
from payadmin.models.outbox import OutboxMessage
from payadmin.models.payments import Mode, Payment, Refund
from payadmin.models.system import ActionItem, ActionRun, ItemState, RunState
from payadmin.permissions import Role
from tests.support.make import Make
from tests.support.signin import secret_of

pytestmark = pytest.mark.usefixtures("no_csrf")
REASON = {"reason": "DUPLICATE", "note": ""}


@pytest.fixture
def operator(make: Make) -> FlaskClient:
    return make.browse(Role.PAYMENTS_OPERATOR)


def change(model: Any, row_id: int, **values: Any) -> None:
    """Something happens behind the operator's back."""
    db.session.rollback()
    with db.engine.begin() as connection:
        connection.execute(update(model.__table__).where(model.__table__.c.id == row_id).values(**values))


def code_of(client: FlaskClient) -> str:
    """The code that the operator's app shows, half a minute after the last one."""
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


def draft(client: FlaskClient, *ids: int) -> str:
    answer = client.post("/transactions/action/", data={"action": "refund", "id": [str(i) for i in ids]})
    assert answer.status_code == 302, answer.text
    return str(answer.location)


def promised() -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(OutboxMessage)) or 0


def test_a_harmless_actions_form_starts_no_dangerous_run(operator: FlaskClient, make: Make) -> None:
    payment = make.payment()
    token = draft(operator, payment.id).split("/")[-2]

    answer = operator.post(f"/transactions/{payment.id}/action/invoices/", data={"token": token, **REASON})

    assert answer.status_code in {400, 409}
    assert promised() == 0
    assert db.session.scalar(select(ActionRun.state)) is RunState.DRAFT


def test_a_bulk_code_confirms_the_amounts_that_were_shown(operator: FlaskClient, make: Make) -> None:
    payment = make.payment()
    place = draft(operator, payment.id)
    offer = hidden(operator.get(place).text, "offer")
    change(Payment, payment.id, refunded_minor=30_00, status="PARTIALLY_REFUNDED")
    answers = REASON | {f"r{payment.id}-amount": "10.00", "offer": offer, "code": code_of(operator)}

    stale = operator.post(place, data=answers)

    assert stale.status_code == 422
    assert "does not belong to this form" in stale.text
    assert promised() == 0
    fresh = operator.post(place, data=answers | {"offer": hidden(stale.text, "offer"), "code": code_of(operator)})
    assert fresh.status_code == 302
    assert promised() == 1


@pytest.mark.parametrize("act", ["refund", "void"])
def test_a_single_code_confirms_the_money_that_was_shown(act: str, operator: FlaskClient, make: Make) -> None:
    payment = make.payment()
    path = f"/transactions/{payment.id}/action/{act}/"
    page = operator.get(path).text
    change(Payment, payment.id, captured_minor=90_00)
    form = REASON | {"key": hidden(page, "key"), "offer": hidden(page, "offer"), "amount": "10.00"}

    stale = operator.post(path, data=form | {"code": code_of(operator)})

    assert stale.status_code == 422
    assert "does not belong to this form" in stale.text
    assert promised() == 0
    again = operator.post(path, data=form | {"code": code_of(operator), "offer": hidden(stale.text, "offer")})
    assert again.status_code == 303
    assert promised() == 1


def test_the_offer_of_one_act_is_none_for_another(operator: FlaskClient, make: Make) -> None:
    payment = make.payment()
    page = operator.get(f"/transactions/{payment.id}/action/refund/").text
    form = REASON | {"key": hidden(page, "key"), "offer": hidden(page, "offer"), "code": code_of(operator)}
    assert operator.post(f"/transactions/{payment.id}/action/void/", data=form).status_code == 422
    other = make.payment()
    assert operator.post(f"/transactions/{other.id}/action/refund/", data=form | {"amount": "1"}).status_code == 422
    colleague = make.browse(Role.PAYMENTS_OPERATOR)
    form |= {"code": code_of(colleague), "amount": "1"}
    assert colleague.post(f"/transactions/{payment.id}/action/refund/", data=form).status_code == 422
    assert promised() == 0
    assert db.session.scalar(select(func.count()).select_from(Refund)) == 0


def test_trying_again_what_failed_needs_a_fresh_code(operator: FlaskClient, make: Make) -> None:
    payment = make.payment()
    place = draft(operator, payment.id)
    offer = hidden(operator.get(place).text, "offer")
    answers = REASON | {f"r{payment.id}-amount": "10.00", "offer": offer, "code": code_of(operator)}
    assert operator.post(place, data=answers).status_code == 302
    change(ActionItem, db.session.scalars(select(ActionItem.id)).one(), state=ItemState.FAILED.name)
    change(ActionRun, db.session.scalars(select(ActionRun.id)).one(), state=RunState.DONE.name)
    before = promised()

    page = operator.get(place).text
    assert "Run again what is left" in page
    operator.post(f"{place}again/")
    operator.post(f"{place}again/", data={"offer": offer, "code": code_of(operator)})
    operator.post(f"{place}again/", data={"offer": hidden(page, "offer"), "code": "000000"})
    assert promised() == before

    operator.post(f"{place}again/", data={"offer": hidden(page, "offer"), "code": code_of(operator)})
    assert promised() == before + 1


def test_a_large_export_is_confirmed_and_written_down_with_its_mode(
    operator: FlaskClient, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("payadmin.views.exports.SMALL", 1)
    for mode in (Mode.LIVE, Mode.TEST):
        for _ in range(2):
            make.payment(mode=mode)
    operator.post("/mode", data={"mode": "TEST"})
    offer = hidden(operator.get("/transactions/export/csv/").text, "offer")
    operator.post("/mode", data={"mode": "LIVE"})

    asked = {"offer": offer, "code": code_of(operator)}
    assert operator.post("/transactions/export/csv/", data=asked).status_code == 422

    operator.post("/mode", data={"mode": "TEST"})
    done = operator.post("/transactions/export/csv/", data=asked | {"code": code_of(operator)})
    assert done.status_code == 200
    assert len(done.get_data(as_text=True).splitlines()) == 3
    assert operator.post("/transactions/export/csv/", data=asked | {"code": code_of(operator)}).status_code == 422
    events = db.session.scalars(select(AuditEvent).where(AuditEvent.event.like("reporting.export.%"))).all()
    assert [event.keys["scope"] for event in events] == [["mode=TEST"]] * 2


def test_many_ticked_rows_are_refused_not_cut(operator: FlaskClient, make: Make) -> None:
    payment = make.payment()
    ids = [str(payment.id), *(str(10_000 + number) for number in range(500))]
    answer = operator.post("/transactions/action/", data={"action": "refund", "id": ids})
    assert answer.status_code == 409
    assert "at most 500" in answer.text
