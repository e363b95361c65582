"""Adapter of the simulator: turns whatever comes back over HTTP, or does not, into one of five outcomes."""

import json
import os
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import httpx

from payadmin.kernel.text import _
from payadmin.providers.answers import Answer, Capabilities, Listed, Outcome, StoredCard

MAX_ANSWER_BYTES = 1024 * 1024
MAX_MESSAGE_CHARS = 200
MAX_TOKEN_CHARS = 128
CARDS_AT_ONCE = 500

# Refusals that say for certain that this request moved nothing and never will.
DEFINITE = frozenset(
    {
        "amount_too_large",
        "not_refundable",
        "not_voidable",
        "parameter_invalid",
        "parameter_unknown",
        "refund_failed",
        "resource_missing",
    }
)


class Unreadable(Exception):
    """The provider's answer cannot be relied on."""


class SimulatorProvider:
    """Safe to share between threads; a process forked from this one opens its own connections."""

    code: ClassVar[str] = "simulator"
    capabilities: ClassVar[Capabilities] = Capabilities(
        void=True,
        refund=True,
        partial_refund=True,
        key_window=timedelta(hours=20),  # it forgets keys after 24 hours; the rest is margin for clocks
        settle=timedelta(seconds=10),
    )

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        self._url = url.rstrip("/")
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None
        self._client_pid = 0

    def charge(
        self, *, key: str, reference: str, amount_minor: int, unit: str, token: str, metadata: Mapping[str, str]
    ) -> Answer:
        body = {
            "amount": amount_minor,
            "currency": unit,
            "token": token,
            "reference": reference,
            "metadata": dict(metadata),
        }
        asked = {"object": "charge", "reference": reference, "amount": amount_minor, "currency": unit}
        return self._send("/v1/charges", body, key=key, asked=asked)

    def refund(self, *, key: str, reference: str, charge_id: str, amount_minor: int) -> Answer:
        body = {"charge": charge_id, "amount": amount_minor, "reference": reference}
        return self._send("/v1/refunds", body, key=key, asked={"object": "refund", **body})

    def void(self, *, key: str, reference: str, charge_id: str) -> Answer:
        body = {"charge": charge_id, "reference": reference}
        return self._send("/v1/voids", body, key=key, asked={"object": "void", **body})

    def find_charge(self, reference: str) -> Answer | None:
        return self._find("/v1/charges", {"object": "charge", "reference": reference})

    def find_refund(self, reference: str) -> Answer | None:
        return self._find("/v1/refunds", {"object": "refund", "reference": reference})

    def find_void(self, reference: str, charge_id: str) -> Answer | None:
        return self._find("/v1/voids", {"object": "void", "reference": reference, "charge": charge_id})

    def list_charges(self, start: datetime, end: datetime) -> list[Listed] | None:
        found: list[Listed] = []
        after = ""
        while True:
            window = {
                "captured_from": int(start.timestamp()),
                "captured_before": int(end.timestamp()),
                "starting_after": after,
            }
            try:
                status, answer = self._ask("GET", "/v1/charges", params=window)
                if status != httpx.codes.OK:
                    return None
                found += [listed(item) for item in answer["data"]]
                more = answer["has_more"]
            except (httpx.HTTPError, Unreadable, KeyError, TypeError, ValueError):
                return None
            if not more or not answer["data"]:
                return found
            after = found[-1].provider_id

    def store_cards(self, numbers: Sequence[str], *, verify: bool = False) -> list[StoredCard] | None:
        stored: list[StoredCard] = []
        for first in range(0, len(numbers), CARDS_AT_ONCE):
            some = list(numbers[first : first + CARDS_AT_ONCE])
            asked = {"cards": some, "verify": True} if verify else {"cards": some}
            try:
                status, answer = self._ask("POST", "/v1/tokens", json=asked)
                if status != httpx.codes.OK or len(answer["data"]) != len(some):
                    return None
                stored += [stored_card(item) for item in answer["data"]]
            except (httpx.HTTPError, Unreadable, KeyError, TypeError):
                return None
        return stored

    def close(self) -> None:
        """Close the connections of this process; the next request opens new ones."""
        with self._lock:
            if self._client is not None and self._client_pid == os.getpid():
                self._client.close()
            self._client = None

    def _send(self, path: str, body: dict[str, Any], *, key: str, asked: dict[str, Any]) -> Answer:
        try:
            status, answer = self._ask("POST", path, json=body, headers={"Idempotency-Key": key})
            return judge(status, answer, asked)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return Answer(Outcome.NOT_SENT, code=name(error), message="The provider cannot be reached.")
        except (httpx.HTTPError, Unreadable) as error:
            return Answer(Outcome.UNKNOWN, code=name(error), message="No usable answer came back.")

    def _find(self, path: str, asked: dict[str, Any]) -> Answer | None:
        try:
            status, answer = self._ask("GET", path, params={"reference": asked["reference"]})
            if status != httpx.codes.OK:
                return Answer(Outcome.UNKNOWN, code=f"http_{status}", message="The provider did not answer.")
            items = answer.get("data")
            if not isinstance(items, list):
                raise Unreadable  # noqa: TRY301
            found = [read(item, asked, httpx.codes.OK) for item in items]
        except (httpx.HTTPError, Unreadable) as error:
            return Answer(Outcome.UNKNOWN, code=name(error), message="The provider did not answer.")
        return min(found, key=lambda one: one.outcome is not Outcome.SUCCEEDED, default=None)

    def _ask(self, method: str, path: str, **request: Any) -> tuple[int, dict[str, Any]]:
        """Return status and JSON object; a body that trickles in may not outlast the time-out either."""
        deadline = time.monotonic() + self._timeout_seconds
        content = bytearray()
        with self._connections().stream(method, self._url + path, **request) as response:
            for chunk in response.iter_raw():
                content += chunk
                if len(content) > MAX_ANSWER_BYTES or time.monotonic() > deadline:
                    raise Unreadable
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            if response.status_code in (httpx.codes.OK, httpx.codes.ACCEPTED):
                raise Unreadable
            answer = {}
        return response.status_code, answer

    def _connections(self) -> httpx.Client:
        with self._lock:
            if self._client is None or self._client_pid != os.getpid():
                self._client = httpx.Client(
                    timeout=self._timeout_seconds,
                    headers={"Accept-Encoding": "identity"},
                    follow_redirects=False,
                    trust_env=False,
                )
                self._client_pid = os.getpid()
            return self._client


