"""The 28 journal templates as pure functions, and J00 for corrections by hand (domain 7.2).

An amount goes in, balanced legs come out.

A `Recipe` that does not balance in every unit cannot be built, whoever builds it; the database refuses it again.
Amounts are minor units above zero; commissions, fees and spreads may be zero and then leave no leg.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from payadmin.kernel.money import MAX_MINOR
from payadmin.kernel.text import _
from payadmin.ledger.chart import Account, cash_desk, hold, provider_clearing, wallet


class Unbalanced(ValueError):
    """Legs that are no journal: this is a bug in the code that builds them, never a user's mistake."""


@dataclass(frozen=True, slots=True)
class Leg:
    """One line of a journal: debits above zero, credits below."""

    account: Account
    minor: int


@dataclass(frozen=True, slots=True)
class Recipe:
    """The balanced legs of one template, in the order in which the template names them.

    Raises:
        Unbalanced: fewer than two legs, a leg of zero, an account that stands there twice, or a unit whose debits and
            credits differ.
    """

    template: str
    legs: tuple[Leg, ...]

    def __post_init__(self) -> None:
        if self.template not in TITLES:
            raise Unbalanced(f"there is no template {self.template!r}")
        accounts = [leg.account for leg in self.legs]
        if len(accounts) < 2 or len(set(accounts)) < len(accounts):  # noqa: PLR2004 - from somewhere to somewhere
            raise Unbalanced(f"{self.template} needs two accounts or more, each once")
        sums: dict[str, int] = {}
        for leg in self.legs:
            if type(leg.minor) is not int or not 0 < abs(leg.minor) <= MAX_MINOR:
                raise Unbalanced(f"{self.template} moves {leg.minor!r}")
            sums[leg.account.unit] = sums.get(leg.account.unit, 0) + leg.minor
        if wrong := {unit: rest for unit, rest in sums.items() if rest}:
            raise Unbalanced(f"{self.template} does not balance: {wrong}")

    def reversed(self, template: str | None = None) -> "Recipe":
        """The same legs the other way round: the only correction there is."""
        return Recipe(template or self.template, tuple(Leg(leg.account, -leg.minor) for leg in self.legs))


TITLES: Final[dict[str, str]] = {
    "J01": _("Payment paid"),
    "J02": _("Provider fee"),
    "J03": _("Refund reserved"),
    "J04": _("Refund succeeded"),
    "J05": _("Refund came to nothing"),
    "J06": _("Payment voided"),
    "J07": _("Settlement to bank"),
    "J08": _("Chargeback opened"),
    "J09": _("Chargeback lost"),
    "J10": _("Chargeback won"),
    "J11": _("Cash top-up"),
    "J12": _("Cash withdrawal"),
    "J13": _("Cash input"),
    "J14": _("Cash collection"),
    "J15": _("Investment"),
    "J16": _("Cash short"),
    "J17": _("Cash over"),
    "J18": _("Redeem submitted"),
    "J19": _("Redeem paid by bank"),
    "J20": _("Redeem paid in cash"),
    "J21": _("Redeem cancelled"),
    "J22": _("Transfer"),
    "J23": _("Cashback"),
    "J24": _("Exchange"),
    "J25": _("Money set aside"),
    "J26": _("Executed from what was set aside"),
    "J27": _("Given back from what was set aside"),
    "J28": _("Bonus units issued"),
    "J00": _("Manual adjustment"),
}


def _make(template: str, amount: int, *legs: tuple[Account, int], extra: int = 0) -> Recipe:
    """A recipe without its empty legs.

    Args:
        amount: what the template moves; above zero.
        extra: a commission, fee or spread; not below zero.
    """
    if amount <= 0 or extra < 0:
        raise Unbalanced(f"{template} moves {amount} with {extra} on top")
    return Recipe(template, tuple(Leg(account, minor) for account, minor in legs if minor))


def _income(unit: str) -> Account:
    return Account("4010", unit)


# ---- payments ------------------------------------------------------------------------------------------------------


def payment_paid(*, unit: str, provider: str, merchant: str, amount: int, commission: int = 0) -> Recipe:
    """J01: the provider holds the money; the merchant may spend it, less our commission."""
    legs = (
        (provider_clearing(provider, unit), amount),
        (wallet(merchant, unit), commission - amount),
        (_income(unit), -commission),
    )
    return _make("J01", amount, *legs, extra=commission)


def provider_fee(*, unit: str, provider: str, fee: int) -> Recipe:
    """J02: what the provider keeps for itself."""
    return _make("J02", fee, (Account("5010", unit), fee), (provider_clearing(provider, unit), -fee))


