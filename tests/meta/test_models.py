"""Every model has a page or a reason; every audited row can change only with a sentence in the trail."""

import datetime as dt
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import PrimaryKeyConstraint, UniqueConstraint, delete, inspect, select, text, update
from sqlalchemy.exc import DatabaseError

from payadmin import models
from payadmin.audit import Unexplained
from payadmin.db import Base, db
from payadmin.models.audit import AuditEvent
from payadmin.models.base import Audited
from payadmin.views.core import PAGE_OF
from tests.support.make import Make
from tests.support.rows import one_of_each

models.load_models()

MODELS: list[type[Any]] = sorted((mapper.class_ for mapper in Base.registry.mappers), key=lambda model: model.__name__)
AUDITED = [model for model in MODELS if issubclass(model, Audited)]

# Tables without a page of their own, and where their rows are seen instead.
WITHOUT_PAGE = {
    "ActionItem": "the outcome page of its run",
    "ActionRun": "its own outcome page",
    "AccountLink": "secrets on their way, nothing to see",
    "ApiAnswer": "machinery, gone after a day",
    "AuditCheck": "Audit verification",
    "AuditKey": "found by, on User actions",
    "AuditSeal": "Audit verification",
    "Backup": "Monitoring",
    "BankMessage": "Payment files, and the upload on Bank statements",
    "BatchPart": "rows that wait for their check, gone after it",
    "BlockStop": "the details of its block",
    "BatchRow": "the details of its batch",
    "BillingPeriod": "Billing dashboard",
    "CashDayUnit": "the details of its cash day",
    "CashDeskAssignment": "the details of its cash desk",
    "ChargeAttempt": "the details of its scheduled charge",
    "ContractTerm": "the details of its contract",
    "ContractVersion": "the details of its contract",
    "DocumentLook": "the audit trail",
    "EmailChange": "My account",
    "ExportReader": "the form of its schedule",
    "CodewordTry": "the trail, and the page of its client",
    "Heartbeat": "Workers",
    "IdentityDocument": "the identification page of its customer",
    "ImportFile": "the answer of the import command",
    "Invoice": "the document of its payment",
    "InvoiceCounter": "a number under lock, nothing to see",
    "LedgerBalance": "the statement of its account",
    "LedgerCheck": "Ledger health",
    "LedgerClosing": "compared by Ledger health",
    "LedgerEntry": "its transaction, and the statement of its account",
    "LedgerHold": "its transactions, and the statement of its account",
    "LedgerTurnover": "Trial balance, and the statement of its account",
    "LoginGuard": "counts of tries, nothing to see",
    "Note": "the details of what it is about",
    "OutboxMessage": "Workers",
    "PasswordMemory": "hashes, never shown",
    "PaymentChange": "machinery of figures",
    "PaymentDay": "Analytics",
    "PaymentEvent": "the History of its payment",
    "PaymentFileLine": "the details of its payment file",
    "PaymentMethod": "a choice in filters and forms",
    "PaymentTariff": "the details of its payment",
    "ProviderBreaker": "Workers",
    "RecoveryCode": "hashes, never shown",
    "Reveal": "the banner of its record, and the trail",
    "Refund": "the details of its payment",
    "RollupState": "`payadmin verify rollups`",
    "Sample": "Monitoring",
    "SavedView": "Views on the list it is about",
    "SecondFactor": "sealed secrets, never shown",
    "SpentOffer": "used confirmations, nothing to see",
    "StaffNotice": "the bell and Notifications",
    "StaffRole": "part of its staff user",
    "SupportMember": "SCC",
    "SupportTeam": "SCC",
    "TicketFile": "its ticket",
    "TicketMessage": "its ticket",
    "TranslationOverride": "i18n",
    "UploadLink": "the identification page of its customer",
    "UserPreference": "the column chooser of each list, and My figures",
    "UserSession": "My account, and the details of its user",
    "VoidRequest": "the details of its payment",
    "WatchDay": "Watch rules",
    "WatchItem": "payments that wait to be asked about, gone after it",
    "WatchTrial": "the details of its watch rule",
    "WatchVersion": "the details of its watch rule",
    "WebMinute": "Monitoring",
}

# Choices of a dozen rows that nobody deletes.
SMALL = {"unit", "payment_method"}

