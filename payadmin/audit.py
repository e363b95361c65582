"""The audit trail: what is recorded, and the guard that refuses a commit nobody explained."""

import contextlib
import datetime as dt
import enum
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from flask_sqlalchemy.session import Session as AppSession
from sqlalchemy import event, inspect
from sqlalchemy.orm import Mapper, ORMExecuteState, Session, SessionTransaction, UOWTransaction

from payadmin.db import Base
from payadmin.kernel import masks
from payadmin.models.audit import AuditEvent
from payadmin.models.base import Audited


class Event(enum.StrEnum):
    """Everything that can stand in the trail: `room.thing.happened`, alphabetical, never reused."""

    ACCESS_CODE_REISSUED = "access.recovery_codes.issued"
    ACCESS_EMAIL_CHANGED = "access.email.changed"
    ACCESS_EMAIL_CHANGE_BEGUN = "access.email_change.begun"
    ACCESS_EMAIL_CHANGE_CONFIRMED = "access.email_change.confirmed"
    ACCESS_EMAIL_CHANGE_STOPPED = "access.email_change.stopped"
    ACCESS_FACTOR_ENROLLED = "access.factor.enrolled"
    ACCESS_FACTOR_RESET = "access.factor.reset"
    ACCESS_LANGUAGE_CHOSEN = "access.language.chosen"
    ACCESS_PASSWORD_CHANGED = "access.password.changed"  # noqa: S105 - an event's name
    ACCESS_PASSWORD_RESET = "access.password.reset"  # noqa: S105 - an event's name
    ACCESS_PASSWORD_LINK_ASKED = "access.password_link.asked"  # noqa: S105 - an event's name
    ACCESS_PASSWORD_LINK_MADE = "access.password_link.made"  # noqa: S105 - an event's name
    ACCESS_SECRET_SHOWN = "access.secret_key.shown"  # noqa: S105 - an event's name
    ACCESS_SESSION_ENDED = "access.session.ended"
    ACCESS_SIGN_IN_FAILED = "access.sign_in.failed"
    ACCESS_SIGNED_IN = "access.sign_in.succeeded"
    ACCESS_SIGNED_OUT = "access.sign_out.done"
    ACCESS_STAFF_CHANGED = "access.staff.changed"
    ACCESS_STAFF_DISABLED = "access.staff.disabled"
    ACCESS_STAFF_CREATED = "access.staff.created"
    ACCESS_STAFF_LOCKED = "access.staff.locked"
    ACCESS_STAFF_UNLOCKED = "access.staff.unlocked"
    ACCESS_STEP_UP_SPENT = "access.step_up.spent"
    ACCESS_STAFF_JOINED = "access.staff.joined"
    API_KEY_MADE = "api.key.made"
    API_KEY_REFUSED = "api.key.refused"
    API_KEY_REVOKED = "api.key.revoked"
    APPROVAL_APPROVED = "approvals.request.approved"
    APPROVAL_CANCELLED = "approvals.request.cancelled"
    APPROVAL_EXPIRED = "approvals.request.expired"
    APPROVAL_FAILED = "approvals.request.failed"
    APPROVAL_POLICY_SAVED = "approvals.policy.saved"
    APPROVAL_REJECTED = "approvals.request.rejected"
    APPROVAL_REQUESTED = "approvals.request.filed"
    APPROVAL_STALE = "approvals.request.stale"
    BANK_FILE_ANSWERED = "banking.file.answered"
    BANK_FILE_DISCARDED = "banking.file.discarded"
    BANK_FILE_DOWNLOADED = "banking.file.downloaded"
    BANK_FILE_HANDED_OVER = "banking.file.handed_over"
    BANK_FILE_MADE = "banking.file.made"
    BANK_FILE_NOT_SENT = "banking.file.not_sent"
    BANK_FILE_REFUSED = "banking.file.refused"
    BANK_FILE_RELEASED = "banking.file.released"
    BANK_FILE_SENT = "banking.file.sent"
    BANK_FILE_TRIED = "banking.file.tried"
    BANK_FILE_UNKNOWN = "banking.file.unknown"
    BANK_LINE_IGNORED = "banking.line.ignored"
    BANK_LINE_KEPT = "banking.line.kept"
    BANK_LINE_MATCHED = "banking.line.matched"
    BANK_MESSAGE_RECEIVED = "banking.message.received"
    BATCH_CHARGE_ORDERED = "batches.charge.ordered"
    BATCH_CHECKED = "batches.batch.checked"
    BATCH_CONFIRMED = "batches.batch.confirmed"
    BATCH_DISCARDED = "batches.batch.discarded"
    BATCH_PAID = "batches.row.paid"
    BATCH_PROCESSED = "batches.batch.processed"
    BATCH_REGISTERED = "batches.subscription.registered"
    BATCH_REPLACED = "batches.batch.replaced"
    BATCH_RESUMED = "batches.batch.resumed"
    BATCH_ROW_REFUSED = "batches.row.refused"
    BATCH_SENT_BACK = "batches.batch.sent_back"
    BATCH_UPLOADED = "batches.batch.uploaded"
    CHARGES_PLANNED = "subscriptions.charges.planned"
    CHARGES_RECONCILED = "subscriptions.charges.reconciled"
    CHARGE_ASKED_AGAIN = "subscriptions.charge.asked_again"
    CHARGE_BOOKED_BY_STAFF = "subscriptions.charge.booked_by_staff"
    CHARGE_CANCELLED = "subscriptions.charge.cancelled"
    CHARGE_CAUGHT_UP = "subscriptions.charge.caught_up"
    CHARGE_DECLARED_UNPAID = "subscriptions.charge.declared_unpaid"
    CHARGE_DECLINED = "subscriptions.charge.declined"
    CHARGE_DIFFERS = "subscriptions.charge.differs"
    CHARGE_FAILED = "subscriptions.charge.failed"
    CHARGE_FINDING_CLOSED = "subscriptions.charge.finding_closed"
    CHARGE_MISSED = "subscriptions.charge.missed"
    CHARGE_NEEDS_DECISION = "subscriptions.charge.left_to_staff"
    CHARGE_SKIPPED = "subscriptions.charge.skipped"
    CHARGE_SUCCEEDED = "subscriptions.charge.succeeded"
    CHARGE_UNKNOWN = "subscriptions.charge.unknown"
    CHECKOUT_DRAFT_DISCARDED = "checkout.draft.discarded"
    CHECKOUT_DRAFT_IMPORTED = "checkout.draft.imported"
    CHECKOUT_DRAFT_RENAMED = "checkout.draft.renamed"
    CHECKOUT_DRAFT_STARTED = "checkout.draft.started"
    CHECKOUT_REPLAY_CANCELLED = "checkout.replay.cancelled"
    CHECKOUT_REPLAY_FINISHED = "checkout.replay.finished"
    CHECKOUT_REPLAY_STARTED = "checkout.replay.started"
    CHECKOUT_RULES_ACTIVATED = "checkout.rules.activated"
    CHECKOUT_RULES_ARCHIVED = "checkout.rules.archived"
    CHECKOUT_RULE_DELETED = "checkout.rule.deleted"
    CHECKOUT_RULE_MOVED = "checkout.rule.moved"
    CHECKOUT_RULE_SAVED = "checkout.rule.saved"
    CHECKOUT_RULE_SWITCHED = "checkout.rule.switched"
    CASH_ASSIGNMENT_BEGUN = "treasury.assignment.begun"
    CASH_ASSIGNMENT_ENDED = "treasury.assignment.ended"
    CASH_CODEWORD_MISSED = "treasury.codeword.missed"
    CASH_CUSTOMER_RECOGNISED = "treasury.customer.recognised"
    CASH_DAY_CLOSED = "treasury.day.closed"
    CASH_DAY_COUNTED = "treasury.day.counted"
    CASH_DAY_LEFT_OPEN = "treasury.day.left_open"
    CASH_DAY_MISCOUNTED = "treasury.day.miscounted"
    CASH_DAY_OPENED = "treasury.day.opened"
    CASH_DAY_RETURNED = "treasury.day.returned"
    CASH_DESK_CHANGED = "treasury.desk.changed"
    CASH_DESK_CLOSED = "treasury.desk.closed"
    CASH_DESK_LOCKED = "treasury.desk.locked"
    CASH_DESK_OPENED = "treasury.desk.opened"
    CASH_DESK_UNLOCKED = "treasury.desk.unlocked"
    CASH_RECEIPT_PRINTED = "treasury.receipt.printed"
    CASH_REDEEM_PAID = "treasury.redeem.paid"
    CASH_TOPPED_UP = "treasury.top_up.done"
    CASH_WITHDRAWN = "treasury.withdrawal.done"
    CASHBACK_ASSIGNED = "tariffs.cashback.assigned"
    CASHBACK_SAVED = "tariffs.cashback.saved"
    CONTRACT_ASSIGNED = "tariffs.contract.assigned"
    CONTRACT_CLOSED = "tariffs.contract.closed"
    CONTRACT_OPENED = "tariffs.contract.opened"
    CONTRACT_RENAMED = "tariffs.contract.renamed"
    CONTRACT_TERM_SET = "tariffs.contract_term.set"
    CONTRACT_TERM_DROPPED = "tariffs.contract_term.dropped"
    CONTRACT_VERSION_ADDED = "tariffs.contract_version.added"
    CONTRACT_VERSION_WITHDRAWN = "tariffs.contract_version.withdrawn"
    EXPORT_CANCELLED = "reporting.export.cancelled"
    EXPORT_DOWNLOADED = "reporting.export.downloaded"
    EXPORT_EXPIRED = "reporting.export.expired"
    EXPORT_FAILED = "reporting.export.failed"
    EXPORT_FINISHED = "reporting.export.finished"
    EXPORT_REQUESTED = "reporting.export.requested"
    EXPORT_SCHEDULE_DELETED = "reporting.schedule.deleted"
    EXPORT_SCHEDULE_PAUSED = "reporting.schedule.paused"
    EXPORT_SCHEDULE_RESUMED = "reporting.schedule.resumed"
    EXPORT_SCHEDULE_SAVED = "reporting.schedule.saved"
    EXPORT_STARTED = "reporting.export.started"
    IDENTIFICATION_GIVEN = "identification.customer.identified"
    IDENTIFICATION_DOCUMENT_ACCEPTED = "identification.document.accepted"
    IDENTIFICATION_DOCUMENT_DESTROYED = "identification.document.destroyed"
    IDENTIFICATION_DOCUMENT_DOWNLOADED = "identification.document.downloaded"
    IDENTIFICATION_DOCUMENT_ERASED = "identification.document.erased"
    IDENTIFICATION_DOCUMENT_LOOKED_AT = "identification.document.looked_at"
    IDENTIFICATION_DOCUMENT_RECEIVED = "identification.document.received"
    IDENTIFICATION_DOCUMENT_REJECTED = "identification.document.rejected"
    IDENTIFICATION_DOCUMENT_REPLACED = "identification.document.replaced"
    IDENTIFICATION_IN_REVIEW = "identification.customer.in_review"
    IDENTIFICATION_LINK_MADE = "identification.link.made"
    IDENTIFICATION_LINK_REVOKED = "identification.link.revoked"
    IDENTIFICATION_LINK_SHOWN = "identification.link.shown"
    IDENTIFICATION_LINK_USED = "identification.link.used"
    IDENTIFICATION_REJECTED = "identification.customer.rejected"
    IDENTIFICATION_REVOKED = "identification.customer.revoked"
    IMPORT_FINISHED = "payments.import.finished"
    INVOICE_ISSUED = "payments.invoice.issued"
    INVOICES_DOWNLOADED = "payments.invoice.downloaded"
    LEDGER_BOOKED = "ledger.payments.booked"
    LEDGER_CHECKED = "ledger.books.checked"
    LEDGER_CHECK_STARTED = "ledger.books.check_started"
    LEDGER_PERIOD_CLOSED = "ledger.period.closed"
    LIMIT_APPLICATION_DECIDED = "wallets.application.decided"
    LIMIT_APPLICATION_FILED = "wallets.application.filed"
    NOTE_ADDED = "payments.note.added"
    NOTIFICATION_DELAYED = "payments.notification.delayed"
    NOTIFICATION_FAILED = "payments.notification.failed"
    NOTIFICATION_KEPT = "payments.notification.kept"
    NOTIFICATION_REQUESTED = "payments.notification.requested"
    NOTIFICATION_SENT = "payments.notification.sent"
    PAYMENT_INTRODUCED = "payments.payment.introduced"
    PRODUCT_ADDED = "products.product.added"
    PRODUCT_CHANGED = "products.product.changed"
    PRODUCT_RESUMED = "products.product.resumed"
    PRODUCT_SOLD = "products.sale.made"
    PRODUCT_STOPPED = "products.product.stopped"
    RATE_ADDED = "tariffs.rate.added"
    RATES_IMPORTED = "tariffs.rates.imported"
    RECORD_CREATED = "records.record.created"
    RECORD_DELETED = "records.record.deleted"
    RECORD_UPDATED = "records.record.updated"
    RECORD_HIDDEN = "records.personal_data.hidden"
    RECORD_REVEALED = "records.personal_data.revealed"
    REDEEM_APPROVED = "redeem.request.approved"
    REDEEM_CANCELLED = "redeem.request.cancelled"
    REDEEM_FAILED = "redeem.request.failed"
    REDEEM_PAID = "redeem.request.paid"
    REDEEM_RETURNED = "redeem.request.returned"
    REDEEM_SENT = "redeem.request.sent"
    REDEEM_SUBMITTED = "redeem.request.submitted"
    REFUND_CHECKED = "payments.refund.checked"
    REFUND_FAILED = "payments.refund.failed"
    REFUND_REQUESTED = "payments.refund.requested"
    REFUND_SENT = "payments.refund.sent"
    REFUND_SUCCEEDED = "payments.refund.succeeded"
    REFUND_UNKNOWN = "payments.refund.unknown"
    REGISTRATION_CARD_REFUSED = "subscriptions.link.card_refused"
    REGISTRATION_LINK_MADE = "subscriptions.link.made"
    REGISTRATION_LINK_RENEWED = "subscriptions.link.renewed"
    REGISTRATION_LINK_REVOKED = "subscriptions.link.revoked"
    REGISTRATION_LINK_SHOWN = "subscriptions.link.shown"
    REGISTRATION_LINK_USED = "subscriptions.link.used"
    REMINDER_FAILED = "subscriptions.reminder.failed"
    REMINDER_NOT_MAILED = "subscriptions.reminder.not_mailed"
    REMINDER_SENT = "subscriptions.reminder.sent"
    REPORTING_ANALYTICS_SHARED = "reporting.analytics.shared"
    REPORTING_ROLLUPS_REBUILT = "reporting.rollups.rebuilt"
    RETRY_POLICY_DELETED = "subscriptions.retry_policy.deleted"
    RETRY_POLICY_SAVED = "subscriptions.retry_policy.saved"
    RISK_BLOCKED = "risk.block.set"
    RISK_BLOCK_ENDED = "risk.block.ended"
    RISK_NOTE_DECIDED = "risk.note.decided"
    RISK_NOTE_RAISED = "risk.note.raised"
    RISK_UNBLOCKED = "risk.block.lifted"
    RISK_WATCH_AGAIN = "risk.watch_item.tried_again"
    RISK_WATCH_LEFT_OUT = "risk.watch_item.left_out"
    RISK_WATCH_OFF = "risk.watch_rule.switched_off"
    RISK_WATCH_ON = "risk.watch_rule.switched_on"
    RISK_WATCH_SAVED = "risk.watch_rule.saved"
    RISK_WATCH_SET_ASIDE = "risk.watch_item.set_aside"
    RISK_WATCH_TRIED = "risk.watch_rule.tried"
    RUN_CREATED = "records.run.created"
    RUN_STARTED = "records.run.started"
    SUBSCRIPTION_ACTIVATED = "subscriptions.subscription.activated"
    SUBSCRIPTION_CANCELLED = "subscriptions.subscription.cancelled"
    SUBSCRIPTION_DELETED = "subscriptions.subscription.deleted"
    SUBSCRIPTION_EXPIRED = "subscriptions.subscription.expired"
    SUBSCRIPTION_INACTIVATED = "subscriptions.subscription.inactivated"
    SUBSCRIPTION_NOT_PLANNED = "subscriptions.subscription.not_planned"
    SUBSCRIPTION_POLICY_CHOSEN = "subscriptions.subscription.policy_chosen"
    SUBSCRIPTION_REGISTERED = "subscriptions.subscription.registered"
    SUBSCRIPTION_SCHEDULE_CHANGED = "subscriptions.subscription.schedule_changed"
    SUBSCRIPTION_TYPE_CHANGED = "subscriptions.subscription.type_changed"
    SUPPORT_CLIENTS_SEARCHED = "support.clients.searched"
    SUPPORT_CODEWORD_COMPARED = "support.codeword.compared"
    SUPPORT_CODEWORD_SET = "support.codeword.set"
    SUPPORT_FILE_FETCHED = "support.file.fetched"
    SUPPORT_MAIL_LEFT_OUT = "support.mail.left_out"
    SUPPORT_MAIL_TAKEN = "support.mail.taken"
    SUPPORT_MEMBER_MOVED = "support.member.moved"
    SUPPORT_TEAM_NAMED = "support.team.named"
    SUPPORT_TICKET_ANSWERED = "support.ticket.answered"
    SUPPORT_TICKET_ASSIGNED = "support.ticket.assigned"
    SUPPORT_TICKET_LINKED = "support.ticket.linked"
    SUPPORT_TICKET_MERGED = "support.ticket.merged"
    SUPPORT_TICKET_MOVED = "support.ticket.moved"
    SUPPORT_TICKET_NOTED = "support.ticket.noted"
    SUPPORT_TICKET_OPENED = "support.ticket.opened"
    SUPPORT_TICKET_RANKED = "support.ticket.ranked"
    SYSTEM_BACKUP_WRITTEN = "system.backup.written"
    SYSTEM_DATABASE_RESTORED = "system.database.restored"
    SYSTEM_DOORBELL_RUNG = "system.doorbell.rung"
    SYSTEM_MESSAGE_REVIVED = "system.message.revived"
    SYSTEM_OPERATION_ACKNOWLEDGED = "treasury.system_operation.acknowledged"
    SYSTEM_OPERATION_CANCELLED = "treasury.system_operation.cancelled"
    SYSTEM_OPERATION_CONFIRMED = "treasury.system_operation.confirmed"
    SYSTEM_OPERATION_INITIATED = "treasury.system_operation.initiated"
    SYSTEM_OPERATION_OUT_OF_DATE = "treasury.system_operation.out_of_date"
    SYSTEM_OPERATION_REJECTED = "treasury.system_operation.rejected"
    SYSTEM_OPERATION_REVERSED = "treasury.system_operation.reversed"
    TEXT_CHANGED = "system.text.changed"
    TEXT_RESET = "system.text.reset"
    TRAIL_CHECKED = "audit.trail.verified"
    TRAIL_CHECK_STARTED = "audit.trail.verification_started"
    TRAIL_READ = "audit.trail.read"
    UNIT_ADDED = "tariffs.unit.added"
    UNIT_ISSUED = "tariffs.unit.issued"
    UNIT_REDEEMED = "tariffs.unit.redeemed"
    UNIT_RENAMED = "tariffs.unit.renamed"
    UNIT_RESTORED = "tariffs.unit.restored"
    UNIT_RETIRED = "tariffs.unit.retired"
    USAGE_REPLACED = "usage.count.replaced"
    USAGE_REPORTED = "usage.count.reported"
    VIEW_DELETED = "records.view.deleted"
    VIEW_SAVED = "records.view.saved"
    VOID_CHECKED = "payments.void.checked"
    VOID_FAILED = "payments.void.failed"
    VOID_REQUESTED = "payments.void.requested"
    VOID_SENT = "payments.void.sent"
    VOID_SUCCEEDED = "payments.void.succeeded"
    VOID_UNKNOWN = "payments.void.unknown"
    WALLET_ADJUSTED = "wallets.wallet.adjusted"
    WALLET_CLOSED = "wallets.wallet.closed"
    WALLET_MOVED = "wallets.transaction.executed"
    WALLET_MOVE_HELD = "wallets.transaction.held"
    WALLET_MOVE_RELEASED = "wallets.transaction.released"
    WALLET_MOVE_REVERSED = "wallets.transaction.reversed"
    WALLET_OPENED = "wallets.wallet.opened"
    WEBHOOK_RESENT = "subscriptions.webhook.resent"
    WEBHOOK_SAVED = "subscriptions.webhook.saved"
    WEBHOOK_TESTED = "subscriptions.webhook.tested"
    WEBHOOK_TRIED = "subscriptions.webhook.tried"


