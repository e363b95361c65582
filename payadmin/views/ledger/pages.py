"""Ledger accounts with their statements, the journal, and the accounting periods with their closing."""

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlencode

from flask import current_app, flash, redirect, request, url_for
from flask_admin import expose
from itsdangerous import BadData, URLSafeSerializer
from sqlalchemy.orm import Session
from wtforms import DateField, Form, HiddenField, StringField, TextAreaField
from wtforms.validators import InputRequired, Length

from payadmin import step_up
from payadmin.actions import ledger
from payadmin.db import db
from payadmin.kernel.errors import Invalid, Refusal
from payadmin.kernel.money import Money
from payadmin.kernel.text import _
from payadmin.ledger.chart import CHART
from payadmin.ledger.recipes import TITLES
from payadmin.models.ledger import AccountingPeriod, LedgerAccount, LedgerTransaction
from payadmin.models.payments import Payment
from payadmin.models.wallets import WalletTransaction
from payadmin.permissions import Permission
from payadmin.queries import ledger as asked
from payadmin.views import lists, ui
from payadmin.views.base import PayAdminModelView
from payadmin.views.columns import EMPTY, PAGE_OF, Column, Kind, unit_scale
from payadmin.views.fields import no_controls, put
from payadmin.views.language import say
from payadmin.views.ledger.words import (
    FILES,
    PdfColumn,
    PdfTable,
    Span,
    as_file,
    head_words,
    owner_names,
    span_asked,
    span_shown,
    template_words,
)
from payadmin.views.registry import page
from payadmin.views.security import current_actor

READ, EXPORT = Permission.LEDGER_ENTRY_READ, Permission.LEDGER_ENTRY_EXPORT
STATEMENT_SIZE = 50


@page(menu="ledger-accounts")
class LedgerAccountsPage(PayAdminModelView):
    """Every account of the books; one account is its statement."""

    model = LedgerAccount
    slug = "ledger-accounts"
    plural = "Ledger accounts"
    singular = "Ledger account"
    subtitle = "One account for each line of the chart, unit and owner. Accounts are opened when they are first used."
    export = EXPORT
    create = None
    edit = None
    delete = None
    column_list = ("code", "number", "owner", "balance", "created_at")
    column_filters = ("unit", "owner", "code")
    default_sort = "-created_at"
    phone = {"code": "m1", "balance": "m2", "number": "m3", "owner": "m4"}
    list_also = ("number", "unit")
    details_template = "ledger/account.html"
    find_by = ("code",)
    needs = {"statement_file_view": EXPORT}

    def _refresh_cache(self) -> None:
        # The database keeps balances in a table of their own.
        self.columns["balance"] = Column(
            "balance", _("Balance"), Kind.MONEY, LedgerAccount.id, {"readonly": True, "filter": False},
            unit_key="unit", worked_out=asked.usual_balance,
        )  # fmt: skip
        super()._refresh_cache()

    def names_for(self, shown: Iterable[Column], rows: Sequence[Any]) -> dict[str, dict[Any, Any]]:
        """Also balances, and the names of owners: one query for each kind of them, whatever the number of rows."""
        shown = list(shown)
        balances: dict[int, int] = {}
        if any(column.key == "balance" for column in shown):
            balances = asked.balances(db.session(), [row.id for row in rows])
        owners = sorted({row.owner for row in rows if getattr(row, "owner", "")})
        names = owner_names(owners) if any(column.key == "owner" for column in shown) else {}
        return super().names_for(shown, rows) | {"owner": names, "balance": balances}

    def cell(self, column: Column, names: dict[Any, Any]) -> Any:
        """Lines of the chart and owners by their names, balances in the account's unit."""
        if column.key == "number":
            return lambda row: head_words(row.number)
        if column.key == "owner":
            return lambda row: names.get(row.owner) or EMPTY
        if column.key == "balance":
            return lambda row: ui.amount(
                CHART[row.number].side * names.get(row.id, 0), row.unit, unit_scale(row.unit) or 0
            )
        return super().cell(column, names)

    def describe(self, row: LedgerAccount) -> str:
        """An account by its code."""
        return row.code

    def details_context(self, row: LedgerAccount) -> dict[str, Any]:
        """The statement of the days that the address asks for, a page at a time, with running balances."""
        owners = owner_names([row.owner]) if row.owner else {}
        return statement_of(row) | {
            "row": row,
            "title": row.code,
            "back": self.list_address(),
            "head": head_words(row.number),
            "kind": say(CHART[row.number].kind.value),
            "guarded": CHART[row.number].guarded,
            "owner": owners.get(row.owner),
        }

    @expose("/<int:row_id>/statement/<any(csv,xlsx,pdf):kind>/")
    def statement_file_view(self, row_id: int, kind: str) -> Any:
        """The whole statement as a file."""
        row = self.get_row(row_id)
        session = db.session()
        span = span_asked(newest=asked.newest_day(session, row.id))
        sums, unit, scale = asked.sums_of(session, row, span.first, span.last), row.unit, unit_scale(row.unit) or 0
        session.expunge(row)  # it is read until the last line is sent

        def money(minor: int) -> Money:
            return Money(minor, unit, scale)

        head = ["Day", "Transaction", "Template", "Fact", "Debit", "Credit", "Balance"]

        def rows(session: Session) -> Any:
            yield [span.first, None, None, "Opening balance", None, None, money(sums.opening_minor)]
            # What is booked while the file is made stands in its lines, so they are what its last line adds up.
            debits, credits_, closing = 0, 0, sums.opening_minor
            for line in asked.whole_statement(session, row, span.first, span.last, opening_minor=closing):
                debits += max(line.amount_minor, 0)
                credits_ += max(-line.amount_minor, 0)
                closing = line.balance_minor
                debit = money(line.amount_minor) if line.amount_minor > 0 else None
                credit = money(-line.amount_minor) if line.amount_minor < 0 else None
                balance = money(line.balance_minor)
                yield [
                    line.day,
                    line.transaction_id,
                    f"{line.template} {TITLES[line.template]}",
                    line.key,
                    debit,
                    credit,
                    balance,
                ]
            yield [
                span.last, None, None, "Closing balance", money(debits), money(credits_), money(closing),
            ]  # fmt: skip

        def document(session: Session) -> PdfTable:
            columns = [PdfColumn(label, share) for label, share in zip(head[:4], (10, 9, 22, 24), strict=True)]
            columns += [PdfColumn(label, 13, right=True) for label in head[4:]]
            facts = [
                ("Account", f"{row.code} · {CHART[row.number].name}"),
                ("Days", f"{span.first} – {span.last}"),
            ]
            texts = ([_text(cell) for cell in line] for line in rows(session))
            return PdfTable("Account statement", facts, columns, texts)

        return as_file(
            kind,
            self.endpoint,
            f"statement-{row.id}-{span.first}-{span.last}",
            head,
            rows,
            criteria={"account": row.code, **span.args},
            pdf=document,
            rows_in_pdf=sums.entries + 2,
        )


