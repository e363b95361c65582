"""Products of integrated service providers, and what was sold of them out of wallets (S3:46)."""

import datetime as dt
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import CheckConstraint, Date, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from payadmin.db import Base, enum_column, search_text
from payadmin.kernel.states import Machine
from payadmin.kernel.text import _
from payadmin.models.base import Audited, Row, minor_column
from payadmin.models.parties import Organization
from payadmin.models.wallets import Wallet, WalletTransaction

CODE_LENGTH = 40
NAME_LENGTH = 120
DESCRIPTION_LENGTH = 500


class ProductStatus(StrEnum):
    ACTIVE = "Active"
    INACTIVE = "Inactive"


PRODUCT_MACHINE: Machine[ProductStatus] = Machine(
    initial=ProductStatus.ACTIVE,
    moves={
        ProductStatus.ACTIVE: frozenset({ProductStatus.INACTIVE}),
        ProductStatus.INACTIVE: frozenset({ProductStatus.ACTIVE}),
    },
)


class Product(Row, Audited, Base):
    """What a service provider sells, at one price in one unit, from its first day to its last.

    Attributes:
        provider_id: an organization of the kind Provider; its wallet in `unit` gets the price.
        valid_to: the last day on which it is sold; None: without end.
    """

    machine: ClassVar[Machine[Any]] = PRODUCT_MACHINE

    __tablename__ = "product"
    __title__ = "name"
    __table_args__ = (
        CheckConstraint("price_minor > 0", name="price_positive"),
        CheckConstraint("valid_to >= valid_from", name="ends_after_it_began"),
        Index("ix_product_created_at_id", "created_at", "id"),
        Index("ix_product_name_id", "name", "id"),
        Index("ix_product_provider_id_id", "provider_id", "id"),
        Index("ix_product_unit_price_minor_id", "unit", "price_minor", "id"),
    )

    code: Mapped[str] = mapped_column(search_text(CODE_LENGTH), unique=True, info={"label": "Code", "search": True})
    name: Mapped[str] = mapped_column(search_text(NAME_LENGTH), info={"label": "Name", "search": True})
    provider_id: Mapped[int] = mapped_column(ForeignKey("organization.id"), info={"label": "Service provider"})
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"), info={"label": "Currency"})
    price_minor: Mapped[int] = minor_column("Price")
    status: Mapped[ProductStatus] = enum_column(
        ProductStatus, default=ProductStatus.ACTIVE, index=True, info={"label": "Status"}
    )
    valid_from: Mapped[dt.date] = mapped_column(Date, info={"label": "Sold from"})
    valid_to: Mapped[dt.date | None] = mapped_column(Date, info={"label": "Sold until"})
    description: Mapped[str | None] = mapped_column(
        String(DESCRIPTION_LENGTH), info={"label": "Description", "list": False}
    )

    provider: Mapped[Organization] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return self.name

    def is_sold_on(self, day: dt.date) -> bool:
        """Whether a day lies between its first and its last one."""
        return self.valid_from <= day and (self.valid_to is None or day <= self.valid_to)


class ProductSale(Row, Audited, Base):
    """One product, paid for out of a wallet. What was paid, and whether it stands, its wallet transaction says.

    Attributes:
        wallet_id: the wallet that paid.
        price_minor: what the product cost at that moment.
    """

    __tablename__ = "product_sale"
    __table_args__ = (
        CheckConstraint("price_minor > 0", name="price_positive"),
        Index("ix_product_sale_created_at_id", "created_at", "id"),
        Index("ix_product_sale_product_id_id", "product_id", "id"),
        Index("ix_product_sale_wallet_id_id", "wallet_id", "id"),
        Index("ix_product_sale_unit_price_minor_id", "unit", "price_minor", "id"),
    )

    product_id: Mapped[int] = mapped_column(ForeignKey("product.id"), info={"label": "Product", "readonly": True})
    wallet_id: Mapped[int] = mapped_column(ForeignKey("wallet.id"), info={"label": "Wallet", "readonly": True})
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"), info={"label": "Currency", "readonly": True})
    price_minor: Mapped[int] = minor_column("Price")
    transaction_id: Mapped[int] = mapped_column(
        ForeignKey("wallet_transaction.id"), unique=True, info={"label": "Transaction", "readonly": True}
    )

    product: Mapped[Product] = relationship(lazy="raise_on_sql")
    wallet: Mapped[Wallet] = relationship(lazy="raise_on_sql")
    transaction: Mapped[WalletTransaction] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return _("Sale no. %(number)s", number=self.id)