class Unexplained(RuntimeError):
    """A commit changed audited rows without a word in the trail. This is a bug in the code that commits."""


RowKey = tuple[str, str]

_IDENTIFIERS = ("_id", "_number", "reference", "token")
_CHANGED = "payadmin.changed"
_EXPLAINED = "payadmin.explained"


def row_key(row: object) -> RowKey:
    """The table and the id of a mapped row, as the trail stores them."""
    state = inspect(row)
    identity = state.identity or state.mapper.primary_key_from_instance(row)
    return cast("str", state.mapper.local_table.name), "-".join(str(part) for part in identity)


def note_changed(session: Session, table: str, row_id: object) -> None:
    """Tell the guard that a statement changed a row (`Work.change` does)."""
    session.info.setdefault(_CHANGED, set()).add((table, str(row_id)))


def note_explained(session: Session, key: RowKey) -> None:
    """Tell the guard that the trail explains a row's change."""
    session.info.setdefault(_EXPLAINED, set()).add(key)


def plain(value: object) -> object:
    """`value` as the trail's JSON holds it."""
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Iterable):
        return [plain(item) for item in value]
    return str(value)


def found_by(keys: Mapping[str, object]) -> dict[str, object] | None:
    """What an act can be found by, as the trail holds it; card numbers are looked for in everything but identifiers.

    One in forty random 16-digit numbers looks like a card number, and a masked invoice number would find nothing.
    """
    found = {key: plain(value) for key, value in keys.items() if value is not None}
    for key, value in found.items():
        if isinstance(value, str) and not key.endswith(_IDENTIFIERS):
            found[key] = masks.mask_pan_in_text(value)
    return found or None


