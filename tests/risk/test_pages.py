"""The pages of anti-fraud: what they show, what they ask before they act, and what they refuse to show."""

import datetime as dt
import re
from collections.abc import Callable
from zoneinfo import ZoneInfo

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update

from payadmin.actions import wallets
from payadmin.db import db, utcnow
from payadmin.jobs.risk import keep_watch
from payadmin.kernel.tariffs import Term
from payadmin.models.parties import Customer
from payadmin.models.risk import (
    Block,
    BlockScope,
    BlockTarget,
    NoteStatus,
    WatchItem,
    WatchNote,
    WatchRule,
    WatchStatus,
    WatchVersion,
)
from payadmin.models.wallets import ApplicationStatus, LimitApplication, MoveStatus, WalletTransaction
from payadmin.permissions import Role
from tests.risk.conftest import TRANSFER, Watch
from tests.risk.test_watching import on
from tests.support.desk import told
from tests.support.pages import post

Browse = Callable[..., FlaskClient]


def rows(page: str) -> int:
    """How many applications a list shows."""
    return len(set(re.findall(r'href="/applications/(\d+)/"', page)))


def test_an_application_is_found_by_number_address_and_exact_amount(watch: Watch, browse: Browse) -> None:
    customer = watch.make.customer(email="Ada@Example.com", organization_id=watch.make.organization("Alpha").id)
    payer, other = watch.wallet(customer, funds=500_00), watch.wallet("Beta")
    watch.contract("Alpha", Term(TRANSFER, "EUR", limit_single_minor=10_00))
    first = watch.application(watch.transfer(payer, other, 100_00).id).id
    second = watch.application(watch.transfer(payer, other, 100_01).id).id
    client = browse(Role.ANTI_FRAUD)
    assert rows(client.get("/applications/").text) == 2
    for term, found in (
        (str(second), {second}),
        ("ada@example.com", {first, second}),
        ("ADA@example.com", {first, second}),
        ("100.00", {first}),
        ("100.01 EUR", {second}),
        ("100.01 GBP", set()),
        ("100.02", set()),
        ("100", {first}),
        ("ada@example", set()),
    ):
        page = client.get("/applications/", query_string={"search": term}).text
        assert {int(each) for each in re.findall(r'href="/applications/(\d+)/"', page)} == found, term


def test_an_approval_is_confirmed_and_done_once(watch: Watch, browse: Browse) -> None:
    number, _payer, payee = watch.held()
    client = browse(Role.ANTI_FRAUD)
    page = client.get(f"/applications/{number}/").text
    for words in ("limit of one", "40.00 EUR too much", "Who it is", "Alpha", "50.00 EUR are set aside"):
        assert words in page
    assert "50.00 EUR leave" in client.get(f"/applications/{number}/approve/").text
    assert watch.get(LimitApplication, number).status is ApplicationStatus.PENDING
    answer = post(client, f"/applications/{number}/approve/", reason="")
    again = post(client, f"/applications/{number}/approve/", reason="")
    assert (answer.status_code, again.status_code, again.location) == (303, 303, answer.location)
    assert watch.amounts(payee).available_minor == 50_00
    assert "decided already" in client.get(again.location).text


def test_a_rejection_needs_a_reason(watch: Watch, browse: Browse) -> None:
    number, payer, _payee = watch.held()
    client = browse(Role.ANTI_FRAUD)
    assert post(client, f"/applications/{number}/reject/", reason=" ").status_code == 422
    assert post(client, f"/applications/{number}/reject/", reason="Not known").status_code == 303
    assert watch.amounts(payer).available_minor == 100_00


def test_an_approval_under_another_contract_fails_and_gives_back(watch: Watch) -> None:
    from payadmin.actions import tariffs
    from payadmin.models.parties import Organization

    number, payer, _payee = watch.held()
    transaction = watch.get(LimitApplication, number).transaction_id
    dearer = tariffs.open_contract(
        watch.cfo, code="C-DEAR", name="Dear", terms=[Term(TRANSFER, "EUR", 50_000)], note=None
    )
    alpha = db.session.scalars(select(Organization.id).where(Organization.name == "Alpha")).one()
    tariffs.assign_contract(watch.cfo, alpha, contract_id=dearer)
    assert wallets.approve_application(watch.fraud, number) is ApplicationStatus.EXECUTION_FAILED
    assert "contract has changed" in str(watch.get(LimitApplication, number).failure)
    assert watch.get(WalletTransaction, transaction).status is MoveStatus.RELEASED
    assert watch.amounts(payer).available_minor == 100_00


