"""Imports: payments from CSV, XLSX and XLS files, all rows or none, and the same content only once."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, TypeVar, cast

from sqlalchemy import ColumnElement, Insert, Table, insert, select
from sqlalchemy.exc import IntegrityError

from payadmin.actions.import_layouts import COUNCIL_METHOD, Draft, Mistake, understand
from payadmin.audit import Event
from payadmin.kernel.errors import Conflict, Forbidden, Invalid
from payadmin.kernel.sheets import Value, content_hash, read_table
from payadmin.ledger.payments import follow
from payadmin.models.imports import ImportFile
from payadmin.models.parties import Customer, Organization, OrganizationKind
from payadmin.models.payments import (
    OrderStatus,
    Payment,
    PaymentEvent,
    PaymentMethod,
    PaymentStatus,
    Refund,
    RefundReason,
    Unit,
)
from payadmin.permissions import Permission
from payadmin.work import Actor, Work, use_case

T = TypeVar("T")
Progress = Callable[[int, int], None]

PROVIDER: Final = "simulator"
SHOWN_MISTAKES: Final = 20
_BATCH: Final = 500

_CUSTOMER = cast("Table", Customer.__table__)
_EVENT = cast("Table", PaymentEvent.__table__)
_METHOD = cast("Table", PaymentMethod.__table__)
_ORGANIZATION = cast("Table", Organization.__table__)
_PAYMENT = cast("Table", Payment.__table__)
_REFUND = cast("Table", Refund.__table__)


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import brought in."""

    file_id: int
    name: str
    payments: int
    refunds: int
    left_out: int
    notes: tuple[str, ...]

    def __str__(self) -> str:
        sentences = [f"{self.payments:,} payments and {self.refunds:,} refunds were imported from {self.name}."]
        if self.left_out:
            sentences.append(f"{self.left_out:,} credits belong to no payment of the file and were left out.")
        return " ".join([*sentences, *self.notes])


def import_payments(
    actor: Actor, data: bytes, *, name: str, progress: Progress = lambda _done, _total: None
) -> Imported:
    """Bring in the payments of a file: all of them, or none and the reasons.

    Args:
        data: the file; its content, not its name, says whether it is CSV, XLSX or XLS.
        progress: told how many rows of how many were checked.

    Raises:
        Forbidden: the actor may not import.
        Invalid: the file or some of its cells make no sense; `data["mistakes"]` lists row, column and sentence.
        Conflict: the same content was imported before, under whatever name.
    """
    if not actor.may(Permission.PAYMENTS_PAYMENT_IMPORT):
        raise Forbidden("Your role does not allow this.")
    # Read before the transaction begins: a large file must not hold up everybody who writes.
    table = read_table(data, name)
    rows = list(table.rows)
    if not rows:
        raise Invalid("The file has a header but no rows.")
    digest = content_hash(table.header, [values for _, values in rows])
    return store_payments(
        actor,
        table.header,
        rows,
        name=name[:200],
        kind=table.kind.value,
        digest=digest,
        notes=table.notes,
        progress=progress,
    )


@use_case(Permission.PAYMENTS_PAYMENT_IMPORT)
def store_payments(
    work: Work,
    header: Sequence[str],
    rows: Sequence[tuple[int, list[Value]]],
    *,
    name: str,
    kind: str,
    digest: str,
    notes: tuple[str, ...],
    progress: Progress,
) -> Imported:
    """Store the payments of rows that were read; the same `digest` is stored once."""
    if (earlier := work.one(select(ImportFile).where(ImportFile.content_hash == digest))) is not None:
        raise Conflict(
            f'This file says the same as "{earlier.name}", which {earlier.imported_by} imported on'
            f" {earlier.created_at:%Y-%m-%d %H:%M} UTC. Nothing was imported.",
            import_file_id=earlier.id,
        )
    scales = dict(work.session.execute(select(Unit.code, Unit.scale)).all())
    sheet = understand(header, rows, scales, step=lambda done: progress(done, len(rows)))
    if sheet.layout != "template":
        _ensure_method(work, COUNCIL_METHOD, "Card")
    mistakes = sheet.mistakes + list(_mistakes_in_context(work, sheet.drafts))
    if mistakes:
        raise _refusal(sorted(mistakes, key=lambda mistake: mistake.row))
    if not sheet.drafts:
        raise Invalid("The file holds no payment, only credits that belong to none.")
    refunds = sum(len(draft.refunds) for draft in sheet.drafts)
    file = ImportFile(
        name=name,
        content_hash=digest,
        kind=kind,
        layout=sheet.layout,
        rows=len(rows),
        payments=len(sheet.drafts),
        refunds=refunds,
        left_out=sheet.left_out,
        imported_by=work.actor.name,
    )
    try:
        work.add(file)
    except IntegrityError:
        raise Conflict("The same file is being imported right now.") from None
    _store(work, sheet.drafts)
    work.record(
        Event.IMPORT_FINISHED,
        file,
        after={"payments": file.payments, "refunds": refunds, "left_out": file.left_out},
        file=name,
        content_hash=digest,
    )
    return Imported(file.id, name, file.payments, refunds, file.left_out, notes)


def _ensure_method(work: Work, code: str, name: str) -> None:
    if not work.exists(PaymentMethod.code == code):
        work.session.execute(_insert(_METHOD), [{"code": code, "name": name}])