# Rows that change without a word in the trail, because they are machinery or the trail itself.
NOT_AUDITED = {
    "AccountingPeriod": "never changes; its closing is recorded",
    "AccountLink": "its making and its use are recorded as events of its owner",
    "ActionItem": "its acts are recorded by the use cases that run them",
    "ActionRun": "its start is recorded",
    "ApiAnswer": "machinery; the act that was answered is recorded",
    "AuditCheck": "its start and its result are recorded",
    "AuditEvent": "the trail",
    "AuditKey": "part of the trail",
    "AuditSeal": "proves the trail",
    "Backup": "its writing is recorded",
    "BatchPart": "machinery",
    "BillingPeriod": "counts of billing numbers, whose payments' changes are recorded",
    "BlockStop": "written with the refusal that it tells of, which is recorded",
    "BatchRow": "what it orders, and who ordered it, is recorded as events of its batch and of what was made of it",
    "ChargeAttempt": "what it comes to is recorded as an event of its scheduled charge",
    "ContractTerm": "written with its version, and never changed; what it changes is recorded",
    "DocumentLook": "each look is recorded as an event of its document",
    "EmailChange": "its steps are recorded as events of its owner",
    "ExchangeRate": "never changed; its coming is recorded",
    "ExportReader": "written with its schedule, whose record names them",
    "CheckoutChange": "what a replay found; its payment is not touched",
    "CheckoutReplay": "its start and its end are recorded",
    "CodewordTry": "recorded as an event of its customer",
    "Heartbeat": "machinery",
    "InvoiceCounter": "moves only with an invoice",
    "LedgerAccount": "never changes; opened by the first transaction on it",
    "LedgerBalance": "kept by the database, from entries that never change",
    "LedgerCheck": "its start and its result are recorded",
    "LedgerClosing": "written with its period, whose closing is recorded",
    "LedgerEntry": "the books themselves, written once",
    "LedgerHold": "placed and ended by transactions, which never change",
    "LedgerTransaction": "the books themselves, written once and signed; the act that made it is recorded",
    "LedgerTurnover": "kept by the database, from entries that never change",
    "LoginGuard": "machinery",
    "OutboxMessage": "machinery",
    "PasswordMemory": "written with a password's change, which is recorded",
    "PaymentChange": "machinery: what a payment's change, which is recorded, adds to figures",
    "PaymentDay": "sums of payments, whose changes are recorded",
    "PaymentEvent": "history itself, written once",
    "PaymentTariff": "written with the booking of its payment, and never changed",
    "ProviderBreaker": "machinery",
    "RecoveryCode": "its uses and renewals are recorded as events of its owner",
    "RollupState": "machinery; its rebuilds are recorded",
    "Sample": "machinery",
    "Reveal": "recorded as an event of the record that was revealed",
    "SecondFactor": "its changes are recorded as events of its owner",
    "SpentOffer": "written with the act that it confirmed",
    "StaffNotice": "says again, to one person, what is recorded elsewhere",
    "UserPreference": "a person's own taste",
    "UserSession": "its start and end are recorded as events of its owner",
    "WatchDay": "machinery: counts of notes, which are recorded",
    "WatchItem": "machinery",
    "WatchTrial": "asks and touches nothing; its end is recorded",
    "WebMinute": "machinery",
}


@pytest.mark.once
def test_every_model_has_a_page_or_stands_in_the_list_of_exceptions(app: Flask) -> None:
    with_page = {model.__name__ for model in app.extensions[PAGE_OF]}
    names = {model.__name__ for model in MODELS}
    assert names - with_page == set(WITHOUT_PAGE) & names
    assert set(WITHOUT_PAGE) - names == set(), "an exception that no longer exists must leave the list"


@pytest.mark.once
def test_every_model_is_audited_or_stands_in_the_list_of_exceptions() -> None:
    assert {model.__name__ for model in MODELS} - {model.__name__ for model in AUDITED} == set(NOT_AUDITED)


@pytest.mark.once
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_a_model_says_how_it_is_called(model: type[Any]) -> None:
    if issubclass(model, Audited):
        assert model.__str__ is not object.__str__, "the trail and the pages name rows by str()"


@pytest.mark.once
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_money_is_whole_minor_units_of_a_unit_that_the_row_names(model: type[Any]) -> None:
    for column in inspect(model).columns:
        python = column.type.python_type
        assert python is not float, f"{column} is a float"
        assert "NUMERIC" not in str(column.type), f"{column} is kept as REAL by SQLite"
        if column.name.endswith("_minor") and column.info.get("money"):
            assert hasattr(model, column.info["money"]), f"{column} names no unit"


@pytest.mark.once
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_moments_are_aware_and_named_for_what_they_are(model: type[Any]) -> None:
    for column in inspect(model).columns:
        if column.type.python_type is dt.datetime:
            assert type(column.type).__name__ == "UtcDateTime", f"{column} could hold a naive moment"


@pytest.mark.once
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_foreign_key_can_be_followed_without_reading_the_whole_table(model: type[Any]) -> None:
    """A parent's page lists its children, and a delete of a parent looks for them."""
    table: Any = inspect(model).local_table
    indexed = {next(iter(index.columns)) for index in table.indexes}
    keys = (UniqueConstraint, PrimaryKeyConstraint)
    indexed |= {next(iter(item.columns)) for item in table.constraints if isinstance(item, keys)}
    for key in table.foreign_key_constraints:
        first = next(iter(key.columns))
        if key.referred_table.name not in SMALL:
            assert first in indexed, f"{first} has no index"


@pytest.mark.parametrize("model", AUDITED, ids=lambda model: model.__name__)
def test_an_unexplained_change_of_an_audited_row_cannot_be_committed(app: Flask, make: Make, model: type[Any]) -> None:
    row = one_of_each(make)[model]
    row_id = row.id
    row.updated_at = row.updated_at + dt.timedelta(seconds=1)
    with pytest.raises(Unexplained, match="without an audit event"):
        db.session.commit()
    db.session.rollback()
    db.session.delete(db.session.get_one(model, row_id))
    with pytest.raises((Unexplained, DatabaseError)):
        db.session.commit()
    db.session.rollback()
    assert db.session.get(model, row_id) is not None


@pytest.mark.parametrize("model", [*AUDITED, AuditEvent], ids=lambda model: model.__name__)
def test_a_bulk_statement_on_audited_rows_is_refused(app: Flask, model: type[Any]) -> None:
    for statement in (update(model).values(id=1), delete(model)):
        with pytest.raises(Unexplained, match="bulk statement"):
            db.session.execute(statement)
        db.session.rollback()


@pytest.mark.parametrize("statement", ["UPDATE audit_event SET actor_name = 'nobody'", "DELETE FROM audit_event"])
def test_the_database_itself_refuses_to_change_the_trail(app: Flask, statement: str) -> None:
    db.session.add(AuditEvent(actor_name="somebody", event="test.trail.written"))
    db.session.commit()
    with pytest.raises(DatabaseError, match="append-only"):
        db.session.execute(text(statement))
    db.session.rollback()
    assert db.session.scalars(select(AuditEvent.actor_name)).all() == ["somebody"]
