"""Papers that prove who somebody is: PDF, JPEG and PNG by their content and structure, whatever their name says (P42).

What is let in here is not yet harmless. It is redrawn (`payadmin.kernel.redrawing`), and only the drawing is kept.
"""

import hashlib
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from payadmin.kernel.errors import Invalid
from payadmin.kernel.text import _, one_line

MAX_BYTES: Final = 5 * 2**20
MAX_PIXELS: Final = 40_000_000
MAX_SIDE: Final = 20_000
MIN_SIDE: Final = 100
MAX_PAGES: Final = 20
LONGEST_NAME: Final = 80


class PaperType(StrEnum):
    """What may be sent; the value is what screens show."""

    PDF = "PDF"
    JPEG = "JPEG"
    PNG = "PNG"


@dataclass(frozen=True)
class Paper:
    """A file that passed: what it is, and what it can be recognised by."""

    type: PaperType
    sha256: str
    size: int


EMPTY: Final = _("The file is empty.")
TOO_LARGE: Final = _("The file is too large: at most %(most)s MB.", most=MAX_BYTES // 2**20)
NEITHER: Final = _("This is not a PDF, a JPEG or a PNG, whatever its name says. Nothing else is taken.")
HEIC: Final = _(
    "This is a HEIC photo. Send it as JPEG: on an iPhone choose “Most Compatible” in Settings, Camera, Formats."
)
OFFICE: Final = _("This is an archive or an office document. Save it as PDF and send that.")
BROKEN: Final = _("The file is damaged or cut off. Save it again and send the new one.")
MORE: Final = _("Something else is hidden behind the end of the file. Save it again and send the new one.")
MOVING: Final = _("This is an animation. Send a still picture.")
TOO_MANY_PIXELS: Final = _("The picture is too large: at most %(most)s megapixels.", most=MAX_PIXELS // 1_000_000)
TOO_SMALL: Final = _("The picture is too small to be read: at least %(least)s pixels each way.", least=MIN_SIDE)
ENCRYPTED: Final = _("This PDF is protected by a password or encrypted. Save it without protection and send that.")
TOO_MANY_PAGES: Final = _("The PDF has too many pages: at most %(most)s. Send only those that matter.", most=MAX_PAGES)
TOO_MUCH_WORK: Final = _(
    "The file asks for more time or memory than a document needs. Print it to a new PDF, or photograph it."
)

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})
_SCAN, _END = 0xDA, 0xD9
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Within a scan FF 00 is a plain byte, FF D0–D7 a restart, and FF FF is filling.
_AFTER_SCAN: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_OFFICE: Final = (b"PK\x03\x04", b"PK\x05\x06", b"\xd0\xcf\x11\xe0", b"Rar!", b"7z\xbc\xaf", b"\x1f\x8b")
_HEIC: Final = frozenset({b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif"})


def check(data: bytes) -> Paper:
    """What a file is, found in its content and structure alone, before anything is decoded.

    Raises:
        Invalid: it is empty, too large, none of the three, damaged, or has more in it than it should.
    """
    if not data:
        raise Invalid(EMPTY)
    if len(data) > MAX_BYTES:
        raise Invalid(TOO_LARGE)
    return Paper(type_of(data), hashlib.sha256(data).hexdigest(), len(data))


def shown_name(name: str | None) -> str:
    """What the sender called a file, to be shown and for nothing else: no folders, no hidden or turning characters."""
    last = re.split(r"[/\\]", one_line(name or ""))[-1].strip(" .")
    if len(last) > LONGEST_NAME:
        last = f"{last[: LONGEST_NAME - 1]}…"
    return last or "document"


def check_size(width: int, height: int) -> None:
    """Whether a picture may be decoded, and is worth it.

    Raises:
        Invalid: too many pixels (a small file can ask for gigabytes), or too few to read anything.
    """
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise Invalid(TOO_MANY_PIXELS)
    if min(width, height) < MIN_SIDE:
        raise Invalid(TOO_SMALL)


def type_of(data: bytes, *, measure: Callable[[int, int], None] = check_size) -> PaperType:
    """What a file is, its whole structure walked through.

    Args:
        measure: refuses a picture of a width and height that is not taken.

    Raises:
        Invalid: it is none of the three, damaged, or has more in it than it should.
    """
    if data.startswith(b"\xff\xd8\xff"):
        _check_jpeg(data, measure)
        return PaperType.JPEG
    if data.startswith(_PNG):
        _check_png(data, measure)
        return PaperType.PNG
    if data.startswith(b"%PDF-"):
        _check_pdf(data)
        return PaperType.PDF
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC:
        raise Invalid(HEIC)
    raise Invalid(OFFICE if data.startswith(_OFFICE) else NEITHER)


def _check_jpeg(data: bytes, measure: Callable[[int, int], None]) -> None:
    """Walk the segments to the end of the picture: https://www.w3.org/Graphics/JPEG/itu-t81.pdf, annex B."""
    place, framed, scanned = 2, False, False
    while (marker := _marker(data, place))[0] != _END:
        place = marker[1]
        if marker[0] in _STANDALONE:
            continue
        length = int.from_bytes(data[place : place + 2], "big")
        if length < 2 or place + length > len(data):  # noqa: PLR2004 - the length counts itself
            raise Invalid(BROKEN)
        if marker[0] in _FRAMES:
            if framed or length < 8:  # noqa: PLR2004 - one frame, whole
                raise Invalid(BROKEN)
            height, width = struct.unpack(">HH", data[place + 3 : place + 7])
            measure(width, height)
            framed = True
        place += length
        if marker[0] == _SCAN:  # what follows is the picture itself
            found = _AFTER_SCAN.search(data, place)
            place, scanned = (found.start() if found else len(data)), True
    if not (framed and scanned):
        raise Invalid(BROKEN)
    if not _is_phones_own(data[marker[1] :]):
        raise Invalid(MORE)


def _marker(data: bytes, place: int) -> tuple[int, int]:
    """The marker at a place, and where it ends."""
    while data[place : place + 2] == b"\xff\xff":
        place += 1
    head = data[place : place + 2]
    if len(head) < 2 or head[0] != 0xFF:  # noqa: PLR2004 - a marker is two bytes
        raise Invalid(BROKEN)
    return head[1], place + 2


def _is_phones_own(rest: bytes) -> bool:
    """Whether what follows a picture is what telephones write there: brightness maps, which are JPEGs, or their notes.

    It is dropped when the picture is redrawn; refusing it would refuse the photos of most telephones.
    """
    return not rest.strip(b"\x00") or rest.startswith(b"\xff\xd8\xff") or rest.endswith(b"SEFT")


def _check_png(data: bytes, measure: Callable[[int, int], None]) -> None:
    """What the chunks say, in their order; nothing behind the last."""
    names: list[bytes] = []
    place = len(_PNG)
    while not names or names[-1] != b"IEND":
        name, body, place = _chunk(data, place)
        if (not names) != (name == b"IHDR") or (not names and len(body) != 13):  # noqa: PLR2004 - by the standard
            raise Invalid(BROKEN)
        if name == b"IHDR":
            measure(*struct.unpack(">II", body[:8]))
        if name == b"acTL":
            raise Invalid(MOVING)
        names.append(name)
    if b"IDAT" not in names:
        raise Invalid(BROKEN)
    if place != len(data):
        raise Invalid(MORE)


def _chunk(data: bytes, place: int) -> tuple[bytes, bytes, int]:
    """The chunk at a place, its checksum checked: https://www.w3.org/TR/png-3/#5Chunk-layout."""
    length, name = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
    end = place + 12 + length
    if end > len(data) or not name.isalpha():
        raise Invalid(BROKEN)
    if zlib.crc32(data[place + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
        raise Invalid(BROKEN)
    return name, data[place + 8 : end - 4], end


def _check_pdf(data: bytes) -> None:
    """The frame only; who may read it, its pages and what they cost is found by drawing them."""
    if not re.match(rb"%PDF-[12]\.\d", data):
        raise Invalid(BROKEN)
    end = data.rfind(b"%%EOF")
    if end < 0:
        raise Invalid(BROKEN)
    rest = data[end + 5 :]
    if rest.strip(b"\x00\t\n\f\r "):
        # Cut off while an older edition in the same file ended properly, or something was added.
        raise Invalid(MORE)