def statement_of(account: LedgerAccount) -> dict[str, Any]:
    """What `ledger/_statement.html` and its files show of an account, over the days that the address asks for."""
    session = db.session()
    span = span_shown(newest=asked.newest_day(session, account.id))
    lines, following = asked.page_of_statement(
        session, account, span.first, span.last, after=_place(account, span), size=STATEMENT_SIZE
    )
    side, args = CHART[account.number].side, urlencode(span.args)
    address = url_for("ledger_accounts.statement_file_view", row_id=account.id, kind="csv").removesuffix("csv/")
    return {
        "account": account,
        "side": side,
        "scale": unit_scale(account.unit) or 0,
        "balance": side * asked.balances(session, [account.id]).get(account.id, 0),
        "span": span,
        "sums": asked.sums_of(session, account, span.first, span.last),
        "lines": lines,
        "template_words": template_words,
        "following": f"?{args}&after={_sealed(account, span, following)}" if following else None,
        "first_page": f"?{args}" if request.args.get("after") else None,
        "files": [(kind, label, f"{address}{kind}/?{args}") for kind, (label, _) in FILES.items()]
        if current_actor().may(EXPORT)
        else [],
    }


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).rpartition(" ")[0] if isinstance(value, Money) else str(value)


def _place(account: LedgerAccount, span: Span) -> tuple[dt.date, int] | None:
    text = request.args.get("after")
    if not text:
        return None
    try:
        day, entry_id = _serializer(account, span).loads(text)
        return dt.date.fromisoformat(day), int(entry_id)
    except (BadData, ValueError, TypeError):
        raise Invalid("This address does not lead anywhere. Begin at the first page.") from None


def _sealed(account: LedgerAccount, span: Span, place: tuple[dt.date, int]) -> str:
    return str(_serializer(account, span).dumps([place[0].isoformat(), place[1]]))


def _serializer(account: LedgerAccount, span: Span) -> URLSafeSerializer:
    salt = f"statement:{account.id}:{span.first}:{span.last}"
    return URLSafeSerializer(current_app.secret_key, salt=salt)  # type: ignore[arg-type]


