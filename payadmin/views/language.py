"""The language of each page: whose it is, and how templates, messages and errors come to speak it.

What is `Said` (payadmin.kernel.text) is English for code and is put into the reader's language where a template prints
it. Code that makes markup itself, such as the cells of a list, says it with `say`, once for a column or a state.
"""

import logging
from contextvars import ContextVar
from typing import Any, Final, Literal

from flask import Blueprint, Flask, Response, current_app, g, has_request_context, make_response, redirect, request
from flask.json.tag import JSONTag
from flask.sessions import SecureCookieSessionInterface
from flask_babel import Babel
from flask_login import current_user
from markupsafe import Markup, escape

from payadmin import texts as catalogue
from payadmin.actions import texts
from payadmin.db import db
from payadmin.kernel.errors import Invalid
from payadmin.kernel.text import LANGUAGES, Said, Text, _
from payadmin.texts import Speech
from payadmin.views.security import safe_next
from payadmin.views.template_texts import LOOKUP, TextExtension

COOKIE = "language"
COOKIE_SECONDS = 365 * 86_400

# A page asks for its language hundreds of times; what the request knows is several proxies away, this is not.
_BOUND: Final[ContextVar[Speech | None]] = ContextVar("payadmin.speech", default=None)

log = logging.getLogger(__name__)
pages = Blueprint("language", __name__)


def init_language(app: Flask) -> None:
    """Teach `app` and its templates every language."""
    Babel(app, locale_selector=current_language)
    environment = app.jinja_env
    # Jinja's own functions would put values in as they are; a value that is `Said` has to be said.
    environment.newstyle_gettext = True  # type: ignore[attr-defined]
    environment.globals.update(gettext=_gettext, ngettext=_ngettext, pgettext=_pgettext, _=_gettext)
    environment.policies["ext.i18n.trimmed"] = True
    environment.add_extension(TextExtension)
    environment.finalize = lambda value: value.said(speech()) if isinstance(value, Said) else value
    environment.globals.update(
        {LOOKUP: lambda text: speech().plain(text), "say": say, "languages": LANGUAGES, "speech": speech}
    )
    environment.filters["say"] = say
    assert isinstance(app.session_interface, SecureCookieSessionInterface)
    if TextTag.key not in app.session_interface.serializer.tags:  # one serializer serves every application
        app.session_interface.serializer.register(TextTag)
    app.before_request(_forget)
    app.teardown_request(_forget)
    app.register_blueprint(pages)


def speech() -> Speech:
    """The reader's language, with what staff have written above the catalogue; the same for a whole request."""
    return _BOUND.get() or _find()


def _find() -> Speech:
    # The gate has read the serial with the session, so pages of staff ask no further question.
    serial: int | Literal["unknown"] | None = "unknown"
    if _reader() is not None:
        serial = current_user.texts_serial
    found = catalogue.speeches(db.session(), serial).of(current_language())
    if has_request_context():
        _BOUND.set(found)
    return found


def say(value: object) -> str:
    """What is to be read, in the reader's language: a `Said`, or the English of a label. Outside a request, English."""
    bound = _BOUND.get()
    if bound is not None:
        return bound.say(value)
    return speech().say(value) if has_request_context() else str(value)


def current_language() -> str:
    """The reader's own choice, else what this browser chose at the sign-in, else what it asks for, else the setting.

    Outside a request there is no reader, so it is the setting.
    """
    default: str = current_app.extensions["payadmin.settings"].default_language
    if not has_request_context():
        return default
    reader = _reader()
    chosen = (reader.language if reader is not None else None) or request.cookies.get(COOKIE)
    if chosen in LANGUAGES:
        return str(chosen)
    asked = request.accept_languages.best_match(list(LANGUAGES))
    return asked or default


def _reader() -> Any:
    """Whoever is signed in; a worker that reads a page's address for somebody has an actor, and is not signed in."""
    return current_user if g.get("actor") is not None and current_user.is_authenticated else None


@pages.post("/language")
def choose() -> Response:
    """Choose a language; for somebody signed in it is kept with the account, for a stranger with the browser."""
    wanted = request.form.get("language", "")
    if wanted not in LANGUAGES:
        raise Invalid("payadmin does not speak this language.", field="language")
    if g.get("actor") is not None:
        texts.choose_language(g.actor, language=wanted)
    response = make_response(redirect(safe_next(request.form.get("next")), 303))
    settings = current_app.extensions["payadmin.settings"]
    response.set_cookie(
        COOKIE, wanted, max_age=COOKIE_SECONDS, secure=settings.secure_cookies, httponly=True, samesite="Lax", path="/"
    )
    return response


class TextTag(JSONTag):
    """Keeps a flashed text in the session with its values, so that it is read in the language of the page it is on."""

    __slots__ = ()
    key = " said"

    def check(self, value: Any) -> bool:
        """Whether this is a text with values."""
        return isinstance(value, Text)

    def to_json(self, value: Any) -> Any:
        """Everything the text was made of; values as their English, numbers as numbers."""
        values = {
            name: self.serializer.tag(one if isinstance(one, int | Text) else str(one))
            for name, one in value.values.items()
        }
        return [value.message, values, value.plural, value.number, value.name]

    def to_python(self, value: Any) -> Text:
        """The text again."""
        message, values, plural, number, name = value
        return Text(message, values=values, plural=plural, number=number, name=name)


def _gettext(text: str, **values: Any) -> Markup:
    """A text of a template with its values, as `{% trans %}` asks for it."""
    return _filled(speech().markup(text), values, text)


def _pgettext(name: str, text: str, **values: Any) -> Markup:
    return _filled(speech().markup(f"{name}{catalogue.NAME_END}{text}"), values, text)


def _ngettext(one: str, many: str, num: int, **values: Any) -> Markup:
    english = one if num == 1 else many
    found = catalogue.escaped(f"{one} {many}", speech().form(one, many, num))
    counted = {name: speech().grouped(value) if type(value) is int else value for name, value in values.items()}
    return _filled(found, {"num": speech().grouped(num), **counted}, english)


def _filled(text: Markup, values: dict[str, Any], english: str) -> Markup:
    """The text with its values, each in the reader's language; escaped.

    No page fails for the words on it: a text without values is shown as it stands, and where a value does not fit into
    what was written, the English is shown.
    """
    if not values:
        return text.replace("%%", "%") if "%" in text else text
    # As Markup's own `%` does it, without an object around each value: a list says some hundred sentences.
    tongue = speech()
    shown: dict[str, object] = {}
    for name, value in values.items():
        said = value.said(tongue) if isinstance(value, Said) else value
        shown[name] = said if type(said) is int else escape(said)
    try:
        filled = str.__mod__(text, shown)
    except (KeyError, ValueError, TypeError):
        log.warning("a text has other placeholders than its English: %r", english)
        filled = str.__mod__(catalogue.escaped(english, english), shown)
    return Markup(filled)  # noqa: S704 - the text is Markup and every value is escaped


def _forget(_error: BaseException | None = None) -> None:
    _BOUND.set(None)
    for name in ("babel_locale", "babel_translations"):
        g.pop(name, None)


__all__ = ["_", "current_language", "init_language", "say", "speech"]