def _mistakes_in_context(work: Work, drafts: list[Draft]) -> Iterator[Mistake]:
    """What only the other rows and the database can tell: numbers that exist already, methods that do not."""
    first_row: dict[str, int] = {}
    methods = set(work.session.scalars(select(PaymentMethod.code)))
    for draft in drafts:
        number, method = draft.values["transaction_id"], draft.values["method"]
        if (other := first_row.setdefault(number, draft.row)) != draft.row:
            yield Mistake(draft.row, "Transaction ID", f"{number} stands in row {other} too.")
        if method not in methods:
            known = ", ".join(sorted(methods)) or "none yet"
            yield Mistake(draft.row, "Method", f'"{method[:40]}" is not a known method: {known}.')
    for number in _present(work, Payment.transaction_id, first_row):
        yield Mistake(first_row[number], "Transaction ID", f"{number} is in payadmin already.")


def _refusal(mistakes: list[Mistake]) -> Invalid:
    count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes):,} mistakes"
    lines = [f"Nothing was imported: the file has {count}.", *map(str, mistakes[:SHOWN_MISTAKES])]
    if len(mistakes) > SHOWN_MISTAKES:
        lines.append(f"… and {len(mistakes) - SHOWN_MISTAKES:,} more.")
    listed = [{"row": one.row, "column": one.column, "sentence": one.sentence} for one in mistakes[:SHOWN_MISTAKES]]
    return Invalid("\n".join(lines), mistakes=listed, count=len(mistakes))


def _store(work: Work, drafts: list[Draft]) -> None:
    organizations = _organizations(work, drafts)
    customers = _customers(work, drafts, organizations)
    fixed = {"provider": PROVIDER, "reserved_minor": 0}
    payments = [
        draft.values
        | fixed
        | {
            "merchant_id": organizations[draft.merchant],
            "customer_id": customers[draft.customer["external_id"] or ""],
        }
        for draft in drafts
    ]
    ids: dict[str, int] = {}
    for batch in _batches(payments):
        added = _insert(_PAYMENT).returning(_PAYMENT.c.transaction_id, _PAYMENT.c.id)
        ids.update(work.session.execute(added, batch).all())
    _store_history(work, drafts, ids)
    follow(work, sorted(ids.values()))


def _store_history(work: Work, drafts: list[Draft], ids: dict[str, int]) -> None:
    events: list[dict[str, Any]] = []
    refunds: list[dict[str, Any]] = []
    for draft in drafts:
        number, unit, status = (draft.values[key] for key in ("transaction_id", "unit", "status"))
        payment = {"payment_id": ids[number], "actor_name": work.actor.name, "detail": None}
        paid = PaymentStatus.PAID if draft.refunds else status
        events.append(
            payment
            | {"at": draft.values["created_at"], "status": paid, "event": "Payment imported", "refunded_minor": None}
        )
        given = 0
        for place, (minor, at) in enumerate(draft.refunds, 1):
            given += minor
            total = given == draft.values["amount_minor"]
            after = PaymentStatus.TOTALLY_REFUNDED if total else PaymentStatus.PARTIALLY_REFUNDED
            event = "Total refund executed" if total else "Partial refund executed"
            events.append(payment | {"at": at, "status": after, "event": event, "refunded_minor": minor})
            refunds.append(
                {
                    "payment_id": ids[number],
                    "key": f"import-{ids[number]}-{place}",
                    "provider_key": f"import-{ids[number]}-{place}",
                    "reference": f"rf-import-{ids[number]}-{place}",
                    "status": OrderStatus.SUCCEEDED,
                    "reason": RefundReason.IMPORTED,
                    "requested_by_id": work.actor.staff_id,
                    "requested_by": work.actor.name,
                    "amount_minor": minor,
                    "unit": unit,
                    "created_at": at,
                    "updated_at": at,
                }
            )
    work.session.execute(_insert(_EVENT), events)
    if refunds:
        work.session.execute(_insert(_REFUND), refunds)


def _organizations(work: Work, drafts: list[Draft]) -> dict[str, int]:
    """The ids of the named organizations; new ones are introduced as what the file uses them for."""
    kinds = {draft.organization: OrganizationKind.PARTNER for draft in drafts if draft.organization}
    kinds |= {draft.merchant: OrganizationKind.MERCHANT for draft in drafts}
    known = _ids(work, Organization.name, Organization.id, kinds)
    new = [{"name": name, "kind": kind} for name, kind in kinds.items() if name not in known]
    for batch in _batches(new):
        added = _insert(_ORGANIZATION).returning(_ORGANIZATION.c.name, _ORGANIZATION.c.id)
        known.update(work.session.execute(added, batch).all())
    return known


def _customers(work: Work, drafts: list[Draft], organizations: dict[str, int]) -> dict[str, int]:
    """The ids of the customers by their Customer ID; a customer that is known already is not changed."""
    found: dict[str, dict[str, Any]] = {}
    for draft in drafts:
        organization = organizations[draft.organization] if draft.organization else None
        found.setdefault(draft.customer["external_id"] or "", draft.customer | {"organization_id": organization})
    known = _ids(work, Customer.external_id, Customer.id, found)
    for batch in _batches([values for external_id, values in found.items() if external_id not in known]):
        added = _insert(_CUSTOMER).returning(_CUSTOMER.c.external_id, _CUSTOMER.c.id)
        known.update(work.session.execute(added, batch).all())
    return known


def _ids(work: Work, key: Any, row_id: Any, wanted: Iterable[str]) -> dict[str, int]:
    known: dict[str, int] = {}
    for batch in _batches(wanted):
        known.update(work.session.execute(select(key, row_id).where(key.in_(batch))).all())
    return known


def _present(work: Work, key: Any, wanted: Iterable[str]) -> Iterator[str]:
    for batch in _batches(wanted):
        condition: ColumnElement[bool] = key.in_(batch)
        yield from work.session.scalars(select(key).where(condition))


def _insert(table: Table) -> Insert:
    """An INSERT of many rows that the one sentence about the whole file explains."""
    return insert(table).execution_options(explained=True)


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, _BATCH)):
        yield batch