def test_somebody_is_found_blocked_and_unblocked(watch: Watch, browse: Browse) -> None:
    customer = watch.make.customer(name="Ada Lovelace", email="Ada@example.com", phone="+44 (0)7700 900-123")
    customer_id, number = customer.id, customer.external_id
    client = browse(Role.ANTI_FRAUD)
    for term in ("0044 7700 900123", "%2B447700900123", "ADA@EXAMPLE.COM", number):
        assert number in client.get(f"/blocks/find/?q={term}").text, term
    found = client.get("/blocks/find/?q=ada@example.com").text
    assert number in found
    assert "Ada Lovelace" not in found  # masked
    address = f"/blocks/set/?target=CUSTOMER&row={customer_id}"
    assert address.replace("&", "&amp;") in found
    assert post(client, address, reason_code="STOLEN_CARD", note="", until="").status_code == 422
    answer = post(client, address, reason_code="STOLEN_CARD", note="Card of somebody else", until="")
    assert answer.status_code == 303
    again = post(client, address, reason_code="STOLEN_CARD", note="Twice", until="")
    assert again.location == answer.location
    page = client.get(answer.location).text
    assert "nothing new begins" in page
    assert "Blocked already" in client.get(f"/blocks/find/?q={number}").text
    activity = client.get(f"/blocks/activity/?customer={customer_id}").text
    assert "Card of somebody else" in activity
    assert "Ada Lovelace" not in activity
    assert post(client, f"{answer.location}lift/", reason="Cleared").status_code == 303
    assert "not blocked by this any more" in client.get(answer.location).text
    assert watch.get(Customer, customer_id).status.name == "ACTIVE"


def test_what_was_set_aside_stays_whatever_else_the_wallet_pays_meanwhile(watch: Watch) -> None:
    number, payer, payee = watch.held()
    elsewhere = watch.wallet("Gamma")
    for _turn in range(5):  # each within the limit, until nothing else is left
        watch.transfer(payer, elsewhere, 10_00)
    assert (watch.amounts(payer).available_minor, watch.amounts(payer).held_minor) == (0, 50_00)
    assert wallets.approve_application(watch.fraud, number) is ApplicationStatus.EXECUTED
    assert (watch.amounts(payer).balance_minor, watch.amounts(payee).available_minor) == (0, 50_00)
    assert watch.unsound() == []


def test_an_approval_fails_where_a_block_came_meanwhile_and_the_page_said_so(watch: Watch, browse: Browse) -> None:
    number, payer, payee = watch.held()
    block = watch.block(BlockTarget.WALLET, payee)
    client = browse(Role.ANTI_FRAUD)
    assert "Approving it now would fail" in client.get(f"/applications/{number}/").text
    answer = post(client, f"/applications/{number}/approve/", reason="")
    assert "could not be executed" in client.get(answer.location).text
    assert watch.get(LimitApplication, number).status is ApplicationStatus.EXECUTION_FAILED
    assert watch.amounts(payer).available_minor == 100_00
    assert watch.stops(block) == ["wallets.approve_application"]


def test_how_far_and_until_when_are_chosen_in_the_form(watch: Watch, browse: Browse) -> None:
    wallet, client = watch.wallet("Alpha"), browse(Role.ANTI_FRAUD)
    address = f"/blocks/set/?target=WALLET&row={wallet}"
    form = {"scope": "DEBITS", "reason_code": "OTHER", "note": "Asked for by the bank"}
    for until in ("2020-01-01T10:00", "yesterday"):
        refused = post(client, address, until=until, **form)
        assert (refused.status_code, "Asked for by the bank" in refused.text) == (422, True), until
    assert watch.count(Block) == 0
    zone = ZoneInfo("Asia/Jakarta")
    end = (dt.datetime.now(zone) + dt.timedelta(days=2)).replace(second=0, microsecond=0)
    with told(watch.app, business_tz="Asia/Jakarta"):
        done = post(client, address, until=f"{end:%Y-%m-%dT%H:%M}", **form)
    assert done.status_code == 303
    [block] = db.session.scalars(select(Block)).all()
    assert (block.scope, block.until) == (BlockScope.DEBITS, end.astimezone(dt.UTC))
    assert "nothing leaves it, but money may come in" in client.get(done.location).text


def test_a_member_of_staff_is_locked_elsewhere(watch: Watch, browse: Browse) -> None:
    page = browse(Role.ANTI_FRAUD).get(f"/blocks/find/?q={watch.cfo.name}").text
    assert "member of staff" in page
    assert "Block…" not in page


@pytest.mark.parametrize(
    "address", ["/blocks/set/?target=MOON&row=1", "/blocks/set/?target=WALLET&row=99", "/blocks/activity/?customer=99"]
)
def test_a_number_that_is_nothing_opens_nothing(watch: Watch, browse: Browse, address: str) -> None:
    assert watch
    assert browse(Role.ANTI_FRAUD).get(address).status_code == 404


