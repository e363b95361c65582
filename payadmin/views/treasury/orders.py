"""Top-up, withdrawal and the payment of a redeem request at the own desk: find, look, confirm, receipt (S3:97)."""

from collections.abc import Sequence
from typing import Any

from flask import current_app, flash, redirect, request
from flask_admin import expose
from itsdangerous import BadData, URLSafeTimedSerializer
from wtforms import Form, HiddenField, PasswordField, RadioField, StringField
from wtforms.validators import InputRequired, Length, Optional

from payadmin.actions import treasury
from payadmin.config import current_settings
from payadmin.db import db, utcnow
from payadmin.kernel import codewords
from payadmin.kernel.errors import Conflict, Invalid, Refusal
from payadmin.kernel.text import Text, _
from payadmin.models.parties import Customer
from payadmin.models.redeem import RedeemRequest
from payadmin.models.treasury import CashKind, DayStatus
from payadmin.models.wallets import NOTE_LENGTH, Wallet
from payadmin.permissions import Permission
from payadmin.queries.treasury import CashPlan, find_customers, plan_cash
from payadmin.queries.treasury.days import payable_requests, wallets_of_customers
from payadmin.queries.wallets import amounts_of
from payadmin.views.columns import unit_scale
from payadmin.views.fields import MoneyField, no_cards, no_controls, put
from payadmin.views.filters import row_id_of
from payadmin.views.language import say
from payadmin.views.security import current_actor
from payadmin.views.treasury.shown import known, masked_wallet, money_said, operation_url, payees
from payadmin.views.treasury.till import TillPages
from payadmin.views.wallets.shown import KeyField

FOUND_SECONDS = 30 * 60
LONGEST_SAID = 254
MOST_CUSTOMERS = 10
CUSTOMERS, REQUESTS = "customers", "requests"
TITLES = {
    CashKind.TOP_UP: Text("Top-up"),
    CashKind.WITHDRAWAL: Text("Withdraw"),
    CashKind.REDEEM: Text("Pay a redeem request"),
}
FIND_AGAIN = _("Find the customer again: that was too long ago.")


class FindForm(Form):
    """Who stands at the desk. What is typed as a codeword is never shown again."""

    who = StringField(
        "Phone, e-mail or Customer ID",
        [Length(max=LONGEST_SAID), no_controls],
        description="The whole of it.",
        render_kw={"autocomplete": "off", "autofocus": True},
    )
    codeword = PasswordField(
        "Or the codeword",
        [Length(max=LONGEST_SAID)],
        description="It is not shown. After five wrong ones you have to wait for a quarter of an hour.",
        render_kw={"autocomplete": "off"},
    )


class FindRequestForm(FindForm):
    """The same, or the number of a redeem request."""

    number = StringField(
        "Or the number of the request", [Length(max=20)], render_kw={"autocomplete": "off", "inputmode": "numeric"}
    )


class CashForm(Form):
    """Which wallet, and how much."""

    found = HiddenField()
    wallet = RadioField("Wallet", [InputRequired("Choose one.")], coerce=int, validate_choice=False)
    amount = MoneyField("Amount", [InputRequired("This is needed.")])
    note = StringField("Note", [Optional(), Length(max=NOTE_LENGTH), no_controls, no_cards])
    key = KeyField()
    seen_cash = HiddenField()
    seen_wallet = HiddenField()


