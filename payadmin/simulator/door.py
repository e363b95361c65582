"""The HTTP door: addresses, bodies and keep-alive on 127.0.0.1; the rules live in `service`."""

import contextlib
import json
import socket
import sys
from collections.abc import Callable
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from payadmin.simulator.service import Simulator
from payadmin.simulator.wire import MAX_BODY_BYTES, TEXT, Dropped, Refused, Reply

LISTS = {"/v1/charges": "charge", "/v1/refunds": "refund", "/v1/voids": "void"}


class Door(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 120
    server: "Server"

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def do_PUT(self) -> None:
        self._answer(self._not_allowed)

    do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = do_PUT  # noqa: N815

    def _not_allowed(self) -> Reply:
        self.close_connection = True
        raise Refused(405, "method_not_allowed", "This method is not part of the protocol.")

    def _get(self) -> Reply:
        service = self.server.service
        path, _, query = self.path.partition("?")
        match path.split("/")[1:]:
            case ["v1", "charges", charge_id]:
                service.count("get_charge")
                return 200, service.book.charge(charge_id)
            case ["v1", "charges"] if "captured_from=" in query:
                service.count("list_charge")
                return 200, service.book.captured(*one_window(query))
            case ["v1", _] if kind := LISTS.get(path):
                service.count(f"find_{kind}")
                return service.find(kind, one_reference(query))
            case ["_ctl", "config"]:
                return 200, asdict(service.settings)
            case ["_ctl", "ledger"]:
                return 200, service.book.ledger()
            case ["_ctl", "stats"]:
                return service.stats()
        raise Refused(404, "not_found", "There is nothing at this address.")

    def _post(self) -> Reply:
        service, path = self.server.service, self.path
        body = self._body()
        if kind := LISTS.get(path):
            service.count(kind)
            return service.post(kind, body, self.headers.get("Idempotency-Key"))
        match path:
            case "/v1/tokens":
                service.count("token")
                return service.store_cards(body)
            case "/_ctl/config":
                return service.configure(body)
            case "/_ctl/script":
                return service.script(body)
            case "/_ctl/reset":
                return service.reset()
            case "/merchant/webhook":  # a merchant of the demo, who takes every message
                service.count("webhook")
                return 200, {"received": True}
        raise Refused(404, "not_found", "There is nothing at this address.")

    def _body(self) -> Any:
        length = self.headers.get("Content-Length", "0")
        known = length.isascii() and length.isdigit() and len(length) <= len(str(MAX_BODY_BYTES))
        if "Transfer-Encoding" in self.headers or not known or int(length) > MAX_BODY_BYTES:
            self.close_connection = True
            raise Refused(400, "parameter_invalid", f"Send a body of at most {MAX_BODY_BYTES} bytes, with its length.")
        data = self.rfile.read(int(length))
        try:
            return json.loads(data or b"{}", parse_constant=refuse_constant)
        except (ValueError, RecursionError):
            raise Refused(400, "parameter_invalid", "The body is not JSON.") from None

    def _answer(self, act: Callable[[], Reply]) -> None:
        try:
            if "Origin" in self.headers:  # only browsers send it: no web page may reach this service
                self.close_connection = True
                raise Refused(403, "forbidden", "Browsers have no business here.")  # noqa: TRY301
            status, body = act()
        except Refused as refusal:
            status, body = refusal.reply
        except Dropped:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        data = json.dumps(body).encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers_with(b"" if self.command == "HEAD" else data)

    def end_headers_with(self, data: bytes) -> None:
        """Send head and body in one segment; a client that has gone away is not an error."""
        head: list[bytes] = self._headers_buffer  # type: ignore[attr-defined]
        head.extend((b"\r\n", data))
        try:
            self.flush_headers()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Stay silent: the journal is the record."""


def one_reference(query: str) -> str:
    try:
        references = parse_qs(query, max_num_fields=10).get("reference", [])
    except ValueError:
        references = []
    if len(references) != 1 or TEXT.fullmatch(references[0]) is None:
        raise Refused(400, "parameter_invalid", "Name one reference.")
    return references[0]


def one_window(query: str) -> tuple[int, int, str]:
    """From when to before when, and after which charge: a page of what was captured."""
    try:
        asked = {name: values[0] for name, values in parse_qs(query, max_num_fields=10).items() if len(values) == 1}
        start, end = int(asked["captured_from"]), int(asked["captured_before"])
    except (KeyError, ValueError):
        raise Refused(400, "parameter_invalid", "Name captured_from and captured_before.") from None
    return start, end, asked.get("starting_after", "")


def refuse_constant(_name: str) -> None:
    raise ValueError


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int, service: Simulator) -> None:
        self.service = service
        super().__init__(("127.0.0.1", port), Door)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


def serve(
    port: int,
    journal: Path | None = None,
    faults: dict[str, Any] | None = None,
    *,
    ready: Callable[[int], None] | None = None,
) -> None:
    """Serve until interrupted; port 0 takes a free one, and `ready` is told which."""
    with Server(port, Simulator(journal, faults)) as server:
        if ready is not None:
            ready(server.server_address[1])
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
