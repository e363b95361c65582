"""What customers and staff may attach: a few kinds of files, told by their content and never by their name.

They are kept as they came, so all of a file is looked into, not its beginning and its end: a PDF may neither do
anything nor hold other files, and no file may be a file of another kind as well.
"""

import re
import unicodedata
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from payadmin.kernel import papers
from payadmin.kernel.errors import Invalid
from payadmin.kernel.text import NumberText, _, one_line

MOST_BYTES: Final = 10 * 1024 * 1024
LONGEST_NAME: Final = 120
_UNSAFE: Final = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f]')
_CONTROLS: Final = re.compile(rb"[\x00-\x08\x0b\x0e-\x1f\x7f]")
_KINDS: Final = {
    papers.PaperType.PDF: ("application/pdf", ".pdf"),
    papers.PaperType.PNG: ("image/png", ".png"),
    papers.PaperType.JPEG: ("image/jpeg", ".jpg"),
}
_STARTS: Final = (b"%PDF-1.", b"%PDF-2.", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
# What other programs find anywhere in a file: pages with scripts, a second PDF, archives by what ends or begins them.
_FOREIGN: Final = re.compile(
    rb"<script|<html|<\?php|%PDF-[12]\.|PK\x05\x06\x00\x00\x00\x00|Rar!\x1a\x07|7z\xbc\xaf\x27\x1c", re.IGNORECASE
)
# Names of what a PDF does by itself, or holds beside its pages (ISO 32000-2, 12.6 and 7.11).
_ACTIVE: Final = re.compile(
    rb"/(?:JavaScript|Launch|EmbeddedFiles?|RichMedia|XFA|SubmitForm|ImportData|GoToE)(?=[\x00\t\n\f\r ()<>\[\]{}/%]|$)"
)
_ENCRYPTED: Final = re.compile(rb"/Encrypt(?=[\x00\t\n\f\r ()<>\[\]{}/%])")
_ESCAPED: Final = re.compile(rb"#([0-9A-Fa-f]{2})")
_STREAM: Final = re.compile(rb"(?<!end)stream[^\r\n]{0,32}(?:\r\n|[\r\n])")
_NUMBERS: Final = re.compile(rb"\s*(?:\d+\s+\d+\s|$)")
_MOST_INFLATED: Final = 128 * 1024 * 1024
_PIECE: Final = 64 * 1024
_LONGEST_WORD: Final = 64
_DICTIONARY: Final = 2_048
_ACTS: Final = _(
    "There is more in this file than pages or a picture: a script, a form or another file. Print it to a new PDF, "
    "or send a picture."
)
_WRONG: Final = _("Only PDF, PNG, JPEG and plain text files can be attached; this is none of them.")


@dataclass(frozen=True)
class Attachment:
    """A file that was looked into: what it may be called and what it is."""

    name: str
    media_type: str


def check_attachment(name: str, content: bytes) -> Attachment:
    """Look into a file and say what it is; its name gets the ending of what it really is.

    Args:
        name: what its sender calls it; any folder in it is dropped.
        content: all of it.

    Raises:
        Invalid: empty, too large, of no kind that is taken, damaged, or with more in it than it shows; `field` is
            "files".
    """
    if not content:
        raise Invalid("This file is empty.", field="files")
    if len(content) > MOST_BYTES:
        most = NumberText(MOST_BYTES // (1024 * 1024))
        raise Invalid(_("A file may have at most %(most)s MB.", most=most), field="files")
    media_type, ending = _kind(content)
    return Attachment(_clean(name, ending), media_type)


def _kind(content: bytes) -> tuple[str, str]:
    if not content.startswith(_STARTS):
        if _is_text(content):
            return "text/plain", ".txt"
        raise Invalid(_WRONG, field="files")
    try:
        kind = papers.type_of(content, measure=_any_size)
        _check_inside(content, kind)
    except Invalid as refusal:
        raise Invalid(refusal.sentence, field="files") from refusal
    return _KINDS[kind]


def _any_size(width: int, height: int) -> None:
    """Pictures are kept and never drawn here: their size is nobody's concern."""


def _check_inside(content: bytes, kind: papers.PaperType) -> None:
    if _FOREIGN.search(content, 1):
        raise Invalid(_ACTS)
    if kind is papers.PaperType.PDF:
        _check_pdf(content)


def _check_pdf(content: bytes) -> None:
    """Look for what is not a page in all of a PDF: names can be written in escapes, and objects lie in streams."""
    plain = _unescaped(content)
    if _ENCRYPTED.search(plain):
        raise Invalid(papers.ENCRYPTED)
    if _ACTIVE.search(plain):
        raise Invalid(_ACTS)
    left, view = _MOST_INFLATED, memoryview(content)
    for stream in _STREAM.finditer(content):
        before = _unescaped(content[max(0, stream.start() - _DICTIONARY) : stream.start()])
        holds_objects, is_first, tail = b"/ObjStm" in before.rpartition(b"obj")[2], True, b""
        try:
            for piece in _inflated(view[stream.end() :]):
                left -= len(piece)
                if left < 0:
                    raise Invalid(papers.TOO_MUCH_WORK)
                if holds_objects and is_first and not _NUMBERS.match(piece):
                    raise Invalid(papers.BROKEN)  # packed twice, or in another way: nobody can look into it
                is_first, whole = False, tail + piece
                if _ACTIVE.search(_unescaped(whole)):
                    raise Invalid(_ACTS)
                tail = whole[-_LONGEST_WORD:]
        except zlib.error:
            if holds_objects:
                raise Invalid(papers.BROKEN) from None


def _inflated(packed: memoryview) -> Iterator[bytes]:
    """What a stream holds, in pieces; a file of ten megabytes can hold gigabytes.

    Raises:
        zlib.error: it is packed in another way, or damaged.
    """
    engine = zlib.decompressobj()
    for start in range(0, len(packed), _PIECE):
        piece: bytes | memoryview = packed[start : start + _PIECE]
        while piece and not engine.eof:
            yield engine.decompress(piece, 16 * _PIECE)
            piece = engine.unconsumed_tail
        if engine.eof:
            return


def _unescaped(content: bytes) -> bytes:
    """A PDF may write any letter of a name as its number: /Java#53cript is /JavaScript."""
    return _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), content) if b"#" in content else content


def _is_text(content: bytes) -> bool:
    if _CONTROLS.search(content):
        return False
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _clean(name: str, ending: str) -> str:
    last = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    stem = _UNSAFE.sub("", one_line(last))
    stem = stem.rpartition(".")[0] if re.search(r"\.[A-Za-z0-9]{1,8}$", stem) else stem
    return f"{stem.strip(' .')[: LONGEST_NAME - len(ending)] or 'file'}{ending}"