def test_a_list_of_blocks_costs_the_same_for_many_rows(watch: Watch, browse: Browse) -> None:
    from sqlalchemy import event

    client = browse(Role.ANTI_FRAUD)

    def asked() -> int:
        seen: list[str] = []

        def look(_connection, _cursor, statement, *_rest) -> None:  # type: ignore[no-untyped-def]
            seen.append(statement)

        event.listen(db.engine, "before_cursor_execute", look)
        client.get("/blocks/")
        event.remove(db.engine, "before_cursor_execute", look)
        return len(seen)

    watch.block(BlockTarget.CUSTOMER, watch.make.customer().id)
    watch.block(BlockTarget.WALLET, watch.wallet("Alpha"))
    asked()
    few = asked()
    for number in range(6):
        watch.block(BlockTarget.CUSTOMER, watch.make.customer().id)
        watch.block(BlockTarget.WALLET, watch.wallet(f"Owner {number}"))
    assert asked() == few
    assert watch.count(Block) == 14


def test_a_rule_is_written_replayed_and_switched_on(watch: Watch, browse: Browse) -> None:
    watch.make.payment(amount_minor=200_00)
    client = browse(Role.ANTI_FRAUD)
    assert client.get("/watch-rules/new/").status_code == 200
    form = {
        "name": "Large", "most_a_day": "5", "seen_version": "", "c": "0", "c-0-key": "amount",
        "c-0-operator": "greater_than", "c-0-value": "x", "c-0-unit": "EUR",
    }  # fmt: skip
    assert post(client, "/watch-rules/new/", **form).status_code == 422
    answer = post(client, "/watch-rules/new/", **(form | {"c-0-value": "100.00"}))
    assert answer.status_code == 303
    assert "Amount is more than 100.00 EUR" in client.get(answer.location).text
    assert post(client, f"{answer.location}on/", reason="Now").status_code == 409
    assert post(client, f"{answer.location}try/", days="30").status_code == 303
    from payadmin.jobs import runner

    runner.drain()
    db.session.rollback()
    assert "it would have raised 1 of 1 payments" in client.get(answer.location).text
    assert post(client, f"{answer.location}on/", reason="Now").status_code == 303
    page = client.get(answer.location).text
    assert "Watching now" in page
    assert "Large" in client.get("/watch-rules/").text
    versions = db.session.scalars(select(WatchVersion.status)).all()
    assert versions == [WatchStatus.ACTIVE]
    edit = client.get(f"{answer.location}edit/").text
    assert "100.00" in edit


def test_a_note_tells_what_the_rule_saw_and_is_decided(watch: Watch, browse: Browse) -> None:
    on(watch)
    payment = watch.make.payment(amount_minor=200_00)
    transaction_id = payment.transaction_id
    payment_id = payment.id
    keep_watch()
    note = db.session.scalars(select(WatchNote.id)).one()
    client = browse(Role.ANTI_FRAUD)
    page = client.get(f"/watch-notes/{note}/").text
    assert "Amount is at least 100.00 EUR" in page
    assert "200.00 EUR" in page
    assert transaction_id in page
    assert post(client, f"/watch-notes/{note}/decide/", status="OPEN", words="x").status_code == 422
    assert post(client, f"/watch-notes/{note}/decide/", status="HARMLESS", words="Known").status_code == 303
    assert watch.get(WatchNote, note).status is NoteStatus.HARMLESS
    assert f'href="/watch-notes/{note}/"' in client.get(f"/transactions/{payment_id}/").text


def test_the_menu_and_the_pages_are_anti_frauds_alone(watch: Watch, browse: Browse) -> None:
    on(watch)
    rule = db.session.scalars(select(WatchRule.id)).one()
    addresses = (
        "/applications/",
        "/blocks/",
        "/transactions-summary/",
        "/watch-rules/",
        f"/watch-rules/{rule}/",
        "/watch-notes/",
    )
    for role, status in ((Role.ANTI_FRAUD, 200), (Role.PAYMENTS_OPERATOR, 403), (Role.COMPLIANCE, 403)):
        client = browse(role)
        assert {client.get(address).status_code for address in addresses} == {status}, role


def test_what_could_not_be_watched_is_shown_until_somebody_decides(watch: Watch, browse: Browse) -> None:
    on(watch)
    first, second = (watch.make.payment(amount_minor=200_00).transaction_id for _ in range(2))
    with db.engine.begin() as connection:
        connection.execute(update(WatchItem).values(failed_at=utcnow(), failures=3, error="RuntimeError: <b>odd</b>"))
    db.session.rollback()  # what it read before is old now
    client, at = browse(Role.ANTI_FRAUD), "/watch-rules/not-watched/"
    assert at in client.get("/watch-rules/").text
    page = client.get(at).text
    assert first in page
    assert second in page
    assert "&lt;b&gt;odd&lt;/b&gt;" in page
    one, two = (int(each) for each in re.findall(rf"{at}(\d+)/again/", page))
    assert post(client, f"{at}{one}/leave/", reason="").status_code == 422
    assert post(client, f"{at}{one}/leave/", reason="Looked at by hand").status_code == 303
    assert post(client, f"{at}{two}/again/").status_code == 303
    assert (client.get(at).text.count("/again/"), watch.count(WatchItem), keep_watch()) == (0, 1, 1)
    assert browse(Role.CASHIER).get(at).status_code in {403, 404}
