"""The page on which customers send documents: whoever holds a signed link, once. It shows nothing of theirs."""

from typing import Any

from flask import Blueprint, Flask, Response, make_response, redirect, render_template, request, session
from flask import url_for as address
from flask_limiter import RateLimitExceeded
from flask_wtf.csrf import CSRFError
from sqlalchemy import select
from werkzeug.datastructures import CombinedMultiDict
from werkzeug.exceptions import RequestEntityTooLarge

from payadmin.actions import identification
from payadmin.config import current_settings
from payadmin.db import db, utcnow
from payadmin.kernel.errors import Refusal
from payadmin.kernel.links import fingerprint_of, is_ours
from payadmin.kernel.text import _
from payadmin.models.identification import EXPIRED, DocumentKind, Need, UploadLink, UploadLinkStatus, link_state
from payadmin.models.parties import Customer
from payadmin.views.fields import put
from payadmin.views.gate import limiter
from payadmin.views.identification.forms import WHAT_IS_TAKEN, sending_form, sent_in
from payadmin.views.language import say
from payadmin.views.security import request_id

# Tries are counted in the database; this only slows down one address that hammers the page.
PER_ADDRESS = "60 per minute;600 per hour"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
UNKNOWN = (
    _("This link opens nothing"),
    _(
        "It is not complete, or a newer one was sent in its place. "
        "Look for the latest message, or ask who sent it to you."
    ),
)
CLOSED = {
    UploadLinkStatus.USED.value: (
        _("The documents were sent"),
        _("The link was used already, and it works only once. If that was not you, tell us."),
    ),
    UploadLinkStatus.REVOKED.value: (_("This request was withdrawn"), _("Nothing is needed with this link any more.")),
    EXPIRED: (_("This link has expired"), _("Nothing was sent. Ask for a new link.")),
}
TOO_LARGE = _("Together the files are too large: at most 15 MB. Nothing was sent; choose smaller ones.")

sending = Blueprint("sending", __name__, url_prefix="/send-documents")


def init_sending(app: Flask) -> None:
    """Add the page to `app`."""
    limiter.limit(PER_ADDRESS)(sending)
    app.register_blueprint(sending)


@sending.route("/<token>", methods=("GET", "POST"))
def send(token: str) -> Any:
    """What is asked for, and the form to send it; a post sends it once."""
    link = _link_of(token)
    if link is None:
        return _closed(*UNKNOWN, status=404)
    if (state := link_state(link, utcnow())) != UploadLinkStatus.OPEN.value:
        return (
            _thanks() if session.get("documents_sent") == link.id else _closed(*CLOSED.get(state, UNKNOWN), status=410)
        )
    needs = identification.asked_needs(_customer(link).kind, link.asked_for)
    made = sending_form(needs)
    form: Any = made(CombinedMultiDict([request.files, request.form]) if request.method == "POST" else None)
    if request.method == "GET":
        return _form_page(link, needs, form)
    if not form.validate():
        return _form_page(link, needs, form, status=422)
    link_id = link.id
    try:
        identification.receive_by_link(
            identification.sender(request.remote_addr, request_id()),
            link_id,
            [each for need in needs for each in sent_in(form[f"{need.key}_files"], _kind(form, need))],
            token_hash=link.token_hash,
            settings=current_settings(),
        )
    except identification.Gone:
        db.session.rollback()
        now = _link_of(token)
        state = link_state(now, utcnow()) if now is not None else ""
        return _closed(*CLOSED.get(state, UNKNOWN), status=410 if now is not None else 404)
    except Refusal as refusal:
        db.session.rollback()
        again = _link_of(token)
        return _form_page(again or link, needs, form, problem=put(form, refusal), status=refusal.status)
    session["documents_sent"] = link_id
    return redirect(address("sending.send", token=token), 303)


@sending.after_request
def keep_private(response: Response) -> Response:
    """The address is a secret: nobody is told it, nothing remembers it, no search engine lists it."""
    response.headers["Content-Security-Policy"] = POLICY
    # Not "no-referrer": over HTTPS a form without a Referer of its own site is taken for a forgery.
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["X-Robots-Tag"] = "noindex, nofollow, noarchive"
    response.headers["Cache-Control"] = "no-store"
    return response


@sending.errorhandler(RateLimitExceeded)
def too_many(_error: RateLimitExceeded) -> Any:
    """One address asked too often: it waits, whatever link it holds."""
    return _closed(_("Too many tries"), _("Wait a minute, then open the link again."), status=429)


@sending.errorhandler(CSRFError)
def expired_form(_error: CSRFError) -> Any:
    """The form was open for too long, or the browser keeps no cookies."""
    sentence = _("Nothing was sent. Open the link again, with cookies allowed, and choose the files once more.")
    return _closed(_("This form has expired"), sentence, status=400)


@sending.errorhandler(RequestEntityTooLarge)
def too_large(_error: RequestEntityTooLarge) -> Any:
    """More than any request may weigh; nothing of it was read."""
    return _closed(_("The files are too large"), TOO_LARGE, status=413)


# ---- parts -----------------------------------------------------------------------------------------------------------


def _link_of(token: str) -> Any:
    """The link with this token; tokens that are not ours ask no database."""
    if not is_ours(current_settings().secret_key, identification.PURPOSE, token):
        return None
    wanted = select(UploadLink).where(UploadLink.token_hash == fingerprint_of(token))
    return db.session.scalars(wanted.execution_options(populate_existing=True)).one_or_none()


def _customer(link: UploadLink) -> Customer:
    found: Customer = db.session.get_one(Customer, link.customer_id)
    return found


def _kind(form: Any, need: Need) -> DocumentKind:
    """What the customer says it is; where only one kind will do, that."""
    return DocumentKind[form[f"{need.key}_kind"].data] if len(need.kinds) > 1 else need.kinds[0]


def _form_page(
    link: UploadLink, needs: list[Need], form: Any, *, problem: str | None = None, status: int = 200
) -> Response:
    company = current_settings().company_name
    page = render_template(
        "identification/send.html",
        needs=needs,
        form=form,
        message=link.message,
        until=link.expires_at,
        taken=WHAT_IS_TAKEN,
        problem=problem,
        merchant=None,
        company=company,
    )
    return make_response(page, status)


def _thanks() -> Response:
    company = current_settings().company_name
    return make_response(render_template("identification/sent.html", merchant=None, company=company))


def _closed(title: str, sentence: str, *, status: int) -> Response:
    page = render_template(
        "subscriptions/hosted_closed.html",
        heading=say(title),
        sentence=say(sentence),
        number=None,
        merchant=None,
        company=current_settings().company_name,
    )
    return make_response(page, status)
