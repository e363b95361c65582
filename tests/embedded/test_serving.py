"""The embedded web server keeps bodies in memory, within the limit, and lets senders finish whatever they send."""

import http.client
import socket
import tempfile
import threading
from collections.abc import Iterable, Iterator

import pytest
from flask import Flask, request

from payadmin.serving import embedded_server

LIMIT = 2 * 2**20


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A server of an application that says how long the body was, where no temporary file can be made."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = LIMIT

    @app.post("/")
    def length() -> str:
        return str(len(request.get_data()))

    monkeypatch.setattr(tempfile, "tempdir", "/proc/no-file-can-be-made-here")
    listener = socket.create_server(("127.0.0.1", 0))
    server = embedded_server(app, listener)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    server.trigger.pull_trigger(server.close)
    thread.join(10)
    server.task_dispatcher.shutdown()


def post(port: int, body: bytes | Iterable[bytes]) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", "/", body, encode_chunked=not isinstance(body, bytes), headers=(
            {} if isinstance(body, bytes) else {"Transfer-Encoding": "chunked"}
        ))  # fmt: skip
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("size", [0, 10, 600_000, LIMIT])
def test_a_body_within_the_limit_arrives_whole_and_touches_no_disk(port: int, size: int) -> None:
    assert post(port, b"a" * size) == (200, str(size))
    assert post(port, (b"a" * 100_000 for _ in range(size // 100_000))) == (200, str(size // 100_000 * 100_000))


def test_a_body_beyond_the_limit_is_read_to_its_end_and_answered(port: int) -> None:
    assert post(port, b"a" * (LIMIT + 1))[0] == 413
    assert post(port, b"a" * (40 * LIMIT))[0] == 413
    assert post(port, (b"a" * 100_000 for _ in range(400)))[0] == 413
    assert post(port, b"a" * LIMIT) == (200, str(LIMIT))