def refund_reserved(*, unit: str, merchant: str, amount: int, returned: int = 0) -> Recipe:
    """J03: a refund was requested, so the merchant may not spend that any more (PY4).

    Args:
        returned: what of it is our commission, given back because the contract says so.
    """
    legs = ((wallet(merchant, unit), amount - returned), (_income(unit), returned), (Account("2110", unit), -amount))
    return _make("J03", amount, *legs, extra=returned)


def refund_succeeded(*, unit: str, provider: str, amount: int) -> Recipe:
    """J04: the provider gave the money back."""
    return _make("J04", amount, (Account("2110", unit), amount), (provider_clearing(provider, unit), -amount))


def refund_failed(*, unit: str, merchant: str, amount: int, returned: int = 0) -> Recipe:
    """J05: a refund failed, was rejected or expired; the exact reversal of J03."""
    reserved = refund_reserved(unit=unit, merchant=merchant, amount=amount, returned=returned)
    return Recipe("J05", tuple(Leg(leg.account, -leg.minor) for leg in reversed(reserved.legs)))


def payment_voided(*, unit: str, provider: str, merchant: str, amount: int, commission: int = 0) -> Recipe:
    """J06: the exact reversal of J01."""
    paid = payment_paid(unit=unit, provider=provider, merchant=merchant, amount=amount, commission=commission)
    return paid.reversed("J06")


def settled(*, unit: str, provider: str, amount: int, fee: int = 0) -> Recipe:
    """J07: the provider paid out, less its fee (which J02 books)."""
    legs = ((Account("1010", unit), amount - fee), (provider_clearing(provider, unit), fee - amount))
    return _make("J07", amount, *legs, extra=fee)


def chargeback_opened(*, unit: str, provider: str, amount: int) -> Recipe:
    """J08: the provider took the money back while the dispute runs."""
    return _make("J08", amount, (Account("1290", unit), amount), (provider_clearing(provider, unit), -amount))


def chargeback_lost(*, unit: str, merchant: str | None, amount: int) -> Recipe:
    """J09: the merchant pays; None: we absorb it."""
    payer = Account("5040", unit) if merchant is None else wallet(merchant, unit)
    return _make("J09", amount, (payer, amount), (Account("1290", unit), -amount))


def chargeback_won(*, unit: str, provider: str, amount: int) -> Recipe:
    """J10: the provider gives the disputed money back."""
    return _make("J10", amount, (provider_clearing(provider, unit), amount), (Account("1290", unit), -amount))


# ---- cash ----------------------------------------------------------------------------------------------------------


def cash_top_up(*, unit: str, desk: str, owner: str, amount: int, commission: int = 0) -> Recipe:
    """J11: cash comes in at a desk; the wallet gets it, less our commission."""
    legs = ((cash_desk(desk, unit), amount), (wallet(owner, unit), commission - amount), (_income(unit), -commission))
    return _make("J11", amount, *legs, extra=commission)


def cash_withdrawal(*, unit: str, desk: str, owner: str, amount: int, commission: int = 0) -> Recipe:
    """J12: cash goes out at a desk; the wallet pays it and our commission."""
    legs = ((wallet(owner, unit), amount + commission), (cash_desk(desk, unit), -amount), (_income(unit), -commission))
    return _make("J12", amount, *legs, extra=commission)


def cash_input(*, unit: str, amount: int, from_owner: bool = False) -> Recipe:
    """J13: money from the bank, or from the owner, becomes cash in transit; the CFO has confirmed it."""
    source = Account("3010" if from_owner else "1010", unit)
    return _make("J13", amount, (Account("1120", unit), amount), (source, -amount))


def cash_collection(*, unit: str, desk: str, amount: int) -> Recipe:
    """J14: cash is taken from a desk."""
    return _make("J14", amount, (Account("1120", unit), amount), (cash_desk(desk, unit), -amount))


def investment(*, unit: str, desk: str, amount: int) -> Recipe:
    """J15: a desk gets cash."""
    return _make("J15", amount, (cash_desk(desk, unit), amount), (Account("1120", unit), -amount))


def cash_short(*, unit: str, desk: str, amount: int) -> Recipe:
    """J16: the accountant accepts that a desk holds less than it should."""
    return _make("J16", amount, (Account("5050", unit), amount), (cash_desk(desk, unit), -amount))


def cash_over(*, unit: str, desk: str, amount: int) -> Recipe:
    """J17: the accountant accepts that a desk holds more than it should."""
    return _make("J17", amount, (cash_desk(desk, unit), amount), (Account("4090", unit), -amount))


# ---- wallets -------------------------------------------------------------------------------------------------------


def redeem_submitted(*, unit: str, owner: str, amount: int, commission: int = 0) -> Recipe:
    """J18: the client asked for a withdrawal; amount and commission are set aside (RD1)."""
    whole = amount + commission
    return _make("J18", amount, (wallet(owner, unit), whole), (hold(owner, unit), -whole), extra=commission)


