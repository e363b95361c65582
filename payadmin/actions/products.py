"""Products of service providers: made, changed, taken out of sale, and sold to whoever pays out of a wallet (S3:46)."""

import datetime as dt
import re
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from payadmin.actions.wallets.moving import move
from payadmin.audit import Event
from payadmin.config import current_settings
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.masks import mask_pan_in_text
from payadmin.kernel.money import MAX_MINOR
from payadmin.kernel.text import _
from payadmin.models.parties import Organization, OrganizationKind, OrganizationStatus
from payadmin.models.products import (
    CODE_LENGTH,
    DESCRIPTION_LENGTH,
    NAME_LENGTH,
    Product,
    ProductSale,
    ProductStatus,
)
from payadmin.models.wallets import KEY_LENGTH, Wallet, WalletKind, WalletTransaction
from payadmin.permissions import Permission
from payadmin.queries.products import provider_wallet, why_unsellable
from payadmin.queries.tariffs import active_units
from payadmin.work import Work, use_case

WRITE: Final = Permission.WALLETS_PRODUCT_WRITE
STALE: Final = _("Somebody else changed this product meanwhile. Look at what changed, then try again.")
TAKEN: Final = _("There is a product with this code already.")
_CODE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
_CHANGEABLE: Final = ("name", "price_minor", "valid_from", "valid_to", "description")


@use_case(WRITE)
def add_product(
    work: Work,
    *,
    code: str,
    name: str,
    provider_id: int,
    unit: str,
    price_minor: int,
    valid_from: dt.date,
    valid_to: dt.date | None = None,
    description: str | None = None,
) -> int:
    """Make a product that can be sold; its id. Its code, service provider and unit never change.

    Args:
        provider_id: an active organization of the kind Provider with an open wallet in `unit`, which gets the price.
        valid_from: the first day on which it is sold, in business time.
        valid_to: the last one; None: without end.

    Raises:
        Invalid: a value that makes no sense, at its field.
        Conflict: there is a product with this code already.
    """
    shown = code.strip()
    if not _CODE.fullmatch(shown) or len(shown) > CODE_LENGTH:
        raise Invalid(
            _("Write a code of at most %(most)s letters, digits, dots and dashes.", most=CODE_LENGTH), field="code"
        )
    values = _values(name, price_minor, valid_from, valid_to, description)
    if unit not in active_units(work.session):
        raise Invalid(_("%(unit)s is no unit that can be used.", unit=unit), field="unit")
    provider = work.get(Organization, provider_id)
    if provider.kind is not OrganizationKind.PROVIDER or provider.status is not OrganizationStatus.ACTIVE:
        raise Invalid("Choose an active service provider.", field="provider")
    if provider_wallet(work.session, provider_id, unit) is None:
        raise Invalid(
            _("%(name)s has no open wallet in %(unit)s. Open one first.", name=provider.name, unit=unit), field="unit"
        )
    if work.exists(Product.code == shown):
        raise Conflict(TAKEN, field="code")
    try:
        product = work.add(Product(code=shown, provider_id=provider_id, unit=unit, **values))
    except IntegrityError as error:
        raise Conflict(TAKEN, field="code") from error
    after = {"code": shown, "provider_id": provider_id, "unit": unit, **values}
    work.record(Event.PRODUCT_ADDED, product, after=after, product=shown)
    return product.id


@use_case(WRITE, about=Product)
def change_product(
    work: Work,
    product_id: int,
    *,
    version: int,
    name: str,
    price_minor: int,
    valid_from: dt.date,
    valid_to: dt.date | None = None,
    description: str | None = None,
) -> None:
    """Change what a product is called, costs, and when it is sold. Sales of before keep their price.

    Args:
        version: the version that the form showed.

    Raises:
        Invalid: a value that makes no sense, at its field.
        Conflict: somebody else changed it meanwhile (`data["now"]` is its version).
    """
    values = _values(name, price_minor, valid_from, valid_to, description)
    product = work.get(Product, product_id, lock=True)
    before = {key: getattr(product, key) for key in _CHANGEABLE}
    if product.version != version:
        raise Conflict(STALE, now=product.version)
    if before == values:
        return
    if not work.change(Product, product_id, when=(Product.version == version,), **values):
        raise Conflict(STALE, now=product.version)
    changed = {key for key in values if values[key] != before[key]}
    work.record(
        Event.PRODUCT_CHANGED,
        work.get(Product, product_id),
        before={key: before[key] for key in changed},
        after={key: values[key] for key in changed},
        product=product.code,
    )