@page(menu="journal")
class JournalPage(PayAdminModelView):
    """Every transaction of the books, the latest first."""

    model = LedgerTransaction
    slug = "journal"
    heading = "Journal"
    plural = "Ledger transactions"
    singular = "Ledger transaction"
    subtitle = "Everything that was booked. Nothing here can be changed; a mistake is corrected by a reversal, once."
    export = EXPORT
    create = None
    edit = None
    delete = None
    column_list = ("id", "effective_on", "template", "key", "posted_by", "posted_at", "reverses_id")
    column_filters = ("effective_on", "template", "key")
    default_sort = "-effective_on"
    phone = {"template": "m1", "id": "m2", "key": "m3", "effective_on": "m4"}
    details_template = "ledger/transaction.html"
    find_by = ("key",)

    def cell(self, column: Column, names: dict[int, str]) -> Any:
        """Templates by their names."""
        if column.key == "template":
            return lambda row: template_words(row.template)
        return super().cell(column, names)

    def describe(self, row: LedgerTransaction) -> str:
        """A transaction by its number."""
        return f"{say('Transaction')} {row.id}"

    def details_context(self, row: LedgerTransaction) -> dict[str, Any]:
        """The legs, what it is about, and what reverses it or is reversed by it."""
        session = db.session()
        legs = asked.legs_of(session, [row.id]).get(row.id, [])
        payment = asked.payment_behind(session, row)
        pages = current_app.extensions[PAGE_OF]
        reversal = session.query(LedgerTransaction.id).filter_by(reverses_id=row.id).scalar()
        return {
            "row": row,
            "title": self.describe(row),
            "back": self.list_address(),
            "what": template_words(row.template),
            "legs": legs,
            "owners": owner_names({leg.owner for leg in legs if leg.owner}),
            "scales": {leg.unit: unit_scale(leg.unit) or 0 for leg in legs},
            "head_words": head_words,
            "payment": payment if payment is not None and pages[Payment].is_accessible() else None,
            "payment_url": url_for("transactions.details_view", row_id=payment.id) if payment is not None else None,
            "reversal": reversal,
            "about": _record_behind(row),
        }


def _record_behind(row: LedgerTransaction) -> tuple[str, str] | None:
    """The address and the name of the record that a transaction is about, where it has a page of its own."""
    if row.business != "wallet_transaction":
        return None
    pages = current_app.extensions[PAGE_OF]
    found = db.session.get(WalletTransaction, row.business_id)
    if found is None or not pages[WalletTransaction].is_accessible():
        return None
    return url_for("wallet_transactions.details_view", row_id=found.id), say(str(found))


class ClosingForm(Form):
    """Through which day the books are closed, and why."""

    last_day = DateField("Close through", [InputRequired("Choose the last day of the period.")])
    reason = TextAreaField(
        "Reason",
        [InputRequired("Say why."), Length(max=200, message="Keep it within 200 characters."), no_controls],
        description="Kept in the audit trail and beside the period.",
        render_kw={"rows": 2},
    )
    offer = HiddenField()
    code = StringField()


@page(menu="accounting-periods")
class PeriodsPage(PayAdminModelView):
    """The closed periods of the books, the latest first, and the closing of the next."""

    model = AccountingPeriod
    slug = "accounting-periods"
    plural = "Accounting periods"
    singular = "Accounting period"
    subtitle = "Days whose books are closed. Nothing is booked into them any more."
    export = EXPORT
    create = None
    edit = None
    delete = None
    column_list = ("first_day", "last_day", "transactions", "closed_by", "reason", "created_at")
    default_sort = "-created_at"
    list_template = "ledger/periods.html"
    needs = {"close_view": Permission.LEDGER_ENTRY_CLOSE}

    def render(self, template: str, **kwargs: Any) -> str:
        """The list offers the closing to whoever may close."""
        return str(super().render(template, may_close=current_actor().may(Permission.LEDGER_ENTRY_CLOSE), **kwargs))

    @expose("/close/", methods=("GET", "POST"))
    def close_view(self) -> Any:
        """Choose the day, see what stands in the way, and close with a code."""
        form = ClosingForm(request.form if request.method == "POST" else request.args)
        session = db.session()
        first = ledger.opening_day(session)
        if form.last_day.data is None and first is not None and request.method == "GET":
            form.last_day.data = min(_month_end(first), lists.today() - dt.timedelta(days=1))
        day: Any = form.last_day.data
        status, problem = 200, None
        if request.method == "POST":
            status = 422
            if form.validate():
                try:
                    ledger.close_period(
                        current_actor(),
                        last_day=day,
                        reason=str(form.reason.data),
                        offer=form.offer.data or "",
                        code=(form.code.data or "").strip(),
                    )
                except Refusal as refusal:
                    db.session.rollback()
                    status, problem = refusal.status, put(form, refusal)
                else:
                    flash("The period is closed.", "success")
                    return redirect(self.address, 303)
        may_be = isinstance(day, dt.date) and first is not None and first <= day < lists.today()
        if may_be:
            form.offer.data = step_up.offer(current_actor(), ledger.CLOSE_ACT, ledger.closing_facts(day))
        page_text = self.render(
            "ledger/close.html",
            form=form,
            problem=problem,
            first=first,
            day=day,
            may_be=may_be,
            obstacles=ledger.obstacles(session, day) if may_be else [],
            back=self.address,
            here=url_for(".close_view"),
        )
        return page_text, status


def _month_end(day: dt.date) -> dt.date:
    following = (day.replace(day=1) + dt.timedelta(days=32)).replace(day=1)
    return following - dt.timedelta(days=1)