def facts(model: type, values: Mapping[str, object]) -> dict[str, object]:
    """`values` of `model`'s columns, with secrets left out and personal data masked (AU3)."""
    mapper = cast("Mapper[Any]", inspect(model))
    found: dict[str, object] = {}
    for key, value in values.items():
        info = mapper.columns[key].info if key in mapper.columns else {}
        if info.get("secret"):
            found[key] = "changed"
        elif not isinstance(value, str) or isinstance(value, enum.Enum):
            found[key] = plain(value)
        else:
            found[key] = masks.mask(info["mask"], value) if info.get("mask") else masks.mask_pan_in_text(value)
    return found


def differences(row: object) -> tuple[dict[str, object], dict[str, object]]:
    """The pending changes of a row: (before, after), changed columns only."""
    state = inspect(row)
    before: dict[str, object] = {}
    after: dict[str, object] = {}
    for attribute in state.mapper.column_attrs:
        history = state.attrs[attribute.key].history
        if attribute.columns[0].info.get("derived"):
            continue  # says nothing that the column it is made from does not say
        if history.has_changes() and attribute.key not in {"version", "updated_at"}:
            before[attribute.key] = history.deleted[0] if history.deleted else None
            after[attribute.key] = history.added[0] if history.added else None
    return facts(type(row), before), facts(type(row), after)


