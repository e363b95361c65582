"""What the pages of anti-fraud share: names of what is blocked, and what is known of somebody, with its addresses."""

from collections.abc import Iterable
from typing import Any

from flask import current_app, url_for

from payadmin.db import db, utcnow
from payadmin.kernel.text import Text
from payadmin.models.parties import Customer, Organization
from payadmin.models.payments import DISPLAY_STATUS, Payment
from payadmin.models.risk import Block, BlockTarget
from payadmin.models.wallets import Wallet, WalletTransaction
from payadmin.permissions import Permission
from payadmin.queries.risk import Known, Named, names_of
from payadmin.views import ui
from payadmin.views.columns import PAGE_OF, enum_cell, masked, money_text
from payadmin.views.language import say
from payadmin.views.parties import identified_words
from payadmin.views.security import current_actor

PAGE_MODELS: dict[BlockTarget, type[Any]] = {
    BlockTarget.CUSTOMER: Customer,
    BlockTarget.ORGANIZATION: Organization,
    BlockTarget.WALLET: Wallet,
    BlockTarget.PAYMENT: Payment,
    BlockTarget.WALLET_TRANSACTION: WalletTransaction,
}
Key = tuple[BlockTarget, int]


def address_of(target: BlockTarget, row_id: int) -> str | None:
    """Where something is shown, for those who may open its page."""
    view = current_app.extensions[PAGE_OF].get(PAGE_MODELS[target])
    return f"{view.address}{row_id}/" if view is not None and view.is_accessible() else None


def titles_of(wanted: Iterable[Key]) -> dict[Key, str]:
    """What people read for each: an ID with the name of whose it is, masked where it is a person's."""
    show = masked("name")
    found = names_of(db.session(), wanted)
    return {key: _title(key[0], named, show) for key, named in found.items()}


def _title(target: BlockTarget, named: Named, show: Any) -> str:
    name = show(named.name) if named.is_person else named.name
    title = f"{say(Text(target.value))} {named.title}" if target is BlockTarget.WALLET_TRANSACTION else named.title
    return f"{title} ({name})" if name else title


def known_words(known: Known) -> dict[str, Any]:
    """What `risk/_known.html` needs."""
    actor, session, now = current_actor(), db.session(), utcnow()
    del session
    customer, organization = known.customer, known.organization
    show_name, show_mail = masked("name"), masked("email")
    return {
        "known": known,
        "who": None if customer is None else show_name(customer.name),
        "mail": None if customer is None or not customer.email else show_mail(customer.email),
        "identification": None if customer is None else ui.badge(*identified_words(customer.identification)),
        "documents": ", ".join(say(Text(kind.value)) for kind in known.documents),
        "is_blocked": any(block.holds_at(now) for block in known.blocks),
        "who_url": _owner_url(customer, organization),
        "activity_url": _activity_url(customer, organization),
        "money": money_text,
        "cell": enum_cell,
        "payment_words": {status: say(Text(word)) for status, word in DISPLAY_STATUS.items()},
        "may_payments": actor.may(Permission.PAYMENTS_PAYMENT_READ),
        "may_wallets": actor.may(Permission.WALLETS_WALLET_READ),
        "may_applications": actor.may(Permission.FRAUD_APPLICATION_DECIDE),
        "record_url": address_of,
        "TARGET": BlockTarget,
    }


def _owner_url(customer: Customer | None, organization: Organization | None) -> str | None:
    if customer is not None:
        return address_of(BlockTarget.CUSTOMER, customer.id)
    return address_of(BlockTarget.ORGANIZATION, organization.id) if organization is not None else None


def _activity_url(customer: Customer | None, organization: Organization | None) -> str | None:
    if not current_actor().may(Permission.FRAUD_BLOCK_WRITE):
        return None
    if customer is not None:
        return url_for("blocks.activity_view", customer=customer.id)
    return url_for("blocks.activity_view", organization=organization.id) if organization is not None else None


def block_key(block: Block) -> Key:
    """Which thing a block is about."""
    return block.target, block.target_id
