"""What the pages of redeem requests share: whose a request is, how wallets are looked up, filters and forms."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from flask import url_for
from sqlalchemy import or_, select
from wtforms import Form, HiddenField, StringField
from wtforms.validators import InputRequired, Length

from payadmin.db import db
from payadmin.kernel.money import MAX_SCALE
from payadmin.models.parties import Customer
from payadmin.models.redeem import HOLDER_LENGTH, RedeemChannel, RedeemRequest
from payadmin.models.wallets import NOTE_LENGTH, REASON_LENGTH, Wallet, WalletStatus
from payadmin.queries.treasury import find_customers
from payadmin.views.columns import columns_of, label_of, masked, masks_personal_data, unit_scale
from payadmin.views.fields import LinkField, MoneyField, SelectField, no_cards, no_controls
from payadmin.views.filters import Active, LinkFilter, begins_with, row_id_of
from payadmin.views.wallets.shown import LONGEST_SEARCH, MOST_FOUND, KeyField, wallet_titles

SHORTEST_BEGINNING = 3


def customers_of(wallet_ids: Iterable[int]) -> dict[int, str]:
    """Whose wallets are, by the wallets' ids: the name as whoever looks may see it, and the Customer ID."""
    if not (ids := set(wallet_ids)):
        return {}
    wanted = select(Wallet.id, Customer.name, Customer.external_id).join(Customer, Customer.id == Wallet.customer_id)
    show = masked("name")
    rows = db.session.execute(wanted.where(Wallet.id.in_(ids)))
    return {row.id: f"{show(row.name)} ({row.external_id})" for row in rows}


def customer_of(wallet_id: Any) -> Any:
    """The name of the customer whose a wallet is, as part of another statement."""
    return (
        select(Customer.name)
        .join(Wallet, Wallet.customer_id == Customer.id)
        .where(Wallet.id == wallet_id)
        .scalar_subquery()
    )


def found_wallets(typed: str) -> list[dict[str, object]]:
    """What the picker offers: wallets of customers, by what the customer says or by the number of the wallet.

    Phone, e-mail and codeword only whole; Customer ID, wallet and, for whoever may read names, the name by their
    beginning.
    """
    if not typed or len(typed) > LONGEST_SEARCH or not typed.isprintable():
        return []
    session = db.session()
    ids = {each.id for each in find_customers(session, typed, ())}
    begins: list[Any] = []
    if len(typed) >= SHORTEST_BEGINNING:
        begins.append(begins_with(Customer.external_id, typed))
        if not masks_personal_data():
            begins.append(begins_with(Customer.name, typed))
    if begins:
        ids |= set(session.scalars(select(Customer.id).where(or_(*begins)).limit(MOST_FOUND)))
    where: list[Any] = [begins_with(Wallet.number, typed.upper())]
    if ids:
        where.append(Wallet.customer_id.in_(ids))
    if (row_id := row_id_of(typed)) is not None:
        where.append(Wallet.id == row_id)
    wanted = select(Wallet.id).where(or_(*where), Wallet.customer_id.is_not(None), Wallet.status != WalletStatus.CLOSED)
    found = session.scalars(wanted.order_by(Wallet.id).limit(MOST_FOUND)).all()
    titles = wallet_titles(set(found))
    return [{"id": row_id, "text": titles[row_id]} for row_id in found]


def wallets_of_customers(ids: set[int]) -> dict[int, str]:
    """The wallets of customers among these, with whose they are: nothing else can be chosen."""
    titles = wallet_titles(ids)
    wanted = select(Wallet.id).where(Wallet.id.in_(ids), Wallet.customer_id.is_not(None))
    return {row_id: titles[row_id] for row_id in db.session.scalars(wanted)}


class CustomerFilter(LinkFilter):
    """Requests of some customers, through their wallets."""

    def __init__(self) -> None:
        super().__init__(columns_of(Wallet)["customer"])

    def read(self, values: list[str]) -> Active:
        """The condition that a request is of a wallet of one of these customers."""
        found = super().read(values)
        return replace(found, where=RedeemRequest.wallet_id.in_(select(Wallet.id).where(found.where)))


class RedeemForm(Form):
    """Whose money, how much, and which way."""

    wallet = LinkField(
        "Wallet",
        [InputRequired("Choose one.")],
        titles=wallets_of_customers,
        address=lambda: url_for("redeem_requests.wallets_view"),
        description="The whole phone number or e-mail of the customer, or the beginning of a Customer ID or wallet.",
    )
    amount = MoneyField("Amount", [InputRequired("This is needed.")], description="In the currency of the wallet.")
    channel = SelectField("Paid by", [InputRequired("Choose one.")])
    holder_name = StringField(
        "Account holder",
        [Length(max=HOLDER_LENGTH), no_controls, no_cards],
        description="For a bank transfer, as the bank knows the name.",
    )
    account = StringField(
        "IBAN",
        [Length(max=60), no_controls],
        description="For a bank transfer. It is kept encrypted and shown masked.",
        render_kw={"autocomplete": "off", "spellcheck": "false"},
    )
    bank_code = StringField(
        "BIC", [Length(max=20), no_controls], description="Not needed.", render_kw={"autocomplete": "off"}
    )
    note = StringField("Note", [Length(max=NOTE_LENGTH), no_controls, no_cards])
    key = KeyField()
    seen_whole = HiddenField()
    seen_amount = HiddenField()

    def process(self, *args: Any, **kwargs: Any) -> None:
        """Read the amount with the decimals of the wallet, and offer both ways."""
        self.channel.choices = [(each.name, label_of(each)) for each in RedeemChannel]
        self.amount.scale = self._scale  # type: ignore[assignment]
        super().process(*args, **kwargs)

    def _scale(self) -> int:
        wallet = db.session.get(Wallet, self.wallet.data) if self.wallet.data else None
        return MAX_SCALE if wallet is None else unit_scale(wallet.unit) or 0

    @property
    def way(self) -> RedeemChannel:
        """The way that was chosen."""
        return RedeemChannel[str(self.channel.data)]

    def where_to(self) -> dict[str, str | None]:
        """What the use case takes about the account; nothing for cash, whatever stands in the fields."""
        if self.way is RedeemChannel.CASH_DESK:
            return {}
        names = ("holder_name", "account", "bank_code")
        return {name: self[name].data or None for name in names}


class ApproveForm(Form):
    """A yes to what was seen."""

    version = HiddenField()


class CancelForm(Form):
    """A no to what was seen, and why (RD2)."""

    version = HiddenField()
    reason = StringField(
        "Reason",
        [InputRequired("Say why."), Length(max=REASON_LENGTH), no_controls, no_cards],
        description="It stands beside the request for good.",
    )
