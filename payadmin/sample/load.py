"""The sample history into a database: in transactions of a few thousand rows, and never twice."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final, cast

from sqlalchemy import Connection, Engine, Table, insert, select

from payadmin.audit import Event
from payadmin.models.audit import AuditEvent
from payadmin.models.parties import Customer, Organization, OrganizationKind
from payadmin.models.payments import Payment, PaymentEvent, PaymentMethod, Refund, Unit
from payadmin.models.subscriptions import Subscription
from payadmin.reference import add_missing, method_rows
from payadmin.sample.mapping import (
    SamplePayment,
    sample_payments,
    series_values,
    subscription_id,
    transaction_id,
)
from payadmin.sample.source import LAST_ROW, RECENT_FROM_ROW, Story, read_story

CHUNK: Final = 4_000
Progress = Callable[[int, int], None]
_LAST_BEFORE_RECENT: Final = RECENT_FROM_ROW - 1

_SCALE: Final = 2  # of every currency in the file; names are fixed here because ISO 4217 has dropped the kuna
_UNITS: Final = {
    "AUD": "Australian dollar",
    "CAD": "Canadian dollar",
    "CNY": "Renminbi yuan",
    "CZK": "Czech koruna",
    "DKK": "Danish krone",
    "EUR": "Euro",
    "GBP": "Pound sterling",
    "HKD": "Hong Kong dollar",
    "HRK": "Croatian kuna",
    "HUF": "Hungarian forint",
    "MYR": "Malaysian ringgit",
    "NOK": "Norwegian krone",
    "PKR": "Pakistan rupee",
    "PLN": "Polish zloty",
    "QAR": "Qatari riyal",
    "RON": "Romanian leu",
    "SEK": "Swedish krona",
    "SGD": "Singapore dollar",
    "USD": "US dollar",
}
MERCHANT, PARTNER = OrganizationKind.MERCHANT, OrganizationKind.PARTNER

_AUDIT = cast("Table", AuditEvent.__table__)
_CUSTOMER = cast("Table", Customer.__table__)
_EVENT = cast("Table", PaymentEvent.__table__)
_METHOD = cast("Table", PaymentMethod.__table__)
_ORGANIZATION = cast("Table", Organization.__table__)
_PAYMENT = cast("Table", Payment.__table__)
_REFUND = cast("Table", Refund.__table__)
_SUBSCRIPTION = cast("Table", Subscription.__table__)
_UNIT = cast("Table", Unit.__table__)


def load_sample(engine: Engine, *, full: bool = False, progress: Progress = lambda _done, _total: None) -> int:
    """Bring the sample into the database and answer how many payments were new; run again, it adds what is missing.

    Args:
        full: all 176,262 payments instead of the newest 19,663.
        progress: told how many payments of how many are there, after each chunk.
    """
    spans = [(RECENT_FROM_ROW, LAST_ROW)] + ([(1, _LAST_BEFORE_RECENT)] if full else [])
    with engine.connect() as connection:
        missing = [span for span in spans if not _is_there(connection, span[1])]
    if not missing:
        return 0
    story = read_story()
    total = story.payments if full else story.recent_payments
    done = 0 if len(missing) == len(spans) else story.recent_payments
    added = 0
    loader = _Loader(engine, story)
    for first, last in missing:
        for chunk in _chunks(sample_payments(story, first=first, last=last)):
            added += loader.load(chunk, last=transaction_id(last))
            done += len(chunk)
            progress(done, total)
    return added


def _is_there(connection: Connection, number: int) -> bool:
    """Each span ends with a payment, and is loaded in order: where its last payment is, all are."""
    found = select(_PAYMENT.c.id).where(_PAYMENT.c.transaction_id == transaction_id(number))
    return connection.scalar(found) is not None


def _chunks(payments: Iterable[SamplePayment]) -> Iterator[list[SamplePayment]]:
    rest = iter(payments)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


class _Loader:
    """Writes chunks and remembers the ids of the parties it has met."""

    def __init__(self, engine: Engine, story: Story) -> None:
        self._engine = engine
        self._story = story
        self._organizations: dict[str, int] = {}
        self._customers: dict[str, int] = {}
        self._subscriptions: dict[str, int] = {}

    def load(self, chunk: list[SamplePayment], *, last: str) -> int:
        """Write a chunk in one transaction, without the payments that are there already."""
        with self._engine.connect().execution_options(immediate=True) as connection, connection.begin():
            if not self._organizations:
                self._prepare(connection)
            there = self._ids(connection, chunk)
            new = [payment for payment in chunk if payment.values["transaction_id"] not in there]
            if not new:
                return 0
            self._add_parties(connection, new)
            connection.execute(insert(_PAYMENT), [self._payment_values(payment) for payment in new])
            self._add_history(connection, new)
            if new[-1].values["transaction_id"] == last:
                keys = {"source": "sample data", "through": last}
                values = {"actor_name": "system", "event": str(Event.IMPORT_FINISHED), "keys": keys}
                connection.execute(insert(_AUDIT), [values])
            return len(new)

    def _prepare(self, connection: Connection) -> None:
        for key, row_id, known in (
            (_ORGANIZATION.c.name, _ORGANIZATION.c.id, self._organizations),
            (_CUSTOMER.c.external_id, _CUSTOMER.c.id, self._customers),
            (_SUBSCRIPTION.c.subscription_id, _SUBSCRIPTION.c.id, self._subscriptions),
        ):
            known.update(connection.execute(select(key, row_id)).all())
        units = [{"code": code, "name": name, "scale": _SCALE} for code, name in _UNITS.items()]
        add_missing(connection, _UNIT, units)
        add_missing(connection, _METHOD, method_rows())

    def _ids(self, connection: Connection, chunk: list[SamplePayment]) -> dict[str, int]:
        first, last = chunk[0].values["transaction_id"], chunk[-1].values["transaction_id"]
        there = select(_PAYMENT.c.transaction_id, _PAYMENT.c.id).where(_PAYMENT.c.transaction_id.between(first, last))
        return dict(connection.execute(there).all())

    def _add_parties(self, connection: Connection, payments: list[SamplePayment]) -> None:
        organizations: dict[str, dict[str, Any]] = {}
        for payment in payments:
            for name, kind in ((payment.directorate, PARTNER), (payment.merchant, MERCHANT)):
                if name not in self._organizations and name not in organizations:
                    at = payment.values["created_at"]
                    organizations[name] = {"name": name, "kind": kind, "created_at": at, "updated_at": at}
        _add(connection, _ORGANIZATION, "name", organizations, self._organizations)

        customers: dict[str, dict[str, Any]] = {}
        for payment in payments:
            external_id = payment.customer["external_id"]
            if external_id not in self._customers and external_id not in customers:
                values = dict(payment.customer, organization_id=self._organizations[payment.directorate])
                customers[external_id] = values
        _add(connection, _CUSTOMER, "external_id", customers, self._customers)

        subscriptions: dict[str, dict[str, Any]] = {}
        for payment in payments:
            values = series_values(self._story.series[payment.series]) if payment.series else {}
            if values and values["subscription_id"] not in self._subscriptions:
                values["customer_id"] = self._customers[payment.customer["external_id"]]
                values["merchant_id"] = self._organizations[payment.merchant]
                subscriptions[values["subscription_id"]] = values
        _add(connection, _SUBSCRIPTION, "subscription_id", subscriptions, self._subscriptions)

    def _payment_values(self, payment: SamplePayment) -> dict[str, Any]:
        series = subscription_id(payment.series) if payment.series else None
        return payment.values | {
            "merchant_id": self._organizations[payment.merchant],
            "customer_id": self._customers[payment.customer["external_id"]],
            "subscription_id": None if series is None else self._subscriptions[series],
        }

    def _add_history(self, connection: Connection, payments: list[SamplePayment]) -> None:
        ids = self._ids(connection, payments)
        events: list[dict[str, Any]] = []
        refunds: list[dict[str, Any]] = []
        for payment in payments:
            payment_id = {"payment_id": ids[payment.values["transaction_id"]]}
            events += [event | payment_id for event in payment.events]
            refunds += [refund | payment_id for refund in payment.refunds]
        connection.execute(insert(_EVENT), events)
        if refunds:
            connection.execute(insert(_REFUND), refunds)


def _add(
    connection: Connection, table: Table, key: str, rows: dict[str, dict[str, Any]], known: dict[str, int]
) -> None:
    if rows:
        added = insert(table).returning(table.c[key], table.c.id)
        known.update(connection.execute(added, list(rows.values())).all())
