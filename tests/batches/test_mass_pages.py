"""Mass payments over HTTP: what is wrong with a file, its error file, the corrected one, and what is paid by whom."""

import csv
import io
from collections.abc import Sequence
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from payadmin.models.batches import Batch, BatchStatus
from payadmin.permissions import Role
from tests.batches.test_pages import hidden, process, send, uploaded
from tests.support.batches import COLUMNS, csv_file
from tests.support.make import Make
from tests.support.payroll import MASS, Payroll

SCRIPT = "<script>alert(1)</script>"
FUNDS = 1_000_00


@pytest.fixture(autouse=True)
def _no_csrf(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", False)


@pytest.fixture
def operator(make: Make) -> FlaskClient:
    return make.browse(Role.PAYMENTS_OPERATOR)


def give(client: FlaskClient, payroll: Payroll, rows: Sequence[dict[str, Any]], **values: Any) -> Any:
    """Send a file that the organization pays, as its form does."""
    form = {"kind": "mass-payment", "merchant": str(payroll.payer_id)} | values
    return send(client, payroll.room, csv_file(rows, COLUMNS[MASS]), form.pop("name", "pay.csv"), **form)


def checked(client: FlaskClient, payroll: Payroll, rows: Sequence[dict[str, Any]], **values: Any) -> int:
    """Send a file and let a worker check it."""
    batch_id = uploaded(give(client, payroll, rows, **values))
    payroll.room.office.work()
    return batch_id


def test_a_file_with_errors_shows_every_row_and_offers_no_payment(operator: FlaskClient, payroll: Payroll) -> None:
    wrong = [payroll.row(2, amount="12O.50", note=SCRIPT), payroll.row(3, customer_id="NOBODY")]
    batch_id = checked(operator, payroll, [payroll.row(1), *wrong])

    page = operator.get(f"/batches/{batch_id}/").text
    only = operator.get(f"/batches/{batch_id}/?only=errors").text
    refused = operator.get(f"/batches/{batch_id}/process/").text
    said = {"version": str(payroll.room.batch(batch_id).version), "valid": "1", "skipped": "2", "code": "000000"}
    forced = operator.post(f"/batches/{batch_id}/process/", data=said)

    assert "2 of 3 rows need fixing." in page
    assert "Nothing is paid until every row is right." in page
    assert (page.count('<tr id="row-'), only.count('<tr id="row-')) == (3, 2)
    assert "is not an amount" in page
    assert "There is no customer with this ID." in page
    assert SCRIPT not in page
    assert f"/batches/{batch_id}/process/" not in page
    assert f"/batch-transaction/?replaces={batch_id}" in page
    assert "2 rows have errors." in refused
    assert 'name="code"' not in refused
    assert forced.status_code == 409
    assert (payroll.room.batch(batch_id).status, payroll.left()) == (BatchStatus.HAS_ERRORS, FUNDS)


def test_the_error_file_says_what_is_wrong_and_runs_in_no_spreadsheet(operator: FlaskClient, payroll: Payroll) -> None:
    wrong = payroll.row(2, amount="x", reference="=1+1", note="@SUM(1)")
    batch_id = checked(operator, payroll, [payroll.row(1), wrong], name="of may.csv")

    answer = operator.get(f"/batches/{batch_id}/errors.csv")

    [row] = csv.DictReader(io.StringIO(answer.text.lstrip("\ufeff")))
    assert (row["row"], row["customer_id"], row["reference"], row["note"]) == ("3", "C-2", "'=1+1", "'@SUM(1)")
    assert "amount: " in row["errors"]
    assert answer.headers["Content-Disposition"] == 'attachment; filename="errors-of-may.csv"'


def test_the_corrected_file_takes_the_place_of_the_first_and_is_paid_once(
    operator: FlaskClient, payroll: Payroll
) -> None:
    first = checked(operator, payroll, [payroll.row(1, amount="x"), payroll.row(2)])
    form = operator.get(f"/batch-transaction/?replaces={first}").text
    version = hidden(form)["version"]
    second = checked(operator, payroll, [payroll.row(1), payroll.row(2)], replaces=first, version=version)

    assert "This upload replaces" in form
    assert f'value="{payroll.payer_id}"' in form
    assert payroll.room.batch(first).status is BatchStatus.REPLACED
    assert f"/batches/{second}/" in operator.get(f"/batches/{first}/").text
    confirmation = operator.get(f"/batches/{second}/process/").text
    for words in ("Pay 2 rows", "MassPay", payroll.number(payroll.pot), "20.00 EUR", "1,000.00 EUR"):
        assert words in confirmation
    wrong = process(operator, second, code="000000")
    assert (wrong.status_code, payroll.room.batch(second).status) == (422, BatchStatus.READY)

    assert process(operator, second).status_code == 303
    assert payroll.left() == FUNDS
    payroll.room.office.work()
    done = operator.get(f"/batches/{second}/").text
    again = process(operator, second)
    payroll.room.office.work()

    assert "2 rows were paid, or wait for a decision." in done
    assert done.count("Paid") >= 2
    assert again.status_code == 409
    assert (payroll.got(1), payroll.got(2), payroll.left()) == (10_00, 10_00, FUNDS - 20_00)
    gone = operator.get(f"/batch-transaction/?replaces={first}").text
    assert "cannot be replaced any more" in gone


def test_a_row_that_was_refused_stands_in_the_error_file(operator: FlaskClient, payroll: Payroll) -> None:
    batch_id = checked(operator, payroll, [payroll.row(1, amount="600"), payroll.row(2, amount="300")])
    assert process(operator, batch_id).status_code == 303
    payroll.purses.transfer(payroll.pot, payroll.purses.wallet("Elsewhere"), 300_00)
    payroll.room.office.work()

    page = operator.get(f"/batches/{batch_id}/?only=refused").text
    answer = operator.get(f"/batches/{batch_id}/errors.csv")

    assert "1 row was refused and says why." in page
    assert page.count('<tr id="row-') == 1
    [row] = csv.DictReader(io.StringIO(answer.text.lstrip("\ufeff")))
    assert (row["row"], row["amount"]) == ("3", "300")
    assert "100.00 EUR available, and 300.00 EUR would leave it" in row["errors"]
    assert (payroll.got(1), payroll.got(2), payroll.left()) == (600_00, 0, 100_00)


def test_a_wallet_that_holds_too_little_is_named_and_nothing_can_be_confirmed(
    operator: FlaskClient, payroll: Payroll
) -> None:
    batch_id = checked(operator, payroll, [payroll.row(1, amount="600"), payroll.row(2, amount="400.01")])

    page = operator.get(f"/batches/{batch_id}/").text
    confirmation = operator.get(f"/batches/{batch_id}/process/").text
    forced = process(operator, batch_id, valid="2", skipped="0", version=str(payroll.room.batch(batch_id).version))

    for shown in (page, confirmation):
        assert "0.01 EUR are missing" in shown
    assert f"/batches/{batch_id}/process/" not in page
    assert 'name="code"' not in confirmation
    assert forced.status_code == 409
    assert (payroll.room.batch(batch_id).status, payroll.left()) == (BatchStatus.READY, FUNDS)


@pytest.mark.parametrize(
    ("payer", "words"),
    [
        ("", "This is needed."),
        (" ", "This is needed."),
        ("999999", "Choose one of the list."),
        ("Poor", "no open wallet"),
    ],
)
def test_a_file_that_nobody_can_pay_is_not_taken_in(
    operator: FlaskClient, payroll: Payroll, payer: str, words: str
) -> None:
    poor = str(payroll.purses.make.organization("Poor").id)
    answer = give(operator, payroll, [payroll.row(1)], merchant=poor if payer == "Poor" else payer)

    assert answer.status_code == 422
    assert words in answer.text
    assert payroll.purses.count(Batch) == 0


def test_the_picker_offers_organizations_that_have_a_wallet(operator: FlaskClient, payroll: Payroll) -> None:
    payroll.purses.make.organization("Massless")
    found = operator.get("/batch-transaction/payers/?q=Mass").json
    assert found is not None
    assert [each["id"] for each in found] == [payroll.payer_id]


def test_other_roles_read_what_they_may_and_pay_nothing(make: Make, operator: FlaskClient, payroll: Payroll) -> None:
    batch_id = checked(operator, payroll, [payroll.row(1)])
    seen = hidden(operator.get(f"/batches/{batch_id}/process/").text)
    for role in (Role.ADMIN, Role.CFO):
        reader = make.browse(role)
        page = reader.get(f"/batches/{batch_id}/").text
        assert page.count('<tr id="row-') == 1
        for word in ("Re-upload", "Discard", "Check again", "/process/"):
            assert word not in page
        assert give(reader, payroll, [payroll.row(2)]).status_code == 403
        assert reader.get("/batch-transaction/payers/?q=Mass").status_code == 403
        for act in ("process", "discard", "check-again", "resume"):
            assert reader.post(f"/batches/{batch_id}/{act}/", data=seen | {"code": "000000"}).status_code == 403
    stranger = make.browse(Role.CASHIER)
    for path in (f"/batches/{batch_id}/", f"/batches/{batch_id}/errors.csv", "/batch-transaction/?kind=mass-payment"):
        assert stranger.get(path).status_code == 403
    payroll.room.office.work()
    assert (payroll.room.batch(batch_id).status, payroll.left()) == (BatchStatus.READY, FUNDS)