@contextlib.contextmanager
def undoable(session: Session) -> Iterator[SessionTransaction]:
    """A savepoint that may be rolled back, by an exception or by whoever holds it; the guard then forgets it too."""
    session.flush()
    kept = {key: set(session.info.get(key, ())) for key in (_CHANGED, _EXPLAINED)}
    savepoint = session.begin_nested()
    try:
        yield savepoint
    except BaseException:
        if savepoint.is_active:
            savepoint.rollback()
        _undone(session, kept)
        raise
    if savepoint.is_active:
        savepoint.commit()
    else:
        _undone(session, kept)


def _undone(session: Session, kept: Mapping[str, set[RowKey]]) -> None:
    session.info.update(kept)
    # Rows that were read inside the savepoint show what it had changed; their next look must be a new one.
    session.expire_all()


def _before_flush(session: Session, _context: UOWTransaction, _instances: object) -> None:
    for row in [*session.dirty, *session.deleted]:
        if isinstance(row, AuditEvent) and (row in session.deleted or session.is_modified(row)):
            msg = "the audit trail is append-only"
            raise Unexplained(msg)
        if isinstance(row, Audited) and (row in session.deleted or session.is_modified(row)):
            note_changed(session, *row_key(row))


def _after_flush(session: Session, _context: UOWTransaction) -> None:
    for row in session.new:
        if isinstance(row, Audited):
            note_changed(session, *row_key(row))


