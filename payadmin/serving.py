"""The web server of `payadmin up` and `payadmin demo`: what is sent to it stays in memory, within a limit.

Uploaded files hold card numbers, so no body is written to a temporary file. A body beyond the limit is read to its end
and forgotten: a browser shows an answer only when it has got rid of what it sends.
"""

import io
import socket
from typing import Any

from flask import Flask
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import create_server

THREADS = 8


class MemoryBody:
    """The body of a request as far as it is within the limit; beyond it, only its length."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._length = 0
        self._file = io.BytesIO()

    def __len__(self) -> int:
        return self._length

    def append(self, data: bytes) -> None:
        """Take in the next bytes."""
        self._length += len(data)
        if self._length <= self.limit:
            self._file.write(data)
        else:
            self._file = io.BytesIO()

    def getfile(self) -> io.BytesIO:
        """What was kept, from its beginning."""
        self._file.seek(0)
        return self._file

    def close(self) -> None:
        """Forget it."""
        self._file.close()


def embedded_server(app: Flask, listener: socket.socket) -> Any:
    """A server of `app` on a bound socket, as waitress makes it; `run()` serves until the process is told to stop.

    Args:
        listener: is listened on by the caller.
    """
    limit: int = app.config["MAX_CONTENT_LENGTH"]

    class Parser(HTTPRequestParser):  # type: ignore[misc]
        def parse_header(self, header_plus: bytes) -> None:
            super().parse_header(header_plus)
            if self.body_rcv is not None:
                self.body_rcv.buf = MemoryBody(limit)

    class Channel(HTTPChannel):  # type: ignore[misc]
        parser_class = Parser

    server = create_server(
        app, sockets=[listener], threads=THREADS, ident="payadmin", clear_untrusted_proxy_headers=True
    )
    server.channel_class = Channel
    return server
