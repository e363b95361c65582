"""A large payment history, made inside the database: a million payments in a minute or two."""

from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Engine,
    Select,
    Text,
    case,
    cast,
    func,
    insert,
    literal,
    select,
    text,
    type_coerce,
)

from payadmin.db import UtcDateTime, make_engine, utcnow
from payadmin.migrations import upgrade
from payadmin.models.batches import Batch, BatchKind, BatchStatus
from payadmin.models.parties import Customer, Organization, OrganizationKind
from payadmin.models.payments import (
    Channel,
    Mode,
    Payment,
    PaymentMethod,
    PaymentStatus,
    PaymentType,
    Subscription,
    Unit,
)

Say = Callable[[str], None]
S = PaymentStatus

UNITS = {"EUR": 2, "GBP": 2, "USD": 2, "JPY": 0, "KWD": 3}
METHODS = {"card": "Card", "transfer": "Bank transfer", "wallet": "Wallet", "voucher": "Voucher"}
# Of a thousand payments: how many are in each state. The rest is paid.
STATES = {
    S.FAILED: 45,
    S.PARTIALLY_REFUNDED: 15,
    S.TOTALLY_REFUNDED: 20,
    S.CREATED: 4,
    S.PENDING: 3,
    S.UNKNOWN: 1,
    S.CANCELLED: 6,
    S.VOIDED: 8,
    S.CHARGED_BACK: 3,
}
FIRST = (
    "Ada",
    "Bruno",
    "Chiara",
    "Dmitri",
    "Elena",
    "Farid",
    "Grace",
    "Hugo",
    "Ines",
    "Jonas",
    "Kofi",
    "Lucia",
    "Marta",
)
LAST = ("Rossi", "Smith", "Novak", "Garcia", "Meyer", "Okafor", "Tanaka", "Dubois", "Silva", "Larsen", "Khan")
MONTHS_24 = 730 * 86_400
FIRST_NUMBER = 10_000_000
BATCHES = 200