@use_case(WRITE, about=Product)
def set_product_status(work: Work, product_id: int, *, is_active: bool, version: int) -> None:
    """Take a product out of sale, or sell it again. What was sold stays sold.

    Raises:
        Conflict: it is so already, or somebody else changed it meanwhile.
    """
    product = work.get(Product, product_id, lock=True)
    before, after = product.status, ProductStatus.ACTIVE if is_active else ProductStatus.INACTIVE
    if product.version != version or before is after:
        raise Conflict(STALE, now=product.version)
    if not work.change(Product, product_id, when=(Product.version == version,), status=after):
        raise Conflict(STALE, now=product.version)
    event = Event.PRODUCT_RESUMED if is_active else Event.PRODUCT_STOPPED
    work.record(
        event,
        work.get(Product, product_id),
        before={"status": before},
        after={"status": after},
        product=product.code,
    )


@use_case(Permission.WALLETS_PRODUCT_SELL, about=Product)
def sell_product(
    work: Work, product_id: int, *, wallet_id: int, key: str, seen: tuple[int, int] | None = None
) -> ProductSale:
    """Sell a product: its price moves from a wallet to that of its service provider (J22), or is set aside (J25).

    The commission and the limits are those of the payer's contract for product sales. What is over a limit waits for a
    decision, as every transaction of wallets does.

    Args:
        wallet_id: who pays, in the unit of the product.
        key: names this sale; the same one that comes again answers with the sale that it made.
        seen: what whoever confirms has seen leave and arrive; None: nobody looked.

    Raises:
        Conflict: the product is not sold now, its service provider is closed or has no usable wallet, the wallet is
            blocked, closed, of another unit or holds too little, the key stands for another sale, or it would cost
            something else than was seen.
    """
    if not key or len(key) > KEY_LENGTH - len("sale:"):
        raise Invalid("This form is out of date. Open it again.")
    product = work.get(Product, product_id, lock=True)
    # Its own sale of before answers, whatever has become of the product since.
    if (before := _sold_before(work, key, product_id, wallet_id)) is not None:
        return before
    wallet = work.get(Wallet, wallet_id)
    provider = work.get(Organization, product.provider_id)
    if (problem := why_unsellable(product, provider, _today(work))) is not None:
        raise Conflict(problem)
    if wallet.unit != product.unit:
        raise Conflict(
            _(
                "%(product)s costs %(unit)s, and wallet %(wallet)s holds %(other)s: choose another one.",
                product=product.name,
                unit=product.unit,
                wallet=wallet.number,
                other=wallet.unit,
            ),
            field="wallet",
        )
    payee = provider_wallet(work.session, provider.id, product.unit)
    if payee is None:
        raise Conflict(
            _("%(name)s has no open wallet in %(unit)s. Open one first.", name=provider.name, unit=product.unit)
        )
    moved = move(
        work,
        kind=WalletKind.SALE,
        from_id=wallet.id,
        to_id=payee.id,
        amount_minor=product.price_minor,
        key=f"sale:{key}",
        note=f"{product.name} ({product.code})",
        seen=seen,
    )
    if (again := _sold_before(work, key, product_id, wallet_id)) is not None:  # by who held the wallets first
        return again
    sale = work.add(
        ProductSale(
            product_id=product.id,
            wallet_id=wallet.id,
            unit=product.unit,
            price_minor=product.price_minor,
            transaction_id=moved.id,
        )
    )
    after = {"product_id": product.id, "wallet_id": wallet.id, "unit": product.unit, "price_minor": product.price_minor}
    work.record(
        Event.PRODUCT_SOLD,
        sale,
        after=after,
        product=product.code,
        wallet_number=wallet.number,
        wallet_transaction=moved.id,
    )
    return sale


def _sold_before(work: Work, key: str, product_id: int, wallet_id: int) -> ProductSale | None:
    same = select(ProductSale).join(WalletTransaction, WalletTransaction.id == ProductSale.transaction_id)
    found: ProductSale | None = work.one(same.where(WalletTransaction.key == f"sale:{key}"))
    if found is not None and (found.product_id, found.wallet_id) != (product_id, wallet_id):
        raise Conflict("This form was used for another sale already. Open it again.")
    return found


def _values(
    name: str, price_minor: int, valid_from: dt.date, valid_to: dt.date | None, description: str | None
) -> dict[str, Any]:
    shown = " ".join(name.split())
    if not shown or len(shown) > NAME_LENGTH or not shown.isprintable() or mask_pan_in_text(shown) != shown:
        raise Invalid(_("Write a name of at most %(most)s characters.", most=NAME_LENGTH), field="name")
    if not 0 < price_minor <= MAX_MINOR:
        raise Invalid("Write a price above zero.", field="price")
    if valid_to is not None and valid_to < valid_from:
        raise Invalid("The last day lies before the first.", field="valid_to")
    words = mask_pan_in_text((description or "").strip())
    if len(words) > DESCRIPTION_LENGTH:
        raise Invalid(_("Write at most %(most)s characters.", most=DESCRIPTION_LENGTH), field="description")
    return {
        "name": shown,
        "price_minor": price_minor,
        "valid_from": valid_from,
        "valid_to": valid_to,
        "description": words or None,
    }


def _today(work: Work) -> dt.date:
    return work.now.astimezone(current_settings().zone).date()