class OrderPages(TillPages):
    """The forms of what customers bring and take."""

    @expose("/own/top-up/", methods=("GET", "POST"))
    def top_up_view(self) -> Any:
        """A customer brings cash."""
        return self._order(CashKind.TOP_UP)

    @expose("/own/withdraw/", methods=("GET", "POST"))
    def withdraw_view(self) -> Any:
        """A customer takes cash."""
        return self._order(CashKind.WITHDRAWAL)

    @expose("/own/redeem/", methods=("GET", "POST"))
    def redeem_view(self) -> Any:
        """A customer fetches what an accountant approved."""
        self._refuse_unless_open()
        if "confirm" in request.form:
            return self._pay()
        if (request_id := row_id_of(request.form.get("request", ""))) is not None:
            return self._redeem_page(request_id)
        form = FindRequestForm(request.form if request.method == "POST" else None)
        sentence, status, found = None, 200, None
        if request.method == "POST":
            status = 422
            if form.validate():
                try:
                    found = self._requests(form)
                    status = 200
                except (Invalid, Conflict) as refusal:
                    status, sentence = refusal.status, put(form, refusal)
        if found is not None:
            people = payees([row.wallet_id for row in found])
            rows = [(row, people[row.wallet_id], _seal(REQUESTS, [row.id])) for row in found]
            return self.render(
                "treasury/redeem_choose.html", rows=rows, money=money_said, title=TITLES[CashKind.REDEEM]
            )
        return self._find_page(form, CashKind.REDEEM, sentence), status

    # --- finding ------------------------------------------------------------------------------------------------------

    def _refuse_unless_open(self) -> None:
        _desk, day = self.own_day()
        if day.status is not DayStatus.OPEN:
            raise Conflict("The day was counted: no operation is possible in it any more.")

    def _find_page(self, form: FindForm, kind: CashKind, sentence: str | None) -> str:
        return str(
            self.render("treasury/find.html", form=form, fields=list(form), title=TITLES[kind], sentence=sentence)
        )

    def _customers(self, form: FindForm) -> Sequence[Customer]:
        """Whom the form is about.

        Raises:
            Invalid: nothing typed, or nobody is known by it.
            Conflict: too many wrong codewords.
        """
        said, word = (form.who.data or "").strip(), form.codeword.data or ""
        if said:
            found = find_customers(db.session(), said, ())
            field, sentence = "who", _("Nobody is known by this. Type the whole phone number, e-mail or Customer ID.")
        elif codewords.normalised(word):
            found = treasury.find_by_codeword(current_actor(), word=word, keys=current_settings().totp_keys)
            field, sentence = "codeword", _("Nobody has this codeword.")
        else:
            raise Invalid("Type one of them.", field="who")
        if not found:
            raise Invalid(sentence, field=field)
        return found[:MOST_CUSTOMERS]

    def _requests(self, form: FindRequestForm) -> Sequence[RedeemRequest]:
        number = (form.number.data or "").strip()
        if number and not (form.who.data or "").strip() and not form.codeword.data:
            row_id = row_id_of(number)
            found = payable_requests(db.session(), number=row_id) if row_id is not None else ()
            if not found:
                raise Invalid("No approved request for cash has this number.", field="number")
            return found
        customers = self._customers(form)
        found = payable_requests(db.session(), customer_ids=[customer.id for customer in customers])
        if not found:
            raise Invalid("This customer has no approved request for cash.", field="who")
        return found

    # --- top-up and withdrawal ----------------------------------------------------------------------------------------

    def _order(self, kind: CashKind) -> Any:
        posted = request.method == "POST"
        if not (posted and "confirm" in request.form):
            self._refuse_unless_open()  # a confirmation that comes twice is answered although the day was counted
        if posted and request.form.get("found"):
            return self._choose(kind)
        form = FindForm(request.form if posted else None)
        sentence, status = None, 422 if posted else 200
        if posted and form.validate():
            try:
                customers = self._customers(form)
                found = _seal(CUSTOMERS, [each.id for each in customers])
                return self._choice_page(kind, CashForm(data={"found": found}), customers)
            except (Invalid, Conflict) as refusal:
                status, sentence = refusal.status, put(form, refusal)
        return self._find_page(form, kind, sentence), status

    def _choose(self, kind: CashKind) -> Any:
        form = CashForm(request.form)
        session = db.session()
        ids = _unseal(CUSTOMERS, form.found.data)
        customers = [each for each in (session.get(Customer, customer_id) for customer_id in ids) if each is not None]
        wallets = {wallet.id: wallet for wallet in wallets_of_customers(session, ids)}
        chosen = wallets.get(form.wallet.data or 0)
        if chosen is not None:
            form.amount.scale = unit_scale(chosen.unit) or 0
            form.process(request.form)
        sentence, status = None, 200
        if "change" not in request.form:
            status = 422
            if form.validate() and chosen is not None:
                try:
                    if "confirm" in request.form:
                        return self._done(kind, form, chosen)
                    plan = plan_cash(
                        session, kind=kind, wallet=chosen, amount_minor=int(form.amount.data or 0), at=utcnow()
                    )
                    return self._confirm_page(kind, form, plan, customers)
                except (Invalid, Conflict) as refusal:
                    session.rollback()
                    status, sentence = refusal.status, self._put(form, refusal)
            elif form.wallet.data is not None and chosen is None:
                form.wallet.errors = [say(_("Choose one of the list."))]
        return self._choice_page(kind, form, customers, sentence), status

    def _put(self, form: CashForm, refusal: Refusal) -> str | None:
        return put(form, refusal, "" if refusal.field is None else refusal.field)

    def _choice_page(
        self, kind: CashKind, form: CashForm, customers: Sequence[Customer], sentence: str | None = None
    ) -> str:
        wallets = wallets_of_customers(db.session(), [each.id for each in customers])
        if form.wallet.data is None and len(wallets) == 1:
            form.wallet.data = wallets[0].id
        shown = [(known(each), [wallet for wallet in wallets if wallet.customer_id == each.id]) for each in customers]
        return str(
            self.render(
                "treasury/choose.html", form=form, people=shown, kind=kind.name, title=TITLES[kind], sentence=sentence,
                has_wallets=bool(wallets),
            )
        )  # fmt: skip

    def _confirm_page(self, kind: CashKind, form: CashForm, plan: CashPlan, customers: Sequence[Customer]) -> Any:
        person = next(each for each in customers if each.id == plan.wallet.customer_id)
        unit = plan.wallet.unit
        over = plan.exceeded[0] if plan.exceeded else None
        available = amounts_of(db.session(), [plan.wallet])[plan.wallet.id].available_minor
        is_poor = kind is CashKind.WITHDRAWAL and available < plan.wallet_minor
        page = self.render(
            "treasury/confirm.html",
            form=form, plan=plan, person=known(person), kind=kind.name, title=TITLES[kind],
            cash=money_said(plan.cash_minor, unit), moved=money_said(plan.wallet_minor, unit),
            commission=money_said(plan.commission_minor, unit), why=[say(step) for step in plan.why],
            over={
                "rule": say(Text(over.rule.value).lower()),
                "limit": money_said(over.limit_minor, unit),
                "actual": money_said(over.actual_minor, unit),
            }
            if over is not None
            else None,
            available=money_said(available, unit) if is_poor else None,
        )  # fmt: skip
        return page, 200 if over is None and not is_poor else 409

    def _done(self, kind: CashKind, form: CashForm, wallet: Wallet) -> Any:
        act = treasury.top_up if kind is CashKind.TOP_UP else treasury.withdraw
        row = act(
            current_actor(),
            wallet.id,
            amount_minor=int(form.amount.data or 0),
            key=str(form.key.data),
            seen=(_minor(form.seen_cash.data), _minor(form.seen_wallet.data)),
            note=form.note.data or None,
        )
        flash("Done. Print the receipt, and count the cash before the customer.", "success")
        return redirect(operation_url(row.id), 303)

    # --- redeem requests ----------------------------------------------------------------------------------------------

    def _redeem_page(self, request_id: int, sentence: str | None = None, key: str | None = None) -> Any:
        session = db.session()
        if request_id not in _unseal(REQUESTS, request.form.get("found")):
            raise Conflict(FIND_AGAIN)
        row = session.get(RedeemRequest, request_id)
        if row is None:
            raise Conflict("There is no such request.")
        form = CashForm()
        page = self.render(
            "treasury/redeem_confirm.html",
            row=row, person=payees([row.wallet_id])[row.wallet_id], cash=money_said(row.amount_minor, row.unit),
            commission=money_said(row.commission_minor, row.unit), key=key or form.key.data, sentence=sentence,
            found=request.form.get("found", ""), title=TITLES[CashKind.REDEEM],
            wallet=masked_wallet(session.get_one(Wallet, row.wallet_id).number),
        )  # fmt: skip
        return page, 200 if sentence is None else 409

    def _pay(self) -> Any:
        request_id, key = row_id_of(request.form.get("request", "")), request.form.get("key", "").strip()
        if request_id is None or request_id not in _unseal(REQUESTS, request.form.get("found")) or not key:
            raise Conflict(FIND_AGAIN)
        try:
            row = treasury.pay_redeem(current_actor(), request_id, key=key)
        except (Invalid, Conflict) as refusal:
            db.session.rollback()
            return self._redeem_page(request_id, refusal.sentence, key)
        flash("Done. Print the receipt, and count the cash before the customer.", "success")
        return redirect(operation_url(row.id), 303)


def _serializer(what: str) -> URLSafeTimedSerializer:
    # A customer and a request may have the same number: finding one is not finding the other.
    salt = f"cash-found:{what}:{current_actor().staff_id}"
    return URLSafeTimedSerializer(current_app.secret_key, salt=salt)  # type: ignore[arg-type]


def _seal(what: str, ids: Sequence[int]) -> str:
    """Who was found, so that the next step is about nobody else: only whom a cashier has found can be served."""
    return str(_serializer(what).dumps(list(ids)))


def _unseal(what: str, text: str | None) -> list[int]:
    try:
        return [int(each) for each in _serializer(what).loads(text or "", max_age=FOUND_SECONDS)]
    except (BadData, TypeError, ValueError):
        raise Conflict(FIND_AGAIN) from None


def _minor(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 20 else -1  # noqa: PLR2004 - longer is no amount


NEEDS = {
    "top_up_view": Permission.CASH_DAY_OPERATE,
    "withdraw_view": Permission.CASH_DAY_OPERATE,
    "redeem_view": Permission.CASH_REDEEM_PAY,
}
