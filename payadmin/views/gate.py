"""The gate: who is signed in, loaded once a request, and the one list of addresses that need nobody."""

import datetime as dt
from dataclasses import dataclass

from flask import Flask, abort, current_app, flash, g, request, session
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_login import LoginManager, UserMixin, current_user, login_user, logout_user
from itsdangerous import BadSignature, URLSafeTimedSerializer
from werkzeug.wrappers import Response

from payadmin.actions import access
from payadmin.config import Settings
from payadmin.db import db, utcnow
from payadmin.kernel.errors import Forbidden
from payadmin.models.access import UserSession
from payadmin.queries.access import SessionRule, open_session_of
from payadmin.views.security import request_id
from payadmin.work import Actor

# Everything else needs somebody who is signed in. A page is added here only with a reason.
PUBLIC = frozenset(
    {
        "static",  # style, scripts and pictures
        "login.login",
        "login.code",
        "login.password",
        "login.enrol",
        "login.recovery",
        "forgotten.ask",  # whoever forgot the password cannot sign in
        "forgotten.choose",  # the link in the mail is what lets them in, once
        "forgotten.confirm_address",  # the same, on whatever device reads that mailbox
        "language.choose",  # a language tells nobody anything, and the sign-in page offers it
        "login.sign_out",  # harmless to strangers, and must work with an expired session
        "probes.healthz",  # a load balancer has no account: says only that the process answers
        "probes.readyz",  # the same: says only whether it can work
        "probes.metrics",  # Prometheus has no account either, but a token of its own
        "embed.show",  # other sites show Analytics in a frame: the signed link is what lets them in
        "hosted.register",  # payers have no account: the signed link is what lets them in
        "sending.send",  # neither have customers who send documents: the same
    }
)

# The blueprint of programs: keys instead of people.
API = "api"

SEEN_EVERY = dt.timedelta(minutes=1)
DEVICE_DAYS = 180
DEVICE_NAMES = 5

# Guesses are counted in the database; this only slows down one address that hammers the login pages.
limiter = Limiter(key_func=get_remote_address, default_limits=[])


@dataclass(frozen=True)
class SignedIn(UserMixin):
    """What Flask-Login carries: its id is the session's secret token, never the number of the account."""

    token: str
    session_id: int
    last_seen_at: dt.datetime
    actor: Actor
    language: str | None
    texts_serial: int | None

    def get_id(self) -> str:
        return self.token


def init_gate(app: Flask, settings: Settings) -> None:
    """Load each request's actor into `g.actor`; turn strangers away everywhere but at the `PUBLIC` addresses."""
    _init_limits(app, settings)
    manager = LoginManager(app)
    manager.session_protection = None  # sessions live in our table, and addresses of phones change
    manager.user_loader(_load)
    app.before_request(_gate)


def session_rule() -> SessionRule:
    """How long sessions last."""
    settings: Settings = current_app.extensions["payadmin.settings"]
    return SessionRule(
        idle=dt.timedelta(minutes=settings.session_idle_minutes),
        absolute=dt.timedelta(hours=settings.session_absolute_hours),
    )


def current_session_id() -> int:
    """The session this request belongs to; only for pages behind the gate."""
    if not current_user.is_authenticated:
        abort(401)
    found: int = current_user.session_id
    return found


def browser() -> access.Browser:
    """Where this request comes from."""
    return access.Browser(ip=request.remote_addr or "", agent=request.user_agent.string)


def enter(token: str) -> None:
    """Carry a new session in the cookie; whatever the cookie held before is forgotten, except what is shown."""
    mode = session.get("mode")
    session.clear()
    if mode is not None:
        session["mode"] = mode
    found = _load(token)
    if found is None:
        abort(401)
    login_user(found)
    g.actor = found.actor


def leave() -> None:
    """Forget the session in this browser."""
    logout_user()
    session.clear()
    g.actor = None


# ------------------------------------------------------------------------------------------------ known browsers


def known_device(username: str) -> str | None:
    """The mark this browser got when `username` last completed a sign-in here; forged ones count as none."""
    return _devices().get(access.plain_username(username))


