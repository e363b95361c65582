"""Sales: the price moves once, by the contract of who pays, and whatever is not right refuses the whole."""

import datetime as dt
import threading

import pytest

from payadmin.actions import products, wallets
from payadmin.actions.wallets import approve_application, reject_application
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Invalid, NotFound, Refusal
from payadmin.kernel.tariffs import ChargedTo, Term, TransactionType
from payadmin.models.parties import Customer, CustomerStatus, Organization, OrganizationStatus
from payadmin.models.payments import Unit, UnitStatus
from payadmin.models.products import Product, ProductSale, ProductStatus
from payadmin.models.wallets import MoveStatus, Wallet, WalletKind, WalletStatus, WalletTransaction
from tests.products.conftest import Shop
from tests.products.test_products import put

SALE = TransactionType.SALE
DAY = dt.timedelta(days=1)


def moved(shop: Shop, sale: ProductSale) -> WalletTransaction:
    found: WalletTransaction = shop.get(WalletTransaction, sale.transaction_id)
    return found


def test_a_sale_moves_the_price_to_the_service_provider_and_the_books_say_so(shop: Shop) -> None:
    product_id, payer = shop.product(), shop.wallet("Alpha", funds=50_00)
    sale = shop.sell(product_id, payer)
    row = moved(shop, sale)
    assert (row.kind, row.status, row.paid_minor, row.received_minor) == (
        WalletKind.SALE, MoveStatus.EXECUTED, 10_00, 10_00,
    )  # fmt: skip
    assert (row.note, shop.journals(row.id)) == ("Television (tv)", ["J22"])
    assert shop.amounts(payer).available_minor == 40_00
    assert shop.amounts(shop.till).available_minor == 10_00
    assert shop.unsound() == []


def test_a_customer_buys_out_of_a_wallet_by_the_contract_of_the_organization_that_it_belongs_to(shop: Shop) -> None:
    shop.contract("Alpha", Term(SALE, "EUR", 20_000, charged_to=ChargedTo.PAYER))
    customer = shop.make.customer(organization_id=shop.make.organization("Alpha").id)
    payer = shop.wallet(customer, funds=50_00)
    row = moved(shop, shop.sell(shop.product(), payer))
    assert (row.paid_minor, row.received_minor, row.commission_minor) == (10_20, 10_00, 20)
    assert shop.unsound() == []


def test_a_sale_keeps_the_price_of_its_moment(shop: Shop) -> None:
    product_id, payer = shop.product(), shop.wallet("Alpha", funds=50_00)
    first = shop.sell(product_id, payer).id
    shop.change(product_id, price_minor=15_00)
    second = shop.sell(product_id, payer).id
    assert [shop.get(ProductSale, each).price_minor for each in (first, second)] == [10_00, 15_00]
    assert shop.amounts(payer).available_minor == 25_00


def test_a_form_that_is_sent_twice_sells_once(shop: Shop) -> None:
    product_id, payer = shop.product(), shop.wallet("Alpha", funds=50_00)
    first = shop.sell(product_id, payer, key="form").id
    shop.status(product_id, is_active=False)  # its own answer does not depend on what became of the product
    assert shop.sell(product_id, payer, key="form").id == first
    assert shop.amounts(payer).available_minor == 40_00
    other = shop.wallet("Beta", funds=50_00)
    with pytest.raises(Conflict, match="another sale"):
        shop.sell(product_id, other, key="form")
    with pytest.raises(Conflict, match="another sale"):
        shop.sell(shop.product("radio"), payer, key="form")
    assert shop.count(ProductSale) == 1


@pytest.mark.parametrize("key", ["", "x" * 200])
def test_a_form_without_its_token_sells_nothing(shop: Shop, key: str) -> None:
    with pytest.raises(Invalid, match="out of date"):
        shop.sell(shop.product(), shop.wallet("Alpha", funds=50_00), key=key)


