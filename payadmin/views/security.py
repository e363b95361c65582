"""What every answer carries: policy, headers, cookies and an id; and which addresses are safe to go to."""

import io
import re
import secrets
from typing import IO, TYPE_CHECKING, Any

from flask import Flask, Request, Response, abort, g, request
from werkzeug.middleware.proxy_fix import ProxyFix

if TYPE_CHECKING:
    from payadmin.config import Settings
    from payadmin.work import Actor

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
HSTS = "max-age=63072000; includeSubDomains"

LARGEST_FORM = 512 * 1024
# What other sites may show in a frame, if FRAME_ANCESTORS names them; no page of somebody who is signed in.
FRAMED = frozenset({"embed.show"})
# Where files are sent; everywhere else nobody has more to say than a form.
TAKES_FILES = frozenset(
    {
        "batch_transaction.index",
        "checkout_versions.import_view",
        "identification.upload_view",
        "sending.send",
        "tickets.say_view",
    }
)

_POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors {ancestors}"
)
_GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")


class MemoryRequest(Request):
    """A request whose files stay in memory: they hold card numbers, which a temporary file would put on a disk."""

    def _get_file_stream(self, *_: Any, **__: Any) -> IO[bytes]:
        return io.BytesIO()


def init_security(app: Flask) -> None:
    """Install the headers, the cookie rules, the trusted proxies and the request ids on `app`."""
    settings: Settings = app.extensions["payadmin.settings"]
    app.request_class = MemoryRequest
    app.config.update(
        SESSION_COOKIE_NAME="__Host-payadmin" if settings.secure_cookies else "payadmin",
        SESSION_COOKIE_SECURE=settings.secure_cookies,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_PATH="/",
        TRUSTED_HOSTS=list(settings.trusted_hosts) or None,
    )
    if settings.proxy_hops:
        # The Host header is passed on by the proxy itself and checked against TRUSTED_HOSTS.
        hops = settings.proxy_hops
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=0)  # type: ignore[method-assign]
    ancestors = " ".join(settings.frame_ancestors) or "'none'"

    @app.before_request
    def name_request() -> None:
        given = request.headers.get("X-Request-ID", "")
        trusted = settings.proxy_hops > 0 and _GIVEN_ID.fullmatch(given)
        g.request_id = given if trusted else secrets.token_hex(8)
        g.csp_nonce = secrets.token_urlsafe(16)
        if request.endpoint not in TAKES_FILES or request.mimetype == "application/x-www-form-urlencoded":
            # Millions of tiny fields fit into what an upload may weigh, and forms are read before anybody is known.
            request.max_content_length = LARGEST_FORM

    @app.after_request
    def protect(response: Response) -> Response:
        # A page may have said something stricter by now.
        framed = ancestors if request.endpoint in FRAMED else "'none'"
        response.headers.setdefault("Content-Security-Policy", _POLICY.format(nonce=csp_nonce(), ancestors=framed))
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers["X-Request-ID"] = request_id()
        if settings.secure_cookies:
            response.headers["Strict-Transport-Security"] = HSTS
        response.headers.setdefault("Cache-Control", "no-store")
        return response


def csp_nonce() -> str:
    """The nonce of this request's content policy; templates put it on what they inline."""
    nonce: str = g.setdefault("csp_nonce", secrets.token_urlsafe(16))
    return nonce


def request_id() -> str:
    """The name of this request in logs, the audit trail and on error pages."""
    name: str = g.setdefault("request_id", secrets.token_hex(8))
    return name


def current_actor() -> "Actor":
    """Whoever is signed in; a stranger gets the answer 401."""
    actor: Actor | None = g.get("actor")
    if actor is None:
        abort(401)
    return actor


def safe_next(url: str | None, fallback: str = "/") -> str:
    r"""`url` if it is a path on this site, otherwise `fallback`.

    Only a path that starts with a single slash is one: `//host`, `/\host`, `http:host` and addresses with control
    characters all make some browser leave the site.
    """
    if not url or not url.startswith("/") or url.startswith("//") or _UNSAFE.search(url):
        return fallback
    return url
