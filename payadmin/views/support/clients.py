"""Clients: all requests for support, customers by phone, e-mail and user name, and who is calling (S3:166)."""

import datetime as dt
from typing import Any, Final

from flask import Blueprint, Flask, current_app, flash, redirect, render_template, request, url_for
from sqlalchemy import select
from werkzeug.wrappers import Response
from wtforms import Form, HiddenField, StringField, TextAreaField
from wtforms.validators import InputRequired, Length

from payadmin.actions import reveals, support
from payadmin.actions.support import Verdict
from payadmin.db import db, utcnow
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, NotFound, Refusal
from payadmin.kernel.masks import mask_search
from payadmin.kernel.text import Text, _, _n
from payadmin.models.parties import Customer
from payadmin.models.support import BODY_LENGTH, SUBJECT_LENGTH, Ticket, TicketChannel, TicketPriority
from payadmin.permissions import Permission, Role
from payadmin.queries.support import FIGURE_DAYS, find_customers, first_answers, loads_of, queue_of
from payadmin.views import lists
from payadmin.views.columns import enum_cell
from payadmin.views.fields import EnumField, SelectField, no_cards, no_controls, put
from payadmin.views.filters import moment_of, row_id_of
from payadmin.views.language import say
from payadmin.views.reveals import RevealForm
from payadmin.views.security import current_actor
from payadmin.views.support.shown import WRITE, client_of, refuse_strangers, scope, team_names
from payadmin.views.wallets.shown import KeyField

SET: Final = Permission.SUPPORT_CODEWORD_WRITE
REVEAL: Final = Permission.PARTIES_PERSONAL_REVEAL
LONGEST_SEARCH: Final = 200
NEWEST: Final = 20
# Who keeps codewords without taking calls comes from the page of customers.
OF_KEEPERS: Final = frozenset({"clients.set_word"})

blueprint = Blueprint("clients", __name__)


class TicketForm(Form):
    """What a new ticket says."""

    channel = EnumField("Channel", [InputRequired("Choose one.")], members=TicketChannel, default=TicketChannel.PHONE)
    subject = StringField("Subject", [InputRequired("Say in a few words what it is about."),
                                      Length(max=SUBJECT_LENGTH), no_controls])  # fmt: skip
    body = TextAreaField(
        "What the customer wants",
        [InputRequired("Write something."), Length(max=BODY_LENGTH), no_controls],
        render_kw={"rows": 6},
    )
    priority = EnumField("Priority", members=TicketPriority, default=TicketPriority.NORMAL)
    team = SelectField("Team", validate_choice=False)
    payment = StringField(
        "Payment",
        [Length(max=200), no_controls],
        description="Its transaction ID or invoice number, if it is about one.",
    )
    key = KeyField()


class WordForm(Form):
    """A codeword, typed or made here."""

    codeword = StringField(
        "Codeword",
        [Length(max=200)],
        description="At least 6 characters that can be said. Leave it empty to have one made.",
        render_kw={"autocomplete": "off", "spellcheck": "false"},
    )
    reason = StringField(
        "How did you make sure who the customer is?",
        [InputRequired("Say how you made sure who the customer is."), Length(max=300), no_controls, no_cards],
    )
    seen = HiddenField()


@blueprint.before_request
def _gate() -> None:
    if request.endpoint in OF_KEEPERS:
        if not current_actor().may(SET):
            raise Forbidden("Your role does not include this page.")
        return
    refuse_strangers("clients", WRITE)


@blueprint.get("/clients/")
def index() -> str:
    """What waits, in numbers that lead to lists of that length; customers that a term finds; the newest requests."""
    term = request.args.get("q", "").strip()[:LONGEST_SEARCH]
    session, now, seen = db.session(), utcnow(), scope()
    since = moment_of(lists.today() - dt.timedelta(days=FIGURE_DAYS))
    told: dict[str, Any] = {
        "queue": queue_of(session, seen, now),
        "loads": loads_of(session, seen, now),
        "answers": first_answers(session, seen, since),
        "since": (lists.today() - dt.timedelta(days=FIGURE_DAYS)).isoformat(),
        "days": FIGURE_DAYS,
    }
    found = None
    if term and term.isprintable():
        found = find_customers(session, term, country=current_app.extensions["payadmin.settings"].phone_country)
        clients = [client_of(row, may_know=False) for row in found.rows]
        told |= {"clients": clients, "is_cut": found.is_cut}
        support.note_search(current_actor(), looked_for=_masked(term), found=len(clients))
    newest = session.scalars(
        select(Ticket).where(seen).order_by(Ticket.created_at.desc(), Ticket.id.desc()).limit(NEWEST)
    ).all()
    customers = {
        row.id: client_of(row, may_know=False)
        for row in session.scalars(select(Customer).where(Customer.id.in_({each.customer_id for each in newest})))
    }
    return render_template(
        "support/clients.html",
        term=term,
        searched=found is not None,
        newest=newest,
        customers=customers,
        state=enum_cell,
        now=now,
        wait=_duration,
        **told,
    )


