"""What payments cannot do without: the currencies of ISO 4217 and the methods of payment."""

from typing import Any, Final, cast

from sqlalchemy import Connection, Engine, Table, insert, select

from payadmin.models.checkout import ProviderMethod
from payadmin.models.payments import PaymentMethod, Unit
from payadmin.providers import CONNECTED

METHODS: Final = {
    "AMEX": "American Express",
    "APPLE_PAY": "Apple Pay",
    "BANK_TRANSFER": "Bank transfer",
    "CARD": "Card",
    "MASTERCARD": "Mastercard",
    "PAYPAL": "PayPal",
    "VISA": "Visa",
}


def load_reference(engine: Engine) -> None:
    """Add the currencies and methods that are missing; what is there stays as staff have named it."""
    from iso4217 import Currency  # noqa: PLC0415  (it parses the ISO table when imported: 40 ms)

    money = [currency for currency in Currency if currency.exponent is not None]
    units = [{"code": unit.code, "name": unit.currency_name, "scale": unit.exponent} for unit in money]
    with engine.connect().execution_options(immediate=True) as connection, connection.begin():
        add_missing(connection, cast("Table", Unit.__table__), units)
        add_missing(connection, cast("Table", PaymentMethod.__table__), method_rows())
        add_pairs(connection)


def method_rows() -> list[dict[str, Any]]:
    """The methods as rows."""
    return [{"code": code, "name": name} for code, name in METHODS.items()]


def add_pairs(connection: Connection) -> None:
    """Let every connected provider offer every method; a pair that is there stays as staff have switched it."""
    table = cast("Table", ProviderMethod.__table__)
    there = {tuple(row) for row in connection.execute(select(table.c.provider, table.c.method))}
    wanted = [(provider, code) for provider in sorted(CONNECTED) for code in METHODS]
    if missing := [{"provider": pair[0], "method": pair[1]} for pair in wanted if pair not in there]:
        connection.execute(insert(table), missing)


def add_missing(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert those of `rows` whose code the table does not have."""
    there = set(connection.scalars(select(table.c.code)))
    if missing := [row for row in rows if row["code"] not in there]:
        connection.execute(insert(table), missing)