def _before_commit(session: Session) -> None:
    if session.new or session.dirty or session.deleted:
        session.flush()
    if session.in_nested_transaction():
        return  # a savepoint is no commit: what it changed must be explained when the whole is committed
    unexplained = session.info.get(_CHANGED, set()) - session.info.get(_EXPLAINED, set())
    if unexplained:
        rows = ", ".join(f"{table} {row_id}" for table, row_id in sorted(unexplained)[:5])
        msg = f"committed without an audit event: {rows}. Record one with work.record(Event.…, row)."
        raise Unexplained(msg)


def _forget(session: Session, *_: object) -> None:
    session.info.pop(_CHANGED, None)
    session.info.pop(_EXPLAINED, None)


def _after_commit(session: Session) -> None:
    if not session.in_nested_transaction():
        _forget(session)


def _after_rollback(session: Session, ended: SessionTransaction) -> None:
    if ended.nested:
        # The sentences written inside the savepoint are gone; which they were is not known, so all must be said again.
        session.info.pop(_EXPLAINED, None)
    else:
        _forget(session)


def _refuse_bulk(context: ORMExecuteState) -> None:
    if not (context.is_update or context.is_delete or context.is_insert) or context.execution_options.get("explained"):
        return
    table = getattr(context.statement, "table", None)
    if table is not None and table.name in _watched():
        msg = f"a bulk statement on {table.name}: use Work.change, which the trail can follow"
        raise Unexplained(msg)


def _watched() -> frozenset[str]:
    """The tables whose rows may change only with a sentence, and the trail itself."""
    return frozenset(
        mapper.persist_selectable.description
        for mapper in Base.registry.mappers
        if issubclass(mapper.class_, Audited | AuditEvent)
    )


def guard(session_class: type[Session] = AppSession) -> None:
    """Install the guard on every session of `session_class`; installing it again changes nothing."""
    for name, listener in (
        ("before_flush", _before_flush),
        ("after_flush", _after_flush),
        ("before_commit", _before_commit),
        ("after_commit", _after_commit),
        ("after_soft_rollback", _after_rollback),
        ("do_orm_execute", _refuse_bulk),
    ):
        if not event.contains(session_class, name, listener):
            event.listen(session_class, name, listener)
