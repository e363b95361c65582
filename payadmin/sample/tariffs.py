"""The demo's tariffs: rates of the ECB and of two exchange offices, contracts with versions, a cashback profile."""

import datetime as dt
import gzip
import hashlib
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final

from sqlalchemy import select

from payadmin.actions import records, tariffs, wallets
from payadmin.db import db, utcnow
from payadmin.kernel.rates import DayRates, OfficeRate, published_at, read_ecb
from payadmin.kernel.tariffs import ChargedTo, FundedBy, Term, TransactionType
from payadmin.models.parties import Organization, OrganizationKind
from payadmin.models.payments import Unit, UnitKind
from payadmin.models.tariffs import CashbackProfile, Contract, ExchangeRate
from payadmin.permissions import Permission
from payadmin.queries.tariffs import active_units
from payadmin.work import SYSTEM

FILE: Final = Path(__file__).parent / "ecb_eurofxref_hist.csv.gz"
DAYS: Final = 3 * 366
OFFICE_DAYS: Final = 30
# What an office takes of the ECB's rate, in parts per thousand; invented.
OFFICES: Final = {"Harbour Exchange": 985, "Old Town Exchange": 978}
OFFICE_UNITS: Final = ("USD", "GBP", "CHF")
UNIT: Final = "GBP"
MERCHANTS: Final = 6
# What the demo has besides its own currencies: some of those that the ECB quotes, e-money and bonus units.
CURRENCIES: Final = {
    "EUR": "Euro",
    "USD": "US dollar",
    "GBP": "Pound sterling",
    "CHF": "Swiss franc",
    "JPY": "Japanese yen",
    "SEK": "Swedish krona",
    "PLN": "Polish zloty",
    "CZK": "Czech koruna",
    "IDR": "Indonesian rupiah",
    "SGD": "Singapore dollar",
    "AUD": "Australian dollar",
    "CAD": "Canadian dollar",
}
POINTS: Final = "POINTS"
_K = TransactionType
RETAIL: Final = (
    Term(_K.PAYMENT, UNIT, 25_000, 20, min_minor=30, max_minor=50_00, returns_commission=True),
    Term(_K.BANK_WITHDRAWAL, UNIT, 0, 1_00, charged_to=ChargedTo.PAYER, limit_single_minor=5_000_00),
)
RETAIL_NEXT: Final = (
    Term(_K.PAYMENT, UNIT, 22_500, 20, min_minor=25, max_minor=45_00, returns_commission=True),
    RETAIL[1],
    Term(_K.TRANSFER, UNIT, 5_000, charged_to=ChargedTo.PAYER, limit_day_minor=20_000_00),
)
LARGE: Final = (Term(_K.PAYMENT, UNIT, 12_000, max_minor=25_00), Term(_K.PAYMENT, "EUR", 14_000, 10))


def load_tariffs(*, full: bool = False, progress: Callable[[int, int], None] | None = None) -> None:
    """Add what is missing; a second time nothing.

    Args:
        full: all days of the ECB since 1999 instead of the last three years.
        progress: told how far it is.
    """
    step = progress or (lambda _done, _total: None)
    data = FILE.read_bytes()
    days = sorted(read_ecb(gzip.decompress(data).decode()), key=lambda each: each.day)
    if not full:
        days = [each for each in days if each.day > days[-1].day - dt.timedelta(days=DAYS)]
    _add_units()
    known = db.session.scalar(select(ExchangeRate.id).limit(1)) is not None
    if not known:
        tariffs.import_ecb(SYSTEM, days=days, sha256=hashlib.sha256(data).hexdigest(), is_sure=True)
        for office, permille in OFFICES.items():
            _add_office(office, permille, days[-OFFICE_DAYS:])
    step(1, 2)
    if db.session.scalar(select(Contract.id).limit(1)) is None:
        _add_contracts()
    step(2, 2)


def _add_units() -> None:
    known = set(db.session.scalars(select(Unit.code)))
    for code, name in CURRENCIES.items():
        if code not in known:
            tariffs.add_unit(SYSTEM, code=code, name=name, kind=UnitKind.FIAT)
    if POINTS not in known:
        tariffs.add_unit(SYSTEM, code="EGBP", name="E-pound", kind=UnitKind.E_MONEY, scale=2, reference="GBP")
        tariffs.add_unit(SYSTEM, code="COIN", name="Coins of the house", kind=UnitKind.E_MONEY, scale=6)
        points = tariffs.add_unit(SYSTEM, code=POINTS, name="Bonus points", kind=UnitKind.BONUS, scale=0)
        shop = select(Organization.id).where(Organization.kind == OrganizationKind.MERCHANT).order_by(Organization.id)
        owner = db.session.scalars(shop.limit(1)).first()
        if owner is not None:
            why = "To start with"
            wallets.issue_bonus(SYSTEM, points, organization_id=owner, amount_minor=10_000, reason=why, key="demo")


def _add_office(name: str, permille: int, days: Sequence[DayRates]) -> None:
    values = {"name": name, "kind": OrganizationKind.EXCHANGE_OFFICE}
    if db.session.scalar(select(Organization.id).where(Organization.name == name)) is None:
        write = Permission.PARTIES_ORGANIZATION_WRITE
        records.create_record(SYSTEM, Organization, permission=write, values=values)
    units = active_units(db.session())
    rates = [
        OfficeRate(
            0,
            "EUR",
            code,
            (each.rates[code] * permille / Decimal(1000)).quantize(Decimal("0.0001")),
            published_at(each.day),
        )
        for each in days
        for code in OFFICE_UNITS
        if code in each.rates and code in units
    ]
    tariffs.import_office_rates(SYSTEM, office=name, rates=rates, sha256="invented")


def _add_contracts() -> None:
    retail = tariffs.open_contract(SYSTEM, code="RETAIL-1", name="Retail merchants", terms=RETAIL, note="The first one")
    seen = db.session.get_one(Contract, retail).version
    later = utcnow() + dt.timedelta(days=30)
    note = "Cheaper cards, and transfers"
    tariffs.add_version(SYSTEM, retail, terms=RETAIL_NEXT, version=seen, valid_from=later, note=note)
    large = tariffs.open_contract(SYSTEM, code="LARGE-1", name="Large merchants", terms=LARGE, note="By agreement")
    wanted = select(Organization.id).where(Organization.kind == OrganizationKind.MERCHANT)
    merchants = db.session.scalars(wanted.order_by(Organization.id).limit(MERCHANTS)).all()
    for place, organization_id in enumerate(merchants):
        tariffs.assign_contract(SYSTEM, organization_id, contract_id=large if place < 2 else retail)  # noqa: PLR2004
    if db.session.scalar(select(CashbackProfile.id).limit(1)) is None and merchants:
        profile = tariffs.save_profile(
            SYSTEM,
            name="One percent back",
            unit=UNIT,
            rate_ppm=10_000,
            cap_minor=5_00,
            cap_month_minor=20_00,
            funded_by=FundedBy.SYSTEM,
            valid_from=utcnow().date(),
            valid_to=None,
        )
        tariffs.assign_profile(SYSTEM, merchants[-1], profile_id=profile)
