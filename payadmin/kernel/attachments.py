"""What customers and staff may attach: a few kinds of files, told by their content and never by their name."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from payadmin.kernel.errors import Invalid
from payadmin.kernel.text import NumberText, _, one_line

MOST_BYTES: Final = 10 * 1024 * 1024
LONGEST_NAME: Final = 120
_UNSAFE: Final = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f]')
_CONTROLS: Final = re.compile(rb"[\x00-\x08\x0b\x0e-\x1f\x7f]")
_PNG: Final = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
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
        Invalid: empty, too large, or of no kind that is taken; `field` is "files".
    """
    if not content:
        raise Invalid("This file is empty.", field="files")
    if len(content) > MOST_BYTES:
        most = NumberText(MOST_BYTES // (1024 * 1024))
        raise Invalid(_("A file may have at most %(most)s MB.", most=most), field="files")
    media_type, ending = _kind(content)
    return Attachment(_clean(name, ending), media_type)


def _kind(content: bytes) -> tuple[str, str]:
    if content.startswith((b"%PDF-1.", b"%PDF-2.")):
        if b"%%EOF" in content[-2048:]:
            return "application/pdf", ".pdf"
    elif content.startswith(_PNG):
        if content.rstrip(b"\x00").endswith(b"IEND\xaeB`\x82"):
            return "image/png", ".png"
    elif content.startswith(b"\xff\xd8\xff"):
        if b"\xff\xd9" in content[-64:]:
            return "image/jpeg", ".jpg"
    elif _is_text(content):
        return "text/plain", ".txt"
    raise Invalid(_WRONG, field="files")


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
