"""Takes one mail apart, in a process of its own that is started as a file: `python -I mail_reader.py` (see `incoming`).

It imports nothing of payadmin's and nothing but the standard library, reads the mail from standard input and writes one
JSON object to standard output. Whatever a hostile mail does to it, its parent only sees that it failed.
"""

import base64
import contextlib
import json
import re
import sys
from email.header import decode_header
from email.message import Message
from email.parser import BytesHeaderParser, BytesParser
from email.policy import compat32
from email.utils import getaddresses
from html.parser import HTMLParser

MOST_PARTS = 60
MOST_DEPTH = 10
MOST_FILES = 10
LONGEST_TEXT = 100_000
LONGEST_HEADER = 2_000
MOST_HEADER_BYTES = 256 * 1024
MEMORY_BYTES = 768 * 1024 * 1024
CPU_SECONDS = 10
_BLANK_LINES = re.compile(r"\n{3,}")
_UNPRINTED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_AUTOMATIC = ("x-autoreply", "x-autorespond", "x-loop", "list-id", "feedback-id", "x-failed-recipients")
_BULK = frozenset({"bulk", "junk", "list", "auto_reply"})


class Words(HTMLParser):
    """The words of a page, and nothing of its scripts and styles."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - the parser's signature
        if tag in {"script", "style", "head", "title"}:
            self._hidden += 1
        elif tag in {"br", "p", "div", "tr", "li", "h1", "h2", "h3", "blockquote"}:
            self.words.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in {"script", "style", "head", "title"} and self._hidden:
            self._hidden -= 1

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)


def main() -> int:
    """Read, take apart, answer; 0 when there is an answer."""
    limit_itself()
    raw = sys.stdin.buffer.read()
    sys.stdout.write(json.dumps(taken_apart(raw)))
    return 0


def limit_itself() -> None:
    """Give up memory and time beyond what any honest mail needs; systems that cannot, rely on the parent's clock."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # noqa: PLC0415 - not everywhere

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def taken_apart(raw: bytes) -> dict[str, object]:
    """What payadmin wants to know of a mail."""
    head = raw[: MOST_HEADER_BYTES + 1].replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    if len(head) > MOST_HEADER_BYTES:
        msg = "too much header"
        raise ValueError(msg)
    headers = BytesHeaderParser(policy=compat32).parsebytes(head)
    message = BytesParser(policy=compat32).parsebytes(raw)
    parts = leaves(message)
    plain = [text_of(part) for part in parts if part.get_content_type() == "text/plain" and not is_file(part)]
    pages = [text_of(part) for part in parts if part.get_content_type() == "text/html" and not is_file(part)]
    body = "\n\n".join(text for text in plain if text.strip()) or "\n\n".join(words_of(page) for page in pages)
    attached = [part for part in parts if is_file(part)]
    files = [file for part in attached if (file := file_of(part)) is not None]
    body = body.replace("\r\n", "\n").replace("\r", "\n")
    return {
        "senders": senders(headers),
        "message_id": header(headers, "message-id").strip()[:500],
        "is_automatic": is_automatic(headers),
        "text": _BLANK_LINES.sub("\n\n", _UNPRINTED.sub("", body)).strip()[:LONGEST_TEXT],
        "is_cut": len(body) > LONGEST_TEXT,
        "files": files[:MOST_FILES],
        "left_out": len(attached) - len(files[:MOST_FILES]),
    }


def leaves(message: Message) -> list[Message]:
    """The parts that hold something, without recursion and never too many."""
    found: list[Message] = []
    todo: list[tuple[Message, int]] = [(message, 0)]
    seen = 0
    while todo:
        part, depth = todo.pop(0)
        seen += 1
        if seen > MOST_PARTS or depth > MOST_DEPTH:
            msg = "too many parts"
            raise ValueError(msg)
        payload = part.get_payload()
        if part.is_multipart() and isinstance(payload, list):
            if part.get_content_type() == "message/rfc822":
                found.append(part)  # a forwarded mail is not taken; that it was there is said
            else:
                todo += [(child, depth + 1) for child in payload if isinstance(child, Message)]
        else:
            found.append(part)
    return found


def is_file(part: Message) -> bool:
    """Whether a part was attached, or is no text at all."""
    return bool(part.get_filename()) or part.get_content_maintype() != "text"


def file_of(part: Message) -> dict[str, str] | None:
    """An attached file as it came."""
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes) or not content:
        return None
    name = _UNPRINTED.sub("", words(part.get_filename() or "file"))[:200]
    return {"name": name, "content": base64.b64encode(content).decode("ascii")}


def text_of(part: Message) -> str:
    """The text of a part, in whatever coding it claims, wrong letters replaced."""
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes):
        return ""
    charset = (part.get_content_charset("utf-8") or "utf-8")[:40]
    try:
        return content.decode(charset, "replace")
    except (LookupError, ValueError):
        return content.decode("utf-8", "replace")


def words_of(page: str) -> str:
    """The words of an HTML page."""
    reader = Words()
    reader.feed(page[: 4 * LONGEST_TEXT])
    lines = ("".join(reader.words)).split("\n")
    return "\n".join(" ".join(line.split()) for line in lines)


def header(headers: Message, name: str) -> str:
    """The first header of this name, as text."""
    return str(headers.get(name, ""))[:LONGEST_HEADER]


def words(text: str) -> str:
    """A header with its encoded words decoded."""
    try:
        pieces = decode_header(text[:LONGEST_HEADER])
    except Exception:  # noqa: BLE001 - whatever is wrong with it, it stays as it is
        return text[:LONGEST_HEADER]
    said = []
    for piece, charset in pieces:
        if isinstance(piece, str):
            said.append(piece)
            continue
        try:
            said.append(piece.decode(charset or "ascii", "replace"))
        except (LookupError, ValueError):
            said.append(piece.decode("ascii", "replace"))
    return "".join(said)


def senders(headers: Message) -> list[str]:
    """Every address of the From headers: more than one is no answer of one customer. None of what is cut off."""
    given = [str(value) for value in headers.get_all("from", [])]
    if any(len(value) > LONGEST_HEADER for value in given):
        return []
    return [address.strip() for _name, address in getaddresses(given) if address.strip()][:5]


def is_automatic(headers: Message) -> bool:
    """Whether a program wrote it: an absence notice, a bounce, a mailing list (RFC 3834)."""
    submitted = header(headers, "auto-submitted").split(";")[0].strip().lower()
    if submitted not in {"", "no"} or header(headers, "precedence").strip().lower() in _BULK:
        return True
    if header(headers, "return-path").strip() == "<>" or header(headers, "content-type").startswith("multipart/report"):
        return True
    return any(name in headers for name in _AUTOMATIC)


if __name__ == "__main__":
    sys.exit(main())
