"""The one place where refusals, HTTP errors and bugs become answers: a page, a fragment or JSON."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from flask import (
    Flask,
    Response,
    current_app,
    flash,
    g,
    jsonify,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import DataError, SQLAlchemyError
from werkzeug.exceptions import HTTPException, SecurityError, Unauthorized

from payadmin.approvals import KINDS
from payadmin.guard import PAUSE
from payadmin.kernel.errors import Forbidden, NeedsApproval, Refusal
from payadmin.kernel.text import _
from payadmin.views.security import request_id
from payadmin.work import record_refusal

LOGIN_ENDPOINT = "login.login"
TITLES = {
    202: _("Waiting for approval"),
    400: _("This request makes no sense"),
    401: _("Please sign in"),
    402: _("The provider declined"),
    403: _("You don't have access to this page"),
    404: _("Page not found"),
    405: _("This address does not work that way"),
    409: _("This can't be done now"),
    413: _("The file is too large"),
    422: _("Please check what you entered"),
    429: _("Too many attempts"),
    502: _("No answer from the provider"),
}
SENTENCES = {
    400: "The address or the form has a value that payadmin does not understand. Nothing was changed.",
    401: "Your session has ended. Sign in again to go on.",
    403: "Your role does not include it. Ask an administrator if you need it.",
    404: "There is nothing at this address, or you may not see it.",
    405: "Open the page again and use its buttons.",
    413: "Send a smaller file.",
    429: "Wait a minute, then try again.",
}
UNEXPECTED = "This is a mistake of payadmin, not yours. It was written down; the number below helps to find it."
# Payers have no account, and nothing to do with the words of staff. Their link says what became of a registration.
PAYERS_ADDRESS = "/register"
PAYERS = {
    404: (
        "This link opens nothing",
        _("It is not complete, or a newer one was sent in its place. Look for the latest message, or ask its sender."),
    ),
    429: (_("Too many tries"), _("Wait a minute, then open the link again.")),
    500: (
        _("Something went wrong on our side"),
        _("Open the link again in some minutes: it says whether you are registered."),
    ),
}
PAYERS_OTHERWISE = (_("This did not work"), _("Open the link again, as it stands in the message that you got."))
# Programs read problem documents (RFC 9457), whatever they say they accept.
API_ADDRESS = "/api/"
API_TITLES = {
    401: "No valid key",
    403: "The key is not for this",
    409: "This can't be done now",
    413: "The body is too large",
    415: "Not a JSON document",
    422: "The document is not as it should be",
    429: "Too many requests",
}
API_SENTENCES = {
    403: "This key may not do this.",
    404: "There is nothing at this address.",
    405: "This address takes other methods: see the Allow header.",
    413: "Send less at once.",
    429: "Wait a minute, then go on more slowly.",
    500: "This is a mistake of payadmin, not yours. It was written down; the request_id helps to find it.",
}
RATE_EXCEEDED = "too_many_requests"
PASSED_ON = frozenset({"Allow", "Retry-After"})

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Problem:
    """What went wrong, in the words of staff."""

    status: int
    code: str
    title: str
    sentence: str
    field: str | None = None
    number: str | None = None
    # Places in a document that was sent, each with what is wrong there.
    mistakes: Sequence[tuple[str, str]] = ()


def init_errors(app: Flask) -> None:
    """Answer every failure of `app` here."""
    app.register_error_handler(Refusal, _refused)
    app.register_error_handler(CSRFError, _expired_form)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(DataError, _unstorable)
    app.register_error_handler(Exception, _unexpected)


def _refused(error: Refusal) -> Response:
    _roll_back()
    if isinstance(error, Forbidden) and g.get("actor") is not None:
        record_refusal(g.actor, error, place=request.endpoint or request.path)
    if isinstance(error, NeedsApproval) and "request_id" in error.data and not _wants_json():
        return _waits(error)
    title = TITLES.get(error.status, TITLES[409])
    mistakes = error.data.get("errors", ())
    response = _answer(Problem(error.status, error.code, title, error.sentence, field=error.field, mistakes=mistakes))
    if error.status == 429 and request.path.startswith(API_ADDRESS):  # noqa: PLR2004 - the guard's pause
        response.headers["Retry-After"] = str(int(PAUSE.total_seconds()))
    return response


def _waits(error: NeedsApproval) -> Response:
    """An act that waits for a second person is no failure: its maker sees the request that was filed."""
    flash(error.sentence, "warning")
    page = error.data.get("page", "approvals")
    read = next(kind.read for kind in KINDS.values() if kind.page == page)
    may_look = g.actor is not None and g.actor.may(read)
    to = url_for(f"{page}.details_view", row_id=error.data["request_id"]) if may_look else url_for("shell.home")
    return make_response(redirect(to, 303))


def _expired_form(_error: CSRFError) -> Response:
    sentence = "It was open for too long, or you signed in again meanwhile. Go back, reload the page and send it again."
    return _answer(Problem(400, "csrf", _("This form has expired"), sentence))


def _http_error(error: HTTPException) -> Response:
    _roll_back()
    status = error.code or 500
    if isinstance(error, Unauthorized) and not request.path.startswith(API_ADDRESS) and (login := _login_address()):
        return login
    if status >= 500:  # noqa: PLR2004 - every server error is ours
        return _answer(Problem(status, "unexpected", _("Something went wrong"), UNEXPECTED, number=request_id()))
    title = TITLES.get(status, error.name)
    # The words of a foreign Host header are not repeated.
    plain = error.description == type(error).description or isinstance(error, SecurityError)
    sentence = SENTENCES.get(status, title) if plain else error.description
    response = _answer(Problem(status, error.name.lower().replace(" ", "_"), title, str(sentence)))
    response.headers.update({name: value for name, value in error.get_headers() if name in PASSED_ON})
    if status == 429 and request.path.startswith(API_ADDRESS):  # noqa: PLR2004 - so many a minute
        response.headers.setdefault("Retry-After", "60")
    return response


def _unstorable(error: DataError) -> Response:
    """A value that no column can hold, and that nobody refused earlier: nothing was changed, so it is bad input."""
    logger.warning("request %s %s %s: the database cannot hold a value", request_id(), request.method, _place())
    _roll_back()
    logger.debug("request %s", request_id(), exc_info=error)
    return _answer(Problem(400, "bad_request", TITLES[400], SENTENCES[400]))


def _unexpected(error: Exception) -> Response:
    logger.error("request %s %s %s failed", request_id(), request.method, _place(), exc_info=error)
    _roll_back()
    return _answer(Problem(500, "unexpected", _("Something went wrong"), UNEXPECTED, number=request_id()))


def _place() -> str:
    """The address for the log; a link that lets somebody in is no matter for logs."""
    return request.url_rule.rule if request.url_rule and "token" in (request.view_args or {}) else request.path


def _roll_back() -> None:
    """Leave the page's session clean: whatever was read or half changed is forgotten."""
    database = current_app.extensions.get("sqlalchemy")
    if database is None:
        return
    try:
        database.session.rollback()
    except SQLAlchemyError:
        logger.warning("request %s: the session could not be rolled back", request_id(), exc_info=True)