def build(url: str, rows: int, say: Say) -> None:
    """Migrate the empty database at `url` and fill it with `rows` payments of the last 24 months.

    There is a customer for every five payments and a merchant for every three hundred; a third of either does most of
    the business. Ninety-eight of a hundred payments are live. Statistics and visibility are as autovacuum leaves them.
    """
    upgrade(url)
    engine = make_engine(url)
    customers, merchants = max(rows // 5, 10), max(rows // 300, 3)
    steps: tuple[tuple[str, Any, Select[Any]], ...] = (
        ("merchants", Organization, _merchants(merchants)),
        ("customers", Customer, _customers(customers)),
        ("subscriptions", Subscription, _subscriptions(customers // 2, customers, merchants)),
    )
    with engine.begin() as connection:
        _fast(connection)
        connection.execute(insert(Unit), [{"code": code, "name": code, "scale": n} for code, n in UNITS.items()])
        connection.execute(insert(PaymentMethod), [{"code": code, "name": name} for code, name in METHODS.items()])
        for label, model, made in steps:
            say(label)
            connection.execute(insert(model).from_select(list(made.selected_columns.keys()), made))
        connection.execute(insert(Batch).execution_options(explained=True), list(_batches()))
    seconds = _seconds(engine)
    chunk = 100_000
    for first in range(1, rows + 1, chunk):
        last = min(first + chunk - 1, rows)
        made = _payments(first, last, rows, customers, merchants, seconds)
        with engine.begin() as connection:
            _fast(connection)
            connection.execute(insert(Payment).from_select(list(made.selected_columns.keys()), made))
        say(f"payments: {last:,} of {rows:,}")
    say("statistics")
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for model in (Organization, Customer, Subscription, Batch, Payment):  # they came with their ids
                table = model.__tablename__
                connection.execute(
                    text(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}")
                )
            connection.execute(text("VACUUM ANALYZE"))
            connection.execute(text("CHECKPOINT"))
    else:
        with engine.begin() as connection:
            connection.execute(text("ANALYZE"))
    engine.dispose()


def _batches() -> Iterator[dict[str, Any]]:
    """Files that a fifth of the payments came from; every fourth registered subscriptions."""
    for number in range(1, BATCHES + 1):
        kind = BatchKind.SINGLE_PAYMENT if number % 4 else BatchKind.REGISTRATION
        yield {
            "id": number,
            "kind": kind,
            "file_name": f"charges-{number:04}.csv",
            "format": "CSV",
            "content_hash": f"{number:064}",
            "status": BatchStatus.PROCESSED,
            "merchant_id": 1,
            "method": "card",
            "provider": "simulator",
            "uploaded_by": "operator",
            "columns": [],
            "rows_total": 0,
        }


def transaction_id(number: int) -> str:
    """The reference of the payment made as number `number`."""
    return f"T-{FIRST_NUMBER + number}"


def _fast(connection: Connection) -> None:
    """Rows point only to rows that exist, so foreign keys need not be looked up one by one."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("SET LOCAL synchronous_commit = off"))


def _numbers(first: int, last: int) -> Any:
    """`first` to `last`, in SQL that both databases speak."""
    start = select(cast(literal(first), BigInteger).label("i")).cte("numbers", recursive=True)
    return start.union_all(select(start.c.i + 1).where(start.c.i < last))


def _mixed(i: Any, salt: int) -> Any:
    """A number below 999,983 that looks random, the same in every run."""
    turned = (i * (618_029 + 2 * salt) + salt * 15_485_863) % 999_983
    return (turned * turned + i // 7) % 999_983


def _one_of(i: Any, salt: int, words: tuple[Any, ...]) -> Any:
    return case(dict(enumerate(words)), value=_whole(_mixed(i, salt) % len(words)))


def _busy(i: Any, salt: int, most: int) -> Any:
    """A number from 1 to `most`; small ones come more often."""
    share = _mixed(i, salt)
    return 1 + _whole((share * share // 999_983) * most // 999_983)


def _whole(value: Any) -> Any:
    return cast(value, BigInteger)


def _words(value: Any) -> Any:
    return cast(value, Text)


def _merchants(count: int) -> Select[Any]:
    n = _numbers(1, count)
    name = literal("Merchant ") + _words(FIRST_NUMBER + n.c.i)
    return select(
        n.c.i.label("id"), name.label("name"), _is(OrganizationKind.MERCHANT, Organization.kind).label("kind")
    )


def _is(member: Any, attr: Any) -> Any:
    return literal(member, attr.type)


def _customers(count: int) -> Select[Any]:
    n = _numbers(1, count)
    first, last, number = _one_of(n.c.i, 1, FIRST), _one_of(n.c.i, 2, LAST), _words(n.c.i)
    return select(
        n.c.i.label("id"),
        (literal("C-") + _words(FIRST_NUMBER + n.c.i)).label("external_id"),
        (first + " " + last).label("name"),
        (func.lower(first) + "." + func.lower(last) + "." + number + "@example.com").label("email"),
        (literal("+39") + _words(3_000_000_000 + _mixed(n.c.i, 3) * 9_000 + n.c.i % 9_000)).label("phone"),
    )


def _subscriptions(count: int, customers: int, merchants: int) -> Select[Any]:
    n = _numbers(1, max(count, 1))
    return select(
        n.c.i.label("id"),
        (literal("S-") + _words(FIRST_NUMBER + n.c.i)).label("subscription_id"),
        (literal("B-") + _words(FIRST_NUMBER + n.c.i)).label("billing_number"),
        (1 + n.c.i % customers).label("customer_id"),
        _busy(n.c.i, 4, merchants).label("merchant_id"),
        (1_00 + _mixed(n.c.i, 5) % 50_00).label("amount_minor"),
        literal("EUR").label("unit"),
        literal("card").label("method"),
        literal("simulator").label("provider"),
    )


def _seconds(engine: Engine) -> Callable[[Any], Any]:
    """How the database makes a moment of a number of seconds since 1970."""
    if engine.dialect.name == "postgresql":
        return lambda value: type_coerce(func.to_timestamp(value), UtcDateTime)
    return lambda value: type_coerce(func.strftime("%Y-%m-%d %H:%M:%S.000000", value, "unixepoch"), UtcDateTime)


def _state(i: Any) -> Any:
    share, below, branches = _mixed(i, 6) % 1_000, 0, []
    for state, parts in STATES.items():
        below += parts
        branches.append((share < below, _is(state, Payment.status)))
    return case(*branches, else_=_is(S.PAID, Payment.status))


def _payments(
    first: int, last: int, rows: int, customers: int, merchants: int, moment: Callable[[Any], Any]
) -> Select[Any]:
    n = _numbers(first, last)
    i, now = n.c.i, int(utcnow().replace(microsecond=0).timestamp()) - 7_200
    # Two hours of jitter: payments are stored nearly, not exactly, in the order in which they were made.
    when = now - (rows - i) * MONTHS_24 // rows + _mixed(i, 7) % 7_200
    inner = select(
        i.label("i"),
        (1_00 + (_mixed(i, 8) * (_mixed(i, 9) % 100)) // 100).label("amount"),
        _state(i).label("state"),
        _whole(when).label("made"),
    ).subquery()
    i, amount, state = inner.c.i, _whole(inner.c.amount), inner.c.state
    taken = case(
        (
            state.in_(
                [_is(s, Payment.status) for s in (S.PAID, S.PARTIALLY_REFUNDED, S.TOTALLY_REFUNDED, S.CHARGED_BACK)]
            ),
            amount,
        ),
        else_=0,
    )
    refunded = case(
        (state == _is(S.PARTIALLY_REFUNDED, Payment.status), amount // 2),
        (state == _is(S.TOTALLY_REFUNDED, Payment.status), amount),
        else_=0,
    )
    recurring = _mixed(i, 10) % 10 < 3
    kinds = (PaymentType.DIRECT, PaymentType.DIRECT, PaymentType.PAY_BY_LINK)
    return select(
        (literal("T-") + _words(FIRST_NUMBER + i)).label("transaction_id"),
        (literal("I-") + _words(FIRST_NUMBER + i)).label("invoice_number"),
        case((recurring, literal("B-") + _words(FIRST_NUMBER + 1 + i % (customers // 2)))).label("billing_number"),
        _busy(i, 11, merchants).label("merchant_id"),
        _busy(i, 12, customers).label("customer_id"),
        case((recurring, 1 + i % (customers // 2))).label("subscription_id"),
        case((recurring, _is(PaymentType.SUBSCRIPTION, Payment.type)), else_=_choose(i, 13, kinds, Payment.type)).label(
            "type"
        ),
        _choose(i, 14, tuple(Channel), Payment.channel).label("channel"),
        literal("simulator").label("provider"),
        _one_of(i, 15, ("card", "card", "card", "card", "card", "wallet", "transfer", "voucher")).label("method"),
        amount.label("amount_minor"),
        _one_of(i, 16, ("EUR",) * 6 + ("GBP", "USD", "JPY", "KWD")).label("unit"),
        state.label("status"),
        taken.label("captured_minor"),
        refunded.label("refunded_minor"),
        _words(100_000 + _mixed(i, 17)).label("approval_code"),
        case((taken > 0, "00"), else_=_one_of(i, 20, ("05", "51", "54", "91"))).label("response_code"),
        case((taken == 0, _one_of(i, 21, ("card_declined", "expired_card", "no_answer")))).label("error_code"),
        _words(1_000 + _mixed(i, 18) % 9_000).label("card_last4"),
        (literal("F-") + _words(_mixed(i, 22))).label("card_fingerprint"),
        (func.upper(_one_of(i, 23, FIRST)) + " " + func.upper(_one_of(i, 24, LAST))).label("card_holder_name"),
        (literal("+39") + _words(3_000_000_000 + _mixed(i, 25) * 9_000 + i % 9_000)).label("card_holder_phone"),
        case((_mixed(i, 26) % 5 == 0, 1 + (i - 1) * BATCHES // rows)).label("batch_id"),
        case((_mixed(i, 19) % 50 == 0, _is(Mode.TEST, Payment.mode)), else_=_is(Mode.LIVE, Payment.mode)).label("mode"),
        moment(inner.c.made).label("created_at"),
    )


def _choose(i: Any, salt: int, members: tuple[Any, ...], attr: Any) -> Any:
    return case(
        {n: _is(member, attr) for n, member in enumerate(members)}, value=_whole(_mixed(i, salt) % len(members))
    )