def remember_device(response: Response, username: str, device: str) -> None:
    """Mark this browser as one that `username` has signed in on, so that strangers' guesses do not lock it out."""
    settings: Settings = current_app.extensions["payadmin.settings"]
    others = [(name, mark) for name, mark in _devices().items() if name != username]
    response.set_cookie(
        _device_cookie(settings),
        _signer(settings).dumps(dict([*others, (username, device)][-DEVICE_NAMES:])),
        max_age=DEVICE_DAYS * 86_400,
        secure=settings.secure_cookies,
        httponly=True,
        samesite="Lax",
        path="/",
    )


def _devices() -> dict[str, str]:
    settings: Settings = current_app.extensions["payadmin.settings"]
    try:
        found = _signer(settings).loads(request.cookies.get(_device_cookie(settings), ""), max_age=DEVICE_DAYS * 86_400)
    except BadSignature:
        return {}
    return found if isinstance(found, dict) else {}


def _device_cookie(settings: Settings) -> str:
    return "__Host-payadmin-device" if settings.secure_cookies else "payadmin-device"


def _signer(settings: Settings) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(settings.secret_key, salt="payadmin.device")


# ------------------------------------------------------------------------------------------------ each request


def _load(token: str) -> SignedIn | None:
    found = open_session_of(db.session(), token, session_rule(), utcnow())
    if found is None:
        return None
    row, serial = found
    return SignedIn(token, row.id, row.last_seen_at, _actor(row), row.staff.language, serial)


def _actor(found: UserSession) -> Actor:
    staff = found.staff
    return Actor(
        staff_id=staff.id,
        name=staff.username,
        roles=staff.roles,
        permissions=staff.permissions,
        ip=request.remote_addr,
        request_id=request_id(),
        organization_id=staff.organization_id,
        menu=frozenset(staff.menu_access),
    )


def _gate() -> None:
    g.actor = None
    g.pop("_login_user", None)  # Flask-Login keeps it for the application context, which may outlive a request
    if request.endpoint in {"static", "probes.healthz"}:  # neither needs the database
        return
    if request.blueprint == API:  # a session opens nothing there: each endpoint asks for a key (`views/api`)
        return
    if current_user.is_authenticated:
        g.actor = current_user.actor
        # A page that only asks again and again whether something is done is nobody's act.
        if request.headers.get("X-Partial") != "status" and utcnow() - current_user.last_seen_at > SEEN_EVERY:
            access.touch_session(g.actor, current_user.session_id)
        if not g.actor.opens(_menu_key(request.endpoint)):
            raise Forbidden("Your menu does not include this page. Whoever manages your account can add it.")
    elif request.endpoint is not None and request.endpoint not in PUBLIC:
        if session.pop("_user_id", None) is not None:
            flash("Your session has ended. Sign in again to go on.", "warning")
        abort(401)


def _menu_key(endpoint: str | None) -> str:
    """The menu entry that an address belongs to, for pages that are no model's; those ask for themselves."""
    pages: dict[str, str] = current_app.extensions["payadmin.pages"]
    entries = [key for key, entrance in pages.items() if _part(entrance) == _part(endpoint)]
    if len(entries) > 1:  # two entries in one part: each its own address
        entries = [key for key in entries if pages[key] == endpoint]
    own = endpoint is not None and endpoint.endswith(".lookup_view")
    return entries[0] if entries and not own else ""


def _part(endpoint: str | None) -> str:
    return (endpoint or "").rpartition(".")[0]


# ------------------------------------------------------------------------------------------------ per address


def _init_limits(app: Flask, settings: Settings) -> None:
    app.config.update(
        RATELIMIT_STORAGE_URI=_storage(settings.redis_url),
        RATELIMIT_STORAGE_OPTIONS={"socket_timeout": 1, "socket_connect_timeout": 1} if settings.redis_url else {},
        RATELIMIT_HEADERS_ENABLED=False,
        # Without this, a Redis that is down answers every login with an error.
        RATELIMIT_IN_MEMORY_FALLBACK_ENABLED=True,
        RATELIMIT_KEY_PREFIX="payadmin",
    )
    limiter.init_app(app)


def _storage(redis_url: str) -> str:
    if not redis_url:
        return "memory://"
    return f"redis+{redis_url}" if redis_url.startswith("unix://") else redis_url
