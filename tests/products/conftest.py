"""The products room: a service provider with a wallet, buyers with money, and a product to be sold."""

import datetime as dt
from typing import Any

import pytest
from flask import Flask

from payadmin.actions import products, wallets
from payadmin.actions.products import sell_product
from payadmin.models.parties import OrganizationKind
from payadmin.models.products import Product, ProductSale
from payadmin.views import lists
from tests.support.desk_fixtures import desk, provider_process, simulator
from tests.support.make import Make
from tests.wallets.conftest import Purses


class Shop(Purses):
    """Everything a test of products does, in short words."""

    def __init__(self, app: Flask, make: Make) -> None:
        super().__init__(app, make)
        self.provider_id = make.organization("Streamer", kind=OrganizationKind.PROVIDER).id
        self.till = wallets.open_wallet(self.admin, unit="EUR", organization_id=self.provider_id).id

    @property
    def today(self) -> dt.date:
        """The business day."""
        with self.app.test_request_context():
            return lists.today()

    def product(self, code: str = "tv", **values: Any) -> int:
        """A product of the service provider, for ten euros from today on."""
        terms = {
            "name": "Television",
            "provider_id": self.provider_id,
            "unit": "EUR",
            "price_minor": 10_00,
            "valid_from": self.today,
        } | values
        return products.add_product(self.admin, code=code, **terms)

    def change(self, product_id: int, **values: Any) -> None:
        """Change a product as its form does, with everything that it shows."""
        row = self.get(Product, product_id)
        shown = {key: getattr(row, key) for key in ("version", "name", "price_minor", "valid_from", "valid_to")}
        products.change_product(self.admin, product_id, **(shown | values))

    def status(self, product_id: int, *, is_active: bool) -> None:
        """Take it out of sale, or sell it again."""
        version = self.get(Product, product_id).version
        products.set_product_status(self.admin, product_id, is_active=is_active, version=version)

    def sell(self, product_id: int, wallet_id: int, **more: Any) -> ProductSale:
        """A sale by the administrator, each with a key of its own unless told otherwise."""
        self._facts += 1
        return sell_product(self.admin, product_id, wallet_id=wallet_id, **({"key": f"s{self._facts}"} | more))


@pytest.fixture
def shop(app: Flask, make: Make) -> Shop:
    return Shop(app, make)


__all__ = ["Shop", "desk", "provider_process", "shop", "simulator"]