def judge(status: int, answer: dict[str, Any], asked: dict[str, Any]) -> Answer:
    """Say what a reply to a request to move money means; what is not listed here is unknown."""
    match status:
        case 200 | 202:
            return read(answer, asked, status)
        case 402:
            return Answer(Outcome.DECLINED, None, None, *reason(answer))
        case 400:
            code, message = reason(answer)
            return Answer(Outcome.DECLINED if code in DEFINITE else Outcome.UNKNOWN, code=code, message=message)
        case 429:
            return Answer(Outcome.NOT_SENT, code="rate_limit", message="The provider asks us to slow down.")
    return Answer(Outcome.UNKNOWN, code=f"http_{status}", message="No usable answer came back.")


def read(item: Any, asked: dict[str, Any], status: int) -> Answer:
    """Turn one object of the provider into an answer if it is what was asked for, to the last minor unit."""
    match item:
        case {"id": str(provider_id), "amount": int(amount), "status": str(state)} if provider_id and amount > 0:
            if amount is True or any(item.get(name) != value for name, value in asked.items()):
                raise Unreadable
            if state == "succeeded" and status == httpx.codes.OK:
                return Answer(Outcome.SUCCEEDED, provider_id, amount, unit=currency(item))
            if state == "pending":
                return Answer(
                    Outcome.PENDING, provider_id, amount, "pending", _("The provider has not decided this one yet.")
                )
    raise Unreadable


def stored_card(item: Any) -> StoredCard:
    """One line of the answer to a request for tokens."""
    match item:
        case {"token": str(token)} if token and token.isprintable() and len(token) <= MAX_TOKEN_CHARS:
            return StoredCard(token)
        case {"error": dict()}:
            return StoredCard(None, reason(item)[1] or _("The provider does not accept this card."))
    raise Unreadable


def currency(item: dict[str, Any]) -> str | None:
    """The currency that an object names; a look-up asks by reference only, so whoever books it compares."""
    named = item.get("currency")
    return named if isinstance(named, str) else None


def listed(item: dict[str, Any]) -> Listed:
    """One line of the provider's list of captured charges."""
    at = datetime.fromisoformat(item["captured_at"]).astimezone(UTC)
    return Listed(str(item["id"]), str(item["reference"]), int(item["amount"]), str(item["currency"]), at)


def reason(answer: dict[str, Any]) -> tuple[str | None, str | None]:
    """Return the provider's code and sentence for a refusal, as short printable text."""
    match answer:
        case {"error": {"code": str(code)} as error}:
            detail = error.get("decline_code")
            if isinstance(detail, str) and detail != "generic_decline":
                code = detail
            message = error.get("message")
            return printable(code), printable(message) if isinstance(message, str) else None
    return None, None


def printable(text: str) -> str:
    return "".join(c for c in text if c.isprintable())[:MAX_MESSAGE_CHARS]


def name(error: Exception) -> str:
    """`ReadTimeout` becomes `read_timeout`: a code for logs and for the page of unknown outcomes."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in type(error).__name__).lstrip("_")
