"""A bank over HTTP: pain.001 posted to it, pain.002 and camt.053 waiting in a mailbox, as `mock-bank` speaks."""

import json
import os
import re
import threading
import time
from collections.abc import Sequence
from typing import Any, Final

import httpx

from payadmin.banks.answers import Handed, Handover, Mail
from payadmin.kernel.iso20022 import DUPLICATES, REJECTED

MAX_ANSWER_BYTES: Final = 32 * 2**20
KINDS: Final = ("pain.002", "camt.053")
_CODE: Final = re.compile(r"[A-Z0-9]{1,10}")
# Turned away before anything was read: whoever mends the settings, or waits, may send the same file again.
_AT_THE_DOOR: Final = frozenset({401, 403, 404, 405, 429})


class Unreadable(Exception):
    """The bank's answer cannot be relied on."""


class MailboxBank:
    """Safe to share between threads; a process forked from this one opens its own connections."""

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        self._url = url.rstrip("/")
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None
        self._client_pid = 0

    def send(self, content: bytes, *, message_id: str) -> Handed:
        headers = {"Content-Type": "application/xml; charset=utf-8", "Idempotency-Key": message_id}
        try:
            status, answer = self._ask("POST", "/payments", content=content, headers=headers)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return Handed(Handover.NOT_SENT, type(error).__name__)
        except (httpx.HTTPError, Unreadable) as error:
            return Handed(Handover.UNKNOWN, type(error).__name__)
        return judge(status, answer, message_id)

    def messages(self) -> Sequence[Mail] | None:
        found: list[Mail] = []
        try:
            for kind in KINDS:
                status, answer = self._ask("GET", "/_mock/mailbox", params={"type": kind, "leave": "1"})
                if status != httpx.codes.OK or not isinstance(answer, list):
                    return None
                found += [Mail(item["body"].encode()) for item in answer]
        except (httpx.HTTPError, Unreadable, KeyError, TypeError, ValueError, AttributeError):
            return None
        return found

    def close(self) -> None:
        """Close the connections of this process; the next request opens new ones."""
        with self._lock:
            if self._client is not None and self._client_pid == os.getpid():
                self._client.close()
            self._client = None

    def _ask(self, method: str, path: str, **request: Any) -> tuple[int, Any]:
        """Return status and JSON; a body that trickles in may not outlast the time-out either."""
        deadline = time.monotonic() + self._timeout_seconds
        content = bytearray()
        with self._connections().stream(method, self._url + path, **request) as response:
            for chunk in response.iter_raw():
                content += chunk
                if len(content) > MAX_ANSWER_BYTES or time.monotonic() > deadline:
                    raise Unreadable
        try:
            return response.status_code, json.loads(content)
        except (ValueError, RecursionError):
            return response.status_code, None

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


def judge(status: int, answer: Any, message_id: str) -> Handed:
    """Say what a reply to a payment file means; what is not listed here is unknown."""
    if status in _AT_THE_DOOR:
        return Handed(Handover.NOT_SENT, f"http_{status}")
    if not isinstance(answer, dict) or answer.get("msg_id") != message_id:
        return Handed(Handover.UNKNOWN, f"http_{status}")
    if status == httpx.codes.ACCEPTED:
        return Handed(Handover.TAKEN)
    if status == httpx.codes.UNPROCESSABLE_ENTITY and answer.get("status") == REJECTED:
        said = answer.get("reason")
        code = said if isinstance(said, str) and _CODE.fullmatch(said) else None
        if code in DUPLICATES:
            return Handed(Handover.KNOWN, code)
        # A refusal that it also reports is read where all reports are read; one that it does not is final here.
        return Handed(Handover.TAKEN if answer.get("reported") is True else Handover.REFUSED, code)
    return Handed(Handover.UNKNOWN, f"http_{status}")