def _login_address() -> Response | None:
    """Where a stranger who asked for a whole page goes; fragments and JSON get their 401."""
    if _wants_fragment() or _wants_json() or LOGIN_ENDPOINT not in current_app.view_functions:
        return None
    wanted = request.full_path.rstrip("?") if request.method == "GET" else None
    return make_response(redirect(url_for(LOGIN_ENDPOINT, next=wanted)))


def _answer(problem: Problem) -> Response:
    if request.path.startswith(API_ADDRESS):
        response = _api_problem(problem)
    elif _wants_json():
        body = {"code": problem.code, "sentence": problem.sentence, "field": problem.field, "number": problem.number}
        response = jsonify({name: value for name, value in body.items() if value is not None})
    elif request.path == PAYERS_ADDRESS or request.path.startswith(f"{PAYERS_ADDRESS}/"):
        response = make_response(_payers_page(problem))
    else:
        template = "errors/fragment.html" if _wants_fragment() else "errors/page.html"
        response = make_response(render_template(template, problem=problem, known=g.get("actor") is not None))
    response.status_code = problem.status
    return response


def _api_problem(problem: Problem) -> Response:
    """A problem document. Its code never changes; its sentence is for whoever reads the log of the program."""
    mistakes = list(problem.mistakes)
    if not mistakes and problem.field:
        mistakes = [(f"#/{problem.field}", str(problem.sentence))]
    ours = problem.sentence in {*SENTENCES.values(), *TITLES.values(), UNEXPECTED} or problem.code == RATE_EXCEEDED
    detail = API_SENTENCES.get(problem.status, str(problem.sentence)) if ours else str(problem.sentence)
    body = {
        "type": f"urn:payadmin:problem:{problem.code}",
        "title": API_TITLES.get(problem.status, str(problem.title)),
        "status": problem.status,
        "detail": detail,
        "code": problem.code,
        "request_id": request_id(),
        "errors": [{"pointer": pointer, "detail": str(sentence)} for pointer, sentence in mistakes],
    }
    response = jsonify({name: value for name, value in body.items() if value != []})
    response.mimetype = "application/problem+json"
    if problem.status == 401:  # noqa: PLR2004 - RFC 6750
        response.headers["WWW-Authenticate"] = 'Bearer realm="payadmin"'
    return response


def _payers_page(problem: Problem) -> str:
    """What a payer reads: no way into the back office, and no word of what went wrong there."""
    status = min(500, problem.status)
    heading, sentence = PAYERS.get(status, PAYERS_OTHERWISE)
    company = current_app.extensions["payadmin.settings"].company_name
    return render_template(
        "subscriptions/hosted_closed.html",
        heading=heading,
        sentence=sentence,
        number=problem.number,
        merchant=None,
        company=company,
    )


def _wants_fragment() -> bool:
    return bool(request.headers.get("X-Partial"))


def _wants_json() -> bool:
    accepted = request.accept_mimetypes
    return accepted.best_match(["text/html", "application/json"]) == "application/json"
