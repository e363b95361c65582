"""What goes over the wire: the fields of each request, and the refusals and replies they meet."""

import re
from typing import Any

Reply = tuple[int, dict[str, Any]]

MAX_BODY_BYTES = 64 * 1024
MAX_AMOUNT = 10**15
MAX_KEY_CHARS = 255

TEXT = re.compile(r"[\x20-\x7e]{1,200}")
CURRENCY = re.compile(r"[A-Z][A-Z0-9]{2,11}")
CARD = re.compile(r"[0-9]{13,19}", re.ASCII)
MAX_CARDS = 500
BODIES: dict[str, frozenset[str]] = {
    "charge": frozenset({"amount", "currency", "token", "reference", "metadata"}),
    "refund": frozenset({"charge", "amount", "reference"}),
    "void": frozenset({"charge", "reference"}),
}


class Refused(Exception):
    """A definite refusal, as the protocol words it."""

    def __init__(self, status: int, code: str, message: str, **more: str) -> None:
        super().__init__(message)
        self.reply: Reply = (status, {"error": {"code": code, "message": message, **more}})


class Dropped(Exception):
    """The connection is to be closed without an answer."""


def server_error(status: int) -> Reply:
    return status, {"error": {"code": "api_error", "message": "Something went wrong on our side."}}


def checked(kind: str, body: Any) -> dict[str, Any]:
    """Return the body of a request if every field is there and makes sense; nothing of it is echoed in a refusal."""
    if not isinstance(body, dict):
        raise Refused(400, "parameter_invalid", "The body must be a JSON object.")
    names = BODIES[kind]
    if not body.keys() <= names:
        raise Refused(400, "parameter_unknown", "The body has a field this request does not know.")
    for name in sorted(names):
        value = body.get(name)
        if name == "amount":
            valid = type(value) is int and 0 < value <= MAX_AMOUNT
        elif name == "metadata":
            valid = value is None or (isinstance(value, dict) and all(type(v) in (str, int) for v in value.values()))
        elif name == "currency":
            valid = isinstance(value, str) and CURRENCY.fullmatch(value) is not None
        else:
            valid = isinstance(value, str) and TEXT.fullmatch(value) is not None
        if not valid:
            raise Refused(400, "parameter_invalid", f"{name} is missing or does not make sense.")
    return body


def checked_cards(body: Any) -> tuple[list[str], bool]:
    """Return the card numbers of a request for tokens, and whether their issuers are to be asked about them.

    None of the numbers is echoed in a refusal.
    """
    match body:
        case {"cards": list(cards), **rest} if not rest.keys() - {"verify"} and 0 < len(cards) <= MAX_CARDS:
            verify = rest.get("verify", False)
            if all(isinstance(card, str) and CARD.fullmatch(card) for card in cards) and isinstance(verify, bool):
                return cards, verify
    raise Refused(400, "parameter_invalid", f"Send a list of 1 to {MAX_CARDS} card numbers of 13 to 19 digits.")
