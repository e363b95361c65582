"""Products: what one has to be, what can change, and that a stale form changes nothing."""

import datetime as dt
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from payadmin.actions import products
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, NotFound
from payadmin.models.parties import Organization, OrganizationKind, OrganizationStatus
from payadmin.models.products import Product, ProductStatus
from payadmin.permissions import Role
from tests.products.conftest import Shop
from tests.support.desk import trail
from tests.support.make import writing

DAY = dt.timedelta(days=1)


def test_a_product_is_added_changed_stopped_and_sold_again_and_the_trail_tells_it(shop: Shop) -> None:
    product_id = shop.product(description="  All channels ")
    row = shop.get(Product, product_id)
    assert (row.code, row.price_minor, row.unit, row.status) == ("tv", 10_00, "EUR", ProductStatus.ACTIVE)
    assert (row.description, row.valid_to) == ("All channels", None)
    shop.change(product_id, price_minor=12_50, valid_to=shop.today + DAY)
    row = shop.get(Product, product_id)
    assert (row.price_minor, row.valid_to, row.version) == (12_50, shop.today + DAY, 2)
    shop.status(product_id, is_active=False)
    shop.status(product_id, is_active=True)
    assert shop.get(Product, product_id).status is ProductStatus.ACTIVE
    told = [row.event for row in trail() if row.event.startswith("products.")]
    assert told == [f"products.product.{word}" for word in ("added", "changed", "stopped", "resumed")]


def test_a_change_that_changes_nothing_is_no_act(shop: Shop) -> None:
    product_id = shop.product()
    shop.change(product_id)
    assert shop.get(Product, product_id).version == 1


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"code": ""}, "code"),
        ({"code": "a b"}, "code"),
        ({"code": "tv" * 30}, "code"),
        ({"code": "<b>"}, "code"),
        ({"name": " "}, "name"),
        ({"name": "x" * 121}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"name": "4242 4242 4242 4242"}, "name"),
        ({"price_minor": 0}, "price"),
        ({"price_minor": -1}, "price"),
        ({"price_minor": 10**17}, "price"),
        ({"valid_to": dt.date(2001, 1, 1)}, "valid_to"),
        ({"description": "x" * 501}, "description"),
        ({"unit": "XXX"}, "unit"),
        ({"unit": "JPY"}, "unit"),
    ],
)
def test_a_product_that_makes_no_sense_is_refused_at_its_field(shop: Shop, values: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        shop.product(**values)
    assert refused.value.field == field
    assert shop.count(Product) == 0


def test_a_code_is_used_once(shop: Shop) -> None:
    shop.product("tv")
    with pytest.raises(Conflict, match="this code already"):
        shop.product("tv", name="Another")
    assert shop.count(Product) == 1


@pytest.mark.parametrize("what", ["merchant", "closed", "nobody"])
def test_only_an_active_service_provider_has_products(shop: Shop, what: str) -> None:
    provider_id = shop.make.organization("Shop", kind=OrganizationKind.MERCHANT).id if what == "merchant" else 999_999
    if what == "closed":
        provider_id = shop.provider_id
        put(Organization, provider_id, status=OrganizationStatus.CLOSED)
    with pytest.raises((Invalid, NotFound)):
        shop.product(provider_id=provider_id)


def test_a_form_that_is_out_of_date_changes_nothing_and_learns_the_version(shop: Shop) -> None:
    product_id = shop.product()
    shop.change(product_id, name="Radio")
    with pytest.raises(Conflict) as refused:
        shop.change(product_id, version=1, name="Cinema")
    assert refused.value.data["now"] == 2
    with pytest.raises(Conflict):
        products.set_product_status(shop.admin, product_id, is_active=False, version=1)
    with pytest.raises(Conflict):
        products.set_product_status(shop.admin, product_id, is_active=True, version=2)
    assert shop.get(Product, product_id).name == "Radio"


def test_other_roles_neither_make_nor_sell_products(shop: Shop) -> None:
    product_id, payer = shop.product(), shop.wallet("Alpha", funds=50_00)
    for role in set(Role) - {Role.ADMIN}:
        actor = shop.person(role)
        with pytest.raises(Forbidden):
            products.set_product_status(actor, product_id, is_active=False, version=1)
        with pytest.raises(Forbidden):
            products.sell_product(actor, product_id, wallet_id=payer, key="k")


@pytest.mark.parametrize("values", [{"price_minor": 0}, {"valid_to": dt.date(2001, 1, 1)}, {"status": "GONE"}])
def test_the_database_refuses_what_python_forgot(shop: Shop, values: dict[str, Any]) -> None:
    product_id = shop.product()
    writing()
    table = Product.__table__
    with pytest.raises((IntegrityError, LookupError)):
        db.session.connection().execute(update(table).where(table.c.id == product_id).values(**values))  # type: ignore[arg-type]
    db.session.rollback()


def put(model: type, row_id: int, **values: object) -> None:
    """Change a row behind everybody's back."""
    writing()
    statement = update(model).where(model.id == row_id).values(**values)  # type: ignore[attr-defined]
    db.session.execute(statement.execution_options(explained=True, synchronize_session=False))
    db.session.commit()
