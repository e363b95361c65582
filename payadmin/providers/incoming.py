"""Mail that comes in, taken apart by a child process: a hostile one costs that process, never this one."""

import base64
import binascii
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

MOST_BYTES: Final = 15 * 1024 * 1024
READING_SECONDS: Final = 20
_READER: Final = Path(__file__).with_name("mail_reader.py")


class Unreadable(ValueError):
    """The mail could not be taken apart within its limits."""


class Slow(Unreadable):
    """It took too long, or no child could be started: on a busy machine that says nothing about the mail."""


@dataclass(frozen=True)
class Incoming:
    """A mail as payadmin sees it.

    Attributes:
        senders: the addresses of its From header.
        message_id: its Message-ID as it stands there, empty without one.
        is_automatic: whether a program wrote it; nothing is answered then, and no state moves.
        text: its words; an HTML mail's without any of its markup.
        is_cut: whether the text was too long to be kept whole.
        files: what was attached, unchecked: name and content.
        left_out: how many more files there were.
    """

    senders: Sequence[str]
    message_id: str
    is_automatic: bool
    text: str
    is_cut: bool = False
    files: Sequence[tuple[str, bytes]] = field(default_factory=tuple)
    left_out: int = 0


def read_mail(raw: bytes, *, seconds: float = READING_SECONDS) -> Incoming:
    """Take a mail apart.

    Args:
        seconds: after which the child is stopped.

    Raises:
        Unreadable: it is too large, no mail, or made to be expensive.
        Slow: it may be read another time; its CPU time is limited besides.
    """
    if len(raw) > MOST_BYTES:
        msg = "too large"
        raise Unreadable(msg)
    try:
        done = subprocess.run(  # noqa: S603 - our own file, no arguments
            [sys.executable, "-I", str(_READER)], input=raw, capture_output=True, timeout=seconds, check=False, env={}
        )
    except (subprocess.TimeoutExpired, OSError) as error:
        raise Slow(type(error).__name__) from None
    if done.returncode != 0:
        msg = f"the reader ended with {done.returncode}"
        raise Unreadable(msg)
    try:
        found: dict[str, Any] = json.loads(done.stdout)
        files = tuple((str(file["name"]), base64.b64decode(file["content"])) for file in found["files"])
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise Unreadable(type(error).__name__) from None
    return Incoming(
        senders=tuple(found["senders"]),
        message_id=found["message_id"],
        is_automatic=bool(found["is_automatic"]),
        text=found["text"],
        is_cut=bool(found["is_cut"]),
        files=files,
        left_out=int(found["left_out"]),
    )
