"""Bonus units: issued to wallets and redeemed from them, once, by the rules of wallets, and found in the books."""

import re

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import DatabaseError

from payadmin.actions import tariffs, wallets
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Forbidden, Invalid
from payadmin.models.parties import CustomerStatus
from payadmin.models.payments import Unit, UnitKind
from payadmin.models.wallets import MoveStatus, Wallet, WalletKind, WalletStatus, WalletTransaction
from payadmin.permissions import Role
from tests.support.approvals import filed
from tests.support.desk import trail
from tests.support.make import writing
from tests.support.pages import post
from tests.wallets.conftest import Purses


@pytest.fixture
def points(purses: Purses) -> int:
    found: int = tariffs.add_unit(purses.admin, code="POINTS", name="Points", kind=UnitKind.BONUS, scale=0)
    return found


def wallet_of(owner_id: int, *, of: str = "customer_id") -> Wallet:
    db.session.rollback()
    return db.session.scalars(select(Wallet).where(getattr(Wallet, of) == owner_id, Wallet.unit == "POINTS")).one()


def held(purses: Purses, owner_id: int, *, of: str = "customer_id") -> int:
    """What the wallet of an owner has in points."""
    return purses.amounts(wallet_of(owner_id, of=of).id).available_minor


def unit(code: str = "POINTS") -> Unit:
    db.session.rollback()
    return db.session.query(Unit).filter_by(code=code).one()


def put(wallet_id: int, status: WalletStatus) -> None:
    """Change the state of a wallet behind everybody's back."""
    writing()
    changed = update(Wallet).where(Wallet.id == wallet_id).values(status=status)
    db.session.execute(changed.execution_options(explained=True, synchronize_session=False))
    db.session.commit()


def test_bonus_units_are_issued_and_redeemed_once_and_then_the_unit_is_retired(purses: Purses, points: int) -> None:
    customer_id = purses.make.customer().id
    given = {"reason": "Welcome", "customer_id": customer_id}
    first = wallets.issue_bonus(purses.admin, points, amount_minor=500, key="a", **given)
    assert wallets.issue_bonus(purses.admin, points, amount_minor=500, key="a", **given) == first
    with pytest.raises(Conflict, match="another order"):
        wallets.issue_bonus(purses.admin, points, amount_minor=501, key="a", **given)
    assert held(purses, customer_id) == 500
    row = purses.get(WalletTransaction, first)
    assert (row.kind, row.status, row.note, purses.journals(first)) == (
        WalletKind.BONUS_ISSUE, MoveStatus.EXECUTED, "Welcome", ["J28"],
    )  # fmt: skip
    with pytest.raises(Conflict, match="balance"):
        tariffs.set_unit_status(purses.admin, points, is_active=False, version=unit().version)
    with pytest.raises(Conflict, match="not enough"):
        wallets.redeem_bonus(purses.admin, points, amount_minor=501, key="b", **given)
    wallets.redeem_bonus(purses.admin, points, amount_minor=500, key="c", **given)
    assert held(purses, customer_id) == 0
    tariffs.set_unit_status(purses.admin, points, is_active=False, version=unit().version)
    with pytest.raises(Conflict, match="retired"):
        wallets.issue_bonus(purses.admin, points, amount_minor=1, key="d", **given)
    events = [entry.event for entry in trail() if entry.event.startswith("tariffs.unit.") and entry.outcome == "done"]
    assert (events.count("tariffs.unit.issued"), events.count("tariffs.unit.redeemed")) == (1, 1)
    assert purses.unsound() == []


def test_bonus_units_for_nobody_for_two_or_of_a_currency_are_refused(purses: Purses, points: int) -> None:
    customer_id, shop_id = purses.make.customer().id, purses.make.organization().id
    given = {"amount_minor": 1, "reason": "Welcome", "key": "a", "customer_id": customer_id}
    for unit_id, values in (
        (points, {"customer_id": None}),
        (points, {"organization_id": shop_id}),
        (points, {"amount_minor": 0}),
        (points, {"reason": " "}),
        (points, {"key": ""}),
        (unit("EUR").id, {}),
    ):
        with pytest.raises(Invalid):
            wallets.issue_bonus(purses.admin, unit_id, **given | values)
    with pytest.raises(Forbidden):
        wallets.issue_bonus(purses.cfo, points, **given)
    assert purses.count(WalletTransaction) == 0


