"""The chart of accounts: which accounts exist, whose they are, and which may never be overdrawn (domain 7.1).

There is one account for each unit, and for each owner where the chart names one. Nothing here knows a database.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from payadmin.kernel.text import _

LONGEST_OWNER: Final = 64


class Kind(StrEnum):
    """What an account is to the business; it decides on which side its balance usually stands."""

    ASSET = "Asset"
    LIABILITY = "Liability"
    EQUITY = "Equity"
    INCOME = "Income"
    EXPENSE = "Expense"


class Owner(StrEnum):
    """Whose an account is; NOBODY: there is one for each unit."""

    NOBODY = ""
    DESK = "desk"
    PROVIDER = "provider"
    WALLET = "wallet"


@dataclass(frozen=True, slots=True)
class Head:
    """One line of the chart.

    Attributes:
        number: as accountants write it.
        guarded: whether the database refuses to let the account pass to its unusual side (I3).
    """

    number: str
    name: str
    kind: Kind
    owner: Owner = Owner.NOBODY
    guarded: bool = False

    @property
    def side(self) -> int:
        """1 when the account usually has more debits than credits, else -1."""
        return 1 if self.kind in {Kind.ASSET, Kind.EXPENSE} else -1

    @property
    def guard(self) -> int:
        """What the balance, multiplied by it, may not fall below: `side` of a guarded account, else 0."""
        return self.side if self.guarded else 0


CHART: Final[dict[str, Head]] = {
    head.number: head
    for head in (
        Head("1010", _("Bank"), Kind.ASSET),
        Head("1110", _("Cash desk"), Kind.ASSET, Owner.DESK, guarded=True),
        Head("1120", _("Money in transit"), Kind.ASSET, guarded=True),
        Head("1210", _("Provider clearing"), Kind.ASSET, Owner.PROVIDER),
        Head("1290", _("Dispute hold"), Kind.ASSET),
        Head("2010", _("Wallet"), Kind.LIABILITY, Owner.WALLET, guarded=True),
        Head("2020", _("Hold"), Kind.LIABILITY, Owner.WALLET, guarded=True),
        Head("2110", _("Refund payable"), Kind.LIABILITY, guarded=True),
        Head("2190", _("Suspense"), Kind.LIABILITY),
        Head("3010", _("Owner funding"), Kind.EQUITY),
        Head("4010", _("Commission income"), Kind.INCOME),
        Head("4020", _("FX spread income"), Kind.INCOME),
        Head("4090", _("Cash over"), Kind.INCOME),
        Head("5010", _("Provider fee"), Kind.EXPENSE),
        Head("5020", _("Cashback expense"), Kind.EXPENSE),
        Head("5040", _("Chargeback loss"), Kind.EXPENSE),
        Head("5050", _("Cash short"), Kind.EXPENSE),
        Head("9010", _("FX position"), Kind.ASSET),
        Head("9020", _("Unit issuance"), Kind.ASSET),
    )
}


@dataclass(frozen=True, slots=True)
class Account:
    """One account of the books: a line of the chart, in one unit, of one owner where the chart asks for one.

    Attributes:
        owner: "organization:12", "provider:simulator"; empty where the chart names none.
    """

    number: str
    unit: str
    owner: str = ""

    def __post_init__(self) -> None:
        head = CHART.get(self.number)
        if head is None:
            msg = f"the chart has no account {self.number!r}"
            raise ValueError(msg)
        if bool(self.owner) != (head.owner is not Owner.NOBODY) or len(self.owner) > LONGEST_OWNER:
            msg = f"{self.number} {head.name} {'has an owner' if head.owner else 'has no owner'}, not {self.owner!r}"
            raise ValueError(msg)
        if not self.unit:
            msg = "an account is kept in a unit"
            raise ValueError(msg)

    @property
    def code(self) -> str:
        """The account's own name, found by the database."""
        return ":".join(part for part in (self.number, self.owner, self.unit) if part)

    @property
    def head(self) -> Head:
        """Its line of the chart."""
        return CHART[self.number]


def wallet(owner: str, unit: str) -> Account:
    """What `owner` may spend."""
    return Account("2010", unit, owner)


def hold(owner: str, unit: str) -> Account:
    """What is set aside of the wallet of `owner`."""
    return Account("2020", unit, owner)


def provider_clearing(provider: str, unit: str) -> Account:
    """What a provider has taken for us and not settled yet."""
    return Account("1210", unit, provider_owner(provider))


def cash_desk(desk: str, unit: str) -> Account:
    """What lies in a cash desk."""
    return Account("1110", unit, f"desk:{desk}")


def provider_owner(code: str) -> str:
    """How a provider owns accounts."""
    return f"provider:{code}"


def organization(row_id: int) -> str:
    """How an organization owns accounts."""
    return f"organization:{row_id}"


def customer(row_id: int) -> str:
    """How a customer owns accounts."""
    return f"customer:{row_id}"