@blueprint.get("/clients/<int:customer_id>/")
def show(customer_id: int) -> Any:
    """A customer, masked until they said the codeword or the reader gave a reason; their tickets; a new one."""
    return _client_page(customer_id)


@blueprint.post("/clients/<int:customer_id>/codeword/")
def compare(customer_id: int) -> Any:
    """Compare what the caller said."""
    try:
        verdict = support.compare_codeword(
            current_actor(), customer_id, codeword=request.form.get("codeword", "")[:LONGEST_SEARCH]
        )
    except (Invalid, Conflict) as refusal:
        return _client_page(customer_id, refusal)
    if not verdict.is_right:
        return _client_page(customer_id, Conflict(_wrong(verdict), field="codeword"))
    if verdict.until is None:
        flash("The codeword is right, but you gave it to the customer: personal data stays masked for you.", "success")
    else:
        flash("The codeword is right. Personal data is shown to you for a quarter of an hour.", "success")
    return redirect(url_for("clients.show", customer_id=customer_id), 303)


@blueprint.route("/clients/<int:customer_id>/reveal/", methods=("GET", "POST"))
def reveal(customer_id: int) -> Any:
    """Ask for the reason; a post shows who the customer is for a few minutes."""
    if not current_actor().may(REVEAL):
        raise Forbidden("Your role does not include this page.")
    row = _customer(customer_id)
    form, status = RevealForm(request.form or None), 200
    back = url_for("clients.show", customer_id=customer_id)
    if request.method == "POST":
        status = 422
        if form.validate():
            try:
                reveals.reveal_record(
                    current_actor(), customer_id, scope=select(Customer), reason=form.reason.data,
                    note=form.note.data or "",
                )  # fmt: skip
            except Invalid as refusal:
                db.session.rollback()
                form.note.errors = [refusal.sentence]
            else:
                flash("Shown for a few minutes. Your reason is written into the trail.", "success")
                return redirect(back, 303)
    name = client_of(_customer(customer_id), may_know=False).name or row.external_id
    shown = {"form": form, "minutes": reveals.MINUTES, "name": name, "back": back, "title": "Show personal data"}
    return render_template("admin/model/reveal.html", **shown), status


@blueprint.post("/clients/<int:customer_id>/hide/")
def hide(customer_id: int) -> Response:
    """End it before its time."""
    if not current_actor().may(REVEAL):
        raise Forbidden("Your role does not include this page.")
    reveals.hide_record(current_actor(), customer_id, scope=select(Customer))
    flash("Personal data is masked again.", "success")
    return redirect(url_for("clients.show", customer_id=customer_id), 303)


@blueprint.route("/clients/<int:customer_id>/new-codeword/", methods=("GET", "POST"))
def set_word(customer_id: int) -> Any:
    """Give the customer a codeword. One that was made here is shown by the answer to the post, and never again."""
    customer = _customer(customer_id)
    form, sentence, status = WordForm(request.form or None), None, 200
    if request.method == "POST":
        status = 422
        if form.validate():
            typed = (form.codeword.data or "").strip()
            word = typed or support.new_codeword()
            try:
                support.set_codeword(current_actor(), customer_id, codeword=word, reason=form.reason.data or "")
            except (Invalid, Conflict) as refusal:
                db.session.rollback()
                sentence, status = put(form, refusal), refusal.status
            else:
                if not typed:
                    return _word_page(_customer(customer_id), form, made=word)
                flash("The codeword is set.", "success")
                return redirect(_back_of(customer_id), 303)
            customer = _customer(customer_id)
    return _word_page(customer, form, sentence=sentence), status


