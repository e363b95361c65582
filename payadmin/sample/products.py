"""The demo's products: what a service provider sells, one sale, and a file of payments that waits to be confirmed."""

from typing import Final

from sqlalchemy import select

from payadmin.actions import batches, products, records, wallets
from payadmin.config import current_settings
from payadmin.db import db, utcnow
from payadmin.kernel.sheets import csv_rows
from payadmin.models.batches import Batch, BatchKind
from payadmin.models.parties import Customer, Organization, OrganizationKind
from payadmin.models.products import Product
from payadmin.models.wallets import Wallet, WalletStatus
from payadmin.permissions import Permission
from payadmin.queries.wallets import amounts_of
from payadmin.sample.wallets import PARTNER, PAYOUTS, UNIT
from payadmin.work import SYSTEM

PROVIDER: Final = "Brightline Mobile"
# Code, name, price in the smallest part of the unit, what it says; all invented.
OFFERED: Final = (
    ("topup-10", "Phone credit 10", 10_00, "Prepaid credit for one number."),
    ("data-5gb", "Data pack 5 GB", 15_00, "Thirty days."),
    ("roaming-week", "Roaming week", 24_50, "Seven days in forty countries."),
)
PAYEES: Final = 3


def load_products() -> None:
    """Add what is missing, after `load_wallets`; a second time nothing."""
    if db.session.scalar(select(Product.id).limit(1)) is not None:
        return
    provider_id = _provider()
    wallets.open_wallet(SYSTEM, unit=UNIT, organization_id=provider_id)
    today = utcnow().astimezone(current_settings().zone).date()
    made = [
        products.add_product(
            SYSTEM,
            code=code,
            name=name,
            provider_id=provider_id,
            unit=UNIT,
            price_minor=price,
            valid_from=today,
            description=description,
        )
        for code, name, price, description in OFFERED
    ]
    version = db.session.get_one(Product, made[-1]).version
    products.set_product_status(SYSTEM, made[-1], is_active=False, version=version)
    buyer = _wallet_of(PARTNER)
    if buyer is not None and amounts_of(db.session(), [buyer])[buyer.id].available_minor >= OFFERED[0][2]:
        products.sell_product(SYSTEM, made[0], wallet_id=buyer.id, key="sample:topup")
    _upload_payments()


def _provider() -> int:
    found = db.session.scalar(select(Organization.id).where(Organization.name == PROVIDER))
    if found is None:
        values = {"name": PROVIDER, "kind": OrganizationKind.PROVIDER}
        write = Permission.PARTIES_ORGANIZATION_WRITE
        found = records.create_record(SYSTEM, Organization, permission=write, values=values)
    return found


def _wallet_of(name: str) -> Wallet | None:
    owner = select(Organization.id).where(Organization.name == name).scalar_subquery()
    return db.session.scalar(select(Wallet).where(Wallet.organization_id == owner, Wallet.unit == UNIT))


def _upload_payments() -> None:
    """A file of payments to customers with wallets; somebody with an authenticator confirms it."""
    payer = _wallet_of(PAYOUTS)
    if payer is None or db.session.scalar(select(Batch.id).where(Batch.kind == BatchKind.MASS_PAYMENT).limit(1)):
        return
    of_people = (
        select(Customer.external_id)
        .join(Wallet, Wallet.customer_id == Customer.id)
        .where(Wallet.unit == UNIT, Wallet.status == WalletStatus.OPEN)
    )
    people = db.session.scalars(of_people.order_by(Wallet.id).limit(PAYEES)).all()
    rows = [[who, f"{12 + place}.50", UNIT, f"BONUS-{place}", "Bonus"] for place, who in enumerate(people, 1)]
    head = ("customer_id", "amount", "currency", "reference", "note")
    if rows and payer.organization_id is not None:
        batches.upload_batch(
            SYSTEM,
            "".join(csv_rows(head, rows)).encode(),
            name="bonuses.csv",
            kind=BatchKind.MASS_PAYMENT,
            merchant_id=payer.organization_id,
            method=None,
            provider=None,
            store_cards=lambda _numbers: [],
            keys=current_settings().totp_keys,
        )