def test_a_blocked_owner_gets_no_bonus_units_and_not_even_a_wallet(purses: Purses, points: int) -> None:
    blocked = purses.make.customer(status=CustomerStatus.BLOCKED).id
    with pytest.raises(Conflict, match="blocked"):
        wallets.issue_bonus(purses.admin, points, amount_minor=1, reason="Welcome", key="a", customer_id=blocked)
    assert purses.count(Wallet) == 0


def test_a_closed_wallet_gets_no_bonus_units_and_a_blocked_one_gives_none(purses: Purses, points: int) -> None:
    customer_id = purses.make.customer().id
    given = {"amount_minor": 5, "reason": "Welcome", "customer_id": customer_id}
    wallets.issue_bonus(purses.admin, points, key="a", **given)
    wallet_id = wallet_of(customer_id).id
    put(wallet_id, WalletStatus.BLOCKED)
    with pytest.raises(Conflict, match="nothing leaves it"):
        wallets.redeem_bonus(purses.admin, points, key="b", **given)
    wallets.issue_bonus(purses.admin, points, key="c", **given)
    put(wallet_id, WalletStatus.CLOSED)
    for act in (wallets.issue_bonus, wallets.redeem_bonus):
        with pytest.raises(Conflict, match="is closed"):
            act(purses.admin, points, key="d", **given)
    assert held(purses, customer_id) == 10


def test_bonus_units_that_were_issued_wrongly_are_reversed_by_two_people(purses: Purses, points: int) -> None:
    customer_id = purses.make.customer().id
    given = {"amount_minor": 5, "reason": "Welcome", "key": "a", "customer_id": customer_id}
    row_id = wallets.issue_bonus(purses.admin, points, **given)
    number = filed(lambda: wallets.reverse_transaction(purses.admin, row_id, reason="Wrong customer"))
    purses.approve(purses.cfo, number)
    assert held(purses, customer_id) == 0
    assert purses.unsound() == []


def test_a_unit_that_accounts_are_kept_in_cannot_be_deleted(purses: Purses, points: int) -> None:
    customer_id = purses.make.customer().id
    wallets.issue_bonus(purses.admin, points, amount_minor=1, reason="Welcome", key="a", customer_id=customer_id)
    with pytest.raises(DatabaseError):
        db.session.execute(text("DELETE FROM unit WHERE code = 'POINTS'"))
    db.session.rollback()
    assert unit().id == points


def test_the_page_of_a_bonus_unit_issues_and_redeems_and_leads_to_the_books_and_back(
    purses: Purses, points: int
) -> None:
    shop = purses.make.organization("Corner Shop").id
    client = purses.make.browse(Role.ADMIN)
    assert "Issue" in client.get(f"/units/{points}/").text
    assert client.get("/units/organizations/?q=Corner").json[0]["id"] == shop
    form = {"organization": str(shop), "amount": "12", "reason": "Promotion", "key": "one"}
    assert post(client, f"/units/{points}/issue/", **form).status_code == 303
    assert held(purses, shop, of="organization_id") == 12
    too_much = post(client, f"/units/{points}/redeem/", **form | {"amount": "13", "key": "two"})
    assert too_much.status_code == 409
    assert "not enough money" in too_much.text
    page = client.get(f"/units/{points}/").text
    statement = re.search(r'href="(/ledger-accounts/\d+/)">[^<]*<[^>]*>.*?Issued and redeemed', page, re.DOTALL)
    assert statement is not None
    journal = re.search(r'href="(/journal/\d+/)"', client.get(statement[1]).text)
    assert journal is not None
    moved = re.search(r'href="(/wallet-transactions/\d+/)"', client.get(journal[1]).text)
    assert moved is not None
    shown = client.get(moved[1]).text
    assert f'href="/units/{points}/"' in shown
    assert "J28 Bonus units issued" in shown
    assert post(client, f"/units/{points}/redeem/", **form | {"key": "three"}).status_code == 303
    assert held(purses, shop, of="organization_id") == 0