def redeem_paid_by_bank(*, unit: str, owner: str, amount: int, commission: int = 0) -> Recipe:
    """J19: what was set aside was paid out by the bank."""
    legs = ((hold(owner, unit), amount + commission), (Account("1010", unit), -amount), (_income(unit), -commission))
    return _make("J19", amount, *legs, extra=commission)


def redeem_paid_in_cash(*, unit: str, desk: str, owner: str, amount: int, commission: int = 0) -> Recipe:
    """J20: what was set aside was paid out at a desk."""
    legs = ((hold(owner, unit), amount + commission), (cash_desk(desk, unit), -amount), (_income(unit), -commission))
    return _make("J20", amount, *legs, extra=commission)


def redeem_cancelled(*, unit: str, owner: str, amount: int, commission: int = 0) -> Recipe:
    """J21: the withdrawal was cancelled; all of it goes back."""
    whole = amount + commission
    return _make("J21", amount, (hold(owner, unit), whole), (wallet(owner, unit), -whole), extra=commission)


def transfer(*, unit: str, payer: str, payee: str, amount: int, commission: int = 0) -> Recipe:
    """J22: from wallet to wallet; the payer pays the commission on top."""
    legs = ((wallet(payer, unit), amount + commission), (wallet(payee, unit), -amount), (_income(unit), -commission))
    return _make("J22", amount, *legs, extra=commission)


def cashback(*, unit: str, owner: str, amount: int, merchant: str | None = None) -> Recipe:
    """J23: a reward, paid by us or by the merchant whose profile says so."""
    payer = Account("5020", unit) if merchant is None else wallet(merchant, unit)
    return _make("J23", amount, (payer, amount), (wallet(owner, unit), -amount))


def exchange(
    *, owner: str, sold_unit: str, sold: int, bought_unit: str, bought: int, spread: int = 0, commission: int = 0
) -> Recipe:
    """J24: one unit for another; `spread`, in the bought unit, is ours. Each unit balances by itself.

    A contract may ask for a commission on top, in the unit that is sold.
    """
    legs = (
        (wallet(owner, sold_unit), sold + commission),
        (Account("9010", bought_unit), bought),
        (Account("9010", sold_unit), -sold),
        (wallet(owner, bought_unit), spread - bought),
        (Account("4020", bought_unit), -spread),
        (_income(sold_unit), -commission),
    )
    if commission < 0 or min(sold, bought - spread) <= 0 or sold_unit == bought_unit:
        raise Unbalanced(f"J24 exchanges {sold} {sold_unit} for {bought} {bought_unit} less {spread}")
    return _make("J24", sold, *legs, extra=spread)


def set_aside(*, unit: str, owner: str, amount: int) -> Recipe:
    """J25: money waits for a decision (over a limit) or for an answer (a void on its way)."""
    return _make("J25", amount, (wallet(owner, unit), amount), (hold(owner, unit), -amount))


def executed(what: Recipe) -> Recipe:
    """J26: what waited is done after all: `what` with its payers' wallets replaced by what was set aside of them."""
    return Recipe(
        "J26",
        tuple(
            Leg(hold(leg.account.owner, leg.account.unit), leg.minor)
            if leg.account.number == "2010" and leg.minor > 0
            else leg
            for leg in what.legs
        ),
    )


def given_back(*, unit: str, owner: str, amount: int) -> Recipe:
    """J27: what waited is not done; the money may be spent again."""
    return _make("J27", amount, (hold(owner, unit), amount), (wallet(owner, unit), -amount))


def bonus_issued(*, unit: str, owner: str, amount: int) -> Recipe:
    """J28: bonus units come into being."""
    return _make("J28", amount, (Account("9020", unit), amount), (wallet(owner, unit), -amount))


def adjusted(*, unit: str, owner: str, amount: int, is_less: bool = False) -> Recipe:
    """J00: a wallet is corrected by hand, against suspense; a second person has agreed."""
    sign = 1 if is_less else -1
    return _make("J00", amount, (wallet(owner, unit), sign * amount), (Account("2190", unit), -sign * amount))


TEMPLATES: Final[dict[str, Callable[..., Any]]] = dict(
    zip(
        TITLES,
        (
            payment_paid, provider_fee, refund_reserved, refund_succeeded, refund_failed, payment_voided, settled,
            chargeback_opened, chargeback_lost, chargeback_won, cash_top_up, cash_withdrawal, cash_input,
            cash_collection, investment, cash_short, cash_over, redeem_submitted, redeem_paid_by_bank,
            redeem_paid_in_cash, redeem_cancelled, transfer, cashback, exchange, set_aside, executed, given_back,
            bonus_issued, adjusted,
        ),
        strict=True,
    )
)  # fmt: skip
