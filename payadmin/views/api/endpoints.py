"""How an address of the API is declared: one line says its method, path, scope and shape; the rest happens here."""

import functools
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Flask, Response, jsonify, request
from werkzeug.exceptions import UnsupportedMediaType

from payadmin.config import current_settings
from payadmin.kernel.documents import Malformed, Shape, read_document
from payadmin.kernel.errors import Invalid
from payadmin.once import Once
from payadmin.permissions import ApiScope
from payadmin.views.api.letting_in import Program, credential, let_in
from payadmin.views.gate import limiter
from payadmin.work import Actor

PREFIX = "/api/v1"
_ONCE = re.compile(r"[\x21-\x7e]{1,64}", re.ASCII)

api = Blueprint("api", __name__, url_prefix=PREFIX)


@dataclass(frozen=True)
class Call:
    """One request to an endpoint, let in and read.

    Attributes:
        actor: who acts, for use cases: with the organization of the key and the rights of its scopes.
        program: what else is known of the key.
        body: the document as the endpoint's shape reads it; None where it takes none.
        once: what makes a request that comes twice be done once, for use cases that take it; None unless it was asked
            for with `Idempotency-Key`.
    """

    actor: Actor
    program: Program
    body: Any
    once: Once | None


@dataclass(frozen=True)
class Endpoint:
    """What is promised at one address."""

    method: str
    path: str
    scope: ApiScope | None
    body: Shape | None
    summary: str


Answer = dict[str, Any] | tuple[dict[str, Any], int]
ENDPOINTS: list[Endpoint] = []


def init_api(app: Flask) -> None:
    """Add every declared endpoint to `app`."""
    app.register_blueprint(api)


def endpoint(
    method: str, path: str, *, scope: ApiScope | None, body: Shape | None = None
) -> Callable[[Callable[..., Answer]], Callable[..., Answer]]:
    """Declare an address: `@endpoint("POST", "/usage", scope=ApiScope.USAGE_WRITE, body=REPORT)`.

    The function takes a `Call`, and the path's own arguments by name; it returns what is answered as JSON, with a
    status unless that is 200. What use cases refuse is answered as a problem (RFC 9457) by `views/errors.py`.

    Args:
        method: GET, POST, PUT, PATCH or DELETE.
        path: below `/api/v1`, with Flask's converters.
        scope: what the key must be for; None: any key will do.
        body: the shape of the document that is sent; None: none is read.
    """

    def declare(function: Callable[..., Answer]) -> Callable[..., Answer]:
        @functools.wraps(function)
        def run(**values: Any) -> Response:
            program = let_in(scope)
            document = None if body is None else read_document(_sent(), body)
            answer = function(Call(program.actor, program, document, _once(program.key_id)), **values)
            content, status = answer if isinstance(answer, tuple) else (answer, 200)
            response = jsonify(content)
            response.status_code = status
            return response

        api.add_url_rule(path, endpoint=function.__name__, view_func=run, methods=[method])
        summary = (function.__doc__ or "").partition("\n")[0]
        ENDPOINTS.append(Endpoint(method, f"{PREFIX}{path}", scope, body, summary))
        return function

    return declare


def _rate() -> str:
    return f"{current_settings().api_rate_per_minute} per minute"


limiter.limit(_rate, key_func=credential)(api)


@endpoint("GET", "/key", scope=None)
def own_key(call: Call) -> Answer:
    """What the key that asks is: for its program to try whether it works, and to see when it ends."""
    program = call.program
    return {
        "name": program.name,
        "organization": program.organization,
        "scopes": list(program.scopes),
        "expires_at": program.expires_at.isoformat(timespec="seconds"),
    }


def _sent() -> bytes:
    """The body; how large it may be, `views/security.py` has said."""
    if request.mimetype != "application/json" or request.content_encoding:
        raise UnsupportedMediaType("Send application/json in UTF-8, without a Content-Encoding.")
    data = request.get_data()
    if not data:
        raise Malformed("The body is empty.")
    return data


def _once(key_id: int) -> Once | None:
    named = request.headers.get("Idempotency-Key")
    if named is None:
        return None
    if not _ONCE.fullmatch(named):
        raise Invalid("An Idempotency-Key has 1 to 64 visible ASCII characters, such as a UUID.")
    asked = b"\n".join([request.method.encode(), request.full_path.encode(), request.get_data()])
    return Once(key_id, named, hashlib.sha256(asked).hexdigest())