@blueprint.route("/clients/<int:customer_id>/new-ticket/", methods=("GET", "POST"))
def new_ticket(customer_id: int) -> Any:
    """Open a ticket for the customer; sent twice it is opened once."""
    customer, is_manager = _customer(customer_id), Role.SUPPORT_MANAGER in current_actor().roles
    form, sentence, status = TicketForm(request.form or None), None, 200
    if is_manager:
        form.team.choices = [("", say(Text("None yet"))), *((str(key), name) for key, name in team_names().items())]
    else:
        del form.team
    if request.method == "POST":
        status = 422
        if form.validate():
            try:
                ticket_id = support.open_ticket(
                    current_actor(),
                    customer_id,
                    channel=form.channel.data,
                    subject=form.subject.data or "",
                    body=form.body.data or "",
                    priority=form.priority.data or TicketPriority.NORMAL,
                    team_id=row_id_of(form.team.data or "") if is_manager else None,
                    payment=form.payment.data or "",
                    key=str(form.key.data),
                )
            except (Invalid, Conflict) as refusal:
                db.session.rollback()
                sentence = put(form, refusal, {"team_id": "team"}.get(refusal.field or "", refusal.field))
                status = refusal.status
            else:
                flash("The ticket is opened.", "success")
                return redirect(url_for("tickets.details_view", row_id=ticket_id), 303)
            customer = _customer(customer_id)
    page = render_template(
        "support/new_ticket.html",
        client=client_of(customer),
        form=form,
        sentence=sentence,
        back=url_for("clients.show", customer_id=customer_id),
    )
    return page, status


def _client_page(customer_id: int, refusal: Refusal | None = None) -> Any:
    db.session.rollback()
    customer, actor = _customer(customer_id), current_actor()
    tickets = db.session.scalars(
        select(Ticket)
        .where(scope(), Ticket.customer_id == customer_id)
        .order_by(Ticket.created_at.desc(), Ticket.id.desc())
        .limit(NEWEST)
    ).all()
    page = render_template(
        "support/client.html",
        client=client_of(customer),
        customer=customer,
        tickets=tickets,
        state=enum_cell,
        problem=refusal.sentence if refusal is not None else None,
        may_set=actor.may(SET),
        may_reveal=actor.may(REVEAL),
        may_payments=actor.may(Permission.PAYMENTS_PAYMENT_READ),
        now=utcnow(),
    )
    return page, refusal.status if refusal is not None else 200


def _word_page(customer: Customer, form: WordForm, *, made: str | None = None, sentence: str | None = None) -> str:
    return render_template(
        "support/codeword.html",
        client=client_of(customer),
        form=form,
        made=made,
        sentence=sentence,
        back=_back_of(customer.id),
        needs_saying=customer.codeword_digest is not None and current_actor().may(WRITE),
    )


def _back_of(customer_id: int) -> str:
    actor = current_actor()
    if actor.may(WRITE) and actor.opens("clients"):
        return url_for("clients.show", customer_id=customer_id)
    return url_for("customers.details_view", row_id=customer_id)


def _customer(customer_id: int) -> Customer:
    known = 0 < customer_id < 2**63
    customer = db.session.get(Customer, customer_id, populate_existing=True) if known else None
    if customer is None:
        raise NotFound("There is no such customer.")
    return customer


def _wrong(verdict: Verdict) -> str:
    if verdict.left == 0:
        return _("This is not the codeword. There is no try left for a quarter of an hour.")
    return _n(
        "This is not the codeword. There is %(number)s try left.",
        "This is not the codeword. There are %(number)s tries left.",
        verdict.left,
    )


def _masked(term: str) -> str:
    """What somebody looked for, for the trail: nothing of it but its kind and its first letters."""
    shown = mask_search(term)
    return shown if shown != term else f"{term[:2]}…"


def _duration(length: dt.timedelta | None) -> str:
    """How long, in the two largest parts."""
    if length is None:
        return "–"
    minutes = int(length.total_seconds()) // 60
    days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days:
        return say(_("%(days)s d %(hours)s h", days=days, hours=hours))
    return say(_("%(hours)s h %(minutes)s min", hours=hours, minutes=rest))


def init_clients(app: Flask) -> None:
    """Add the pages, under the menu's entry."""
    app.register_blueprint(blueprint)
    app.extensions.setdefault("payadmin.pages", {})["clients"] = "clients.index"
