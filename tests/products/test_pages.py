"""Products over HTTP: the forms, a sale from the choice of a wallet to its journal and back, and who sees what."""

import csv
import io
import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from payadmin.models.products import Product, ProductSale, ProductStatus
from payadmin.permissions import Role
from tests.products.conftest import Shop
from tests.support.make import Make

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture(autouse=True)
def _no_csrf(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", False)


@pytest.fixture
def admin(make: Make) -> FlaskClient:
    return make.browse(Role.ADMIN)


def filled(shop: Shop, **values: Any) -> dict[str, Any]:
    return {
        "code": "tv", "name": "Television", "provider": str(shop.provider_id), "unit": "EUR", "price": "12.50",
        "valid_from": shop.today.isoformat(), "valid_to": "", "description": "",
    } | values  # fmt: skip


def test_a_product_is_made_and_changed_by_its_forms(shop: Shop, admin: FlaskClient) -> None:
    answer = admin.post("/products/new/", data=filled(shop, name=SCRIPT))
    assert answer.status_code == 303, answer.text
    page = admin.get(answer.location).text
    assert SCRIPT not in page
    assert "&lt;script&gt;" in page
    assert "12.50" in page
    edit = admin.get(f"{answer.location}edit/").text
    seen = re.search(r'name="seen_version"[^>]*value="(\d+)"', edit)
    assert seen is not None
    changed = {"name": "Radio", "price": "9", "valid_from": shop.today.isoformat(), "seen_version": seen[1]}
    assert admin.post(f"{answer.location}edit/", data=changed).status_code == 303
    stale = admin.post(f"{answer.location}edit/", data=changed | {"name": "Late"})
    assert (stale.status_code, "Somebody else changed this product" in stale.text) == (409, True)
    product = shop.get(Product, int(answer.location.rstrip("/").rpartition("/")[2]))
    assert (product.name, product.price_minor) == ("Radio", 9_00)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"price": "0"}, "zero"),
        ({"price": "1.234"}, "decimal"),
        ({"price": ""}, "This is needed"),
        ({"price": " "}, "This is needed"),
        ({"provider": " "}, "Choose one."),
        ({"unit": "JPY", "price": "12"}, "no open wallet in JPY"),
        ({"provider": "999999"}, "Choose one of the list"),
        ({"valid_to": "2001-01-01"}, "before the first"),
        ({"code": "a b"}, "letters, digits"),
        ({"name": ""}, "This is needed"),
    ],
)
def test_a_wrong_field_is_said_at_the_field(shop: Shop, admin: FlaskClient, values: dict[str, str], words: str) -> None:
    answer = admin.post("/products/new/", data=filled(shop, **values))
    assert answer.status_code in {409, 422}
    assert words in answer.text
    assert shop.count(Product) == 0


def test_a_sale_is_shown_before_it_is_confirmed_and_leads_to_its_journal_and_back(
    shop: Shop, admin: FlaskClient
) -> None:
    product_id, payer = shop.product(), shop.wallet("Alpha", funds=50_00)
    form = admin.get(f"/products/{product_id}/sell/").text
    key = re.search(r'name="key"[^>]*value="([^"]+)"', form)
    assert key is not None
    shown = admin.post(f"/products/{product_id}/sell/", data={"wallet": str(payer), "key": key[1]}).text
    assert "Confirm the sale" in shown
    assert shop.count(ProductSale) == 0
    fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', shown))
    sold = admin.post(f"/products/{product_id}/sell/", data=fields | {"confirm": "1"})
    again = admin.post(f"/products/{product_id}/sell/", data=fields | {"confirm": "1"})
    assert (sold.status_code, again.location, shop.count(ProductSale)) == (303, sold.location, 1)
    page = admin.get(sold.location).text
    journal = re.search(r'href="(/journal/\d+/)"', page)
    assert journal is not None
    moved = re.search(r'href="(/wallet-transactions/\d+/)"', admin.get(journal[1]).text)
    assert moved is not None
    assert f'href="{sold.location}"' in admin.get(moved[1]).text
    assert "Executed" in admin.get("/product-sales/").text


def test_files_say_what_pages_work_out(shop: Shop, admin: FlaskClient) -> None:
    shop.sell(shop.product(), shop.wallet("Alpha", funds=50_00))
    sales = list(csv.DictReader(io.StringIO(admin.get("/product-sales/export/csv/").text.removeprefix("\ufeff"))))
    assert [row["Status"] for row in sales] == ["Executed"]
    found = csv.DictReader(io.StringIO(admin.get("/organizations/export/csv/").text.removeprefix("\ufeff")))
    wallets = {row["Name"]: (row["Users"], row["Wallets"]) for row in found}
    assert (wallets["Alpha"], wallets["Streamer"]) == (("0", "1"), ("0", "1"))


@pytest.mark.parametrize("what", ["poor", "blocked", "nobody", "blank", "tampered"])
def test_a_sale_that_cannot_be_is_said_on_the_form(shop: Shop, admin: FlaskClient, what: str) -> None:
    product_id, payer = shop.product(), shop.wallet("Alpha", funds=5_00 if what == "poor" else 50_00)
    wallet = {"nobody": "999999", "blank": " "}.get(what, str(payer))
    data = {"wallet": wallet, "key": "k", "confirm": "1"}
    data |= {"seen_paid": "x" if what == "tampered" else "1000", "seen_received": "1000"}
    if what == "blocked":
        shop.status(product_id, is_active=False)
    answer = admin.post(f"/products/{product_id}/sell/", data=data)
    assert answer.status_code in {409, 422}
    assert shop.count(ProductSale) == 0


def test_out_of_sale_and_back_by_its_buttons(shop: Shop, admin: FlaskClient) -> None:
    product_id = shop.product()
    for act, version, status in (("stop", 1, "INACTIVE"), ("stop", 1, "INACTIVE"), ("resume", 2, "ACTIVE")):
        assert admin.post(f"/products/{product_id}/status/{act}/", data={"version": version}).status_code == 303
        assert shop.get(Product, product_id).status is ProductStatus[status]
    page = admin.get(f"/products/{product_id}/").text
    assert "Take out of sale" in page


def test_others_find_no_products(shop: Shop, make: Make) -> None:
    product_id = shop.product()
    for role in (Role.CFO, Role.PAYMENTS_OPERATOR, Role.SUPPORT_AGENT):
        browser = make.browse(role)
        for path in ("/products/", f"/products/{product_id}/", f"/products/{product_id}/sell/", "/product-sales/"):
            assert browser.get(path).status_code == 403


def test_pickers_offer_providers_and_wallets_only(shop: Shop, admin: FlaskClient) -> None:
    wallet = shop.wallet("Streamland")
    found = admin.get("/products/providers/?q=Stream").json
    assert found is not None
    assert [each["id"] for each in found] == [shop.provider_id]
    found = admin.get("/products/wallets/?q=Streamland").json
    assert found is not None
    assert [each["id"] for each in found] == [wallet]