def test_two_clicks_at_once_sell_once(shop: Shop) -> None:
    product_id, payer = shop.product(), shop.wallet("Alpha", funds=50_00)
    db.session.rollback()
    results: list[object] = []

    def click() -> None:
        with shop.app.app_context():
            try:
                results.append(products.sell_product(shop.admin, product_id, wallet_id=payer, key="form").id)
            except Refusal as refusal:
                results.append(refusal)
            finally:
                db.session.remove()

    threads = [threading.Thread(target=click) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert len(set(results)) == 1
    assert shop.count(ProductSale) == shop.count(WalletTransaction) == 1
    assert shop.amounts(payer).available_minor == 40_00


def test_a_price_that_changed_after_the_preview_is_not_taken_unseen(shop: Shop) -> None:
    product_id, payer = shop.product(), shop.wallet("Alpha", funds=50_00)
    with pytest.raises(Conflict, match="has changed"):
        shop.sell(product_id, payer, seen=(9_00, 9_00))
    assert shop.count(ProductSale) == shop.count(WalletTransaction) == 0
    assert shop.sell(product_id, payer, seen=(10_00, 10_00)).id


def test_a_wallet_that_holds_too_little_buys_nothing(shop: Shop) -> None:
    payer = shop.wallet("Alpha", funds=9_99)
    with pytest.raises(Conflict, match=r"9\.99 EUR available, and 10\.00 EUR"):
        shop.sell(shop.product(), payer)
    assert shop.count(ProductSale) == 0
    assert shop.amounts(payer).available_minor == 9_99


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("inactive", "not for sale"),
        ("not yet", "is sold from"),
        ("no longer", "was sold until"),
        ("provider closed", "service provider Streamer is closed"),
        ("provider's wallet blocked", "no open wallet in EUR"),
        ("provider's wallet closed", "no open wallet in EUR"),
        ("wallet blocked", "nothing leaves it"),
        ("wallet closed", "is closed"),
        ("owner closed", "closed"),
        ("owner blocked", "blocked"),
        ("unit retired", "retired"),
        ("other unit", "holds USD"),
        ("the provider's own wallet", "same one"),
    ],
)
def test_a_sale_that_is_not_right_is_refused_and_nothing_has_changed(shop: Shop, what: str, words: str) -> None:
    product_id = shop.product()
    customer = shop.make.customer()
    customer_id = customer.id
    payer = shop.wallet(customer if what == "owner blocked" else "Alpha", funds=50_00)
    owner_id, unit_id, today = shop.get(Wallet, payer).organization_id, shop.make.unit("EUR").id, shop.today
    changes: dict[str, tuple[type, int, dict[str, object]]] = {
        "inactive": (Product, product_id, {"status": ProductStatus.INACTIVE}),
        "not yet": (Product, product_id, {"valid_from": today + DAY}),
        "no longer": (Product, product_id, {"valid_from": today - 2 * DAY, "valid_to": today - DAY}),
        "provider closed": (Organization, shop.provider_id, {"status": OrganizationStatus.CLOSED}),
        "provider's wallet blocked": (Wallet, shop.till, {"status": WalletStatus.BLOCKED}),
        "provider's wallet closed": (Wallet, shop.till, {"status": WalletStatus.CLOSED}),
        "wallet blocked": (Wallet, payer, {"status": WalletStatus.BLOCKED}),
        "wallet closed": (Wallet, payer, {"status": WalletStatus.CLOSED}),
        "owner closed": (Organization, owner_id, {"status": OrganizationStatus.CLOSED}),
        "owner blocked": (Customer, customer_id, {"status": CustomerStatus.BLOCKED}),
        "unit retired": (Unit, unit_id, {"status": UnitStatus.RETIRED}),
    }
    if what in changes:
        model, row_id, values = changes[what]
        put(model, row_id, **values)
    elif what == "other unit":
        payer = shop.wallet("Alpha", "USD", funds=50_00)
    else:
        payer = shop.till
        shop.fund(payer, 50_00)
    with pytest.raises(Conflict, match=words):
        shop.sell(product_id, payer)
    assert shop.count(ProductSale) == shop.count(WalletTransaction) == 0
    assert shop.amounts(payer).available_minor == 50_00
    assert shop.amounts(payer).held_minor == 0


def test_what_is_nowhere_cannot_be_sold(shop: Shop) -> None:
    with pytest.raises(NotFound):
        shop.sell(999_999, shop.wallet("Alpha", funds=50_00))
    with pytest.raises(NotFound):
        shop.sell(shop.product(), 999_999)


def test_a_sale_over_a_limit_waits_and_is_executed_or_given_back(shop: Shop) -> None:
    shop.contract("Alpha", Term(SALE, "EUR", limit_single_minor=5_00))
    product_id, payer = shop.product(), shop.wallet("Alpha", funds=50_00)
    first, second = shop.sell(product_id, payer), shop.sell(product_id, payer)
    first_id, second_id = first.transaction_id, second.transaction_id
    assert shop.amounts(payer).held_minor == 20_00
    approve_application(shop.fraud, shop.application(first_id).id, reason=None)
    reject_application(shop.fraud, shop.application(second_id).id, reason="No")
    assert shop.get(WalletTransaction, first_id).status is MoveStatus.EXECUTED
    assert shop.get(WalletTransaction, second_id).status is MoveStatus.RELEASED
    assert (shop.amounts(payer).available_minor, shop.amounts(shop.till).available_minor) == (40_00, 10_00)
    assert shop.unsound() == []


def test_a_wallet_can_be_closed_after_its_sale_was_executed(shop: Shop) -> None:
    payer = shop.wallet("Alpha", funds=10_00)
    shop.sell(shop.product(), payer)
    wallets.close_wallet(shop.admin, payer, version=shop.get(Wallet, payer).version)
    assert shop.get(Wallet, payer).status is WalletStatus.CLOSED
