"""Where documents lie: sealed drawings under random names, outside everything that is served.

A file is written before its row and deleted after it. Whatever dies in between leaves a file that no row names, and
the sweep (`payadmin.jobs.identification`) deletes it; a row never names a file that was not written to the disk.
"""

import contextlib
import os
import secrets
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from payadmin.config import Settings
from payadmin.kernel import papers, redrawing, vault
from payadmin.kernel.errors import Conflict, Invalid, Refusal
from payadmin.kernel.papers import PaperType
from payadmin.kernel.text import _
from payadmin.models.identification import DocumentKind

FOLDER: Final = "documents"
MOST_FILES: Final = 8
GONE: Final = _("The file of this document is not where it should be. Tell an administrator: it may be in a backup.")
UNREADABLE: Final = _("The file of this document cannot be opened with the present keys. Tell an administrator.")
_MAGIC: Final = b"payadmin drawings 1\n"


@dataclass(frozen=True)
class Sent:
    """A file as somebody sent it: what they say it is, and the field of the form that it came in."""

    kind: DocumentKind
    name: str | None
    data: bytes
    field: str


@dataclass(frozen=True)
class Drawn:
    """A file that was redrawn and kept; a row may name it now."""

    kind: DocumentKind
    file: str
    file_name: str
    media: PaperType
    sha256: str
    size: int
    pages: int
    field: str


@contextlib.contextmanager
def redrawn(sent: Sequence[Sent], settings: Settings) -> Iterator[list[Drawn]]:
    """Check and redraw what was sent, all of it or nothing, and keep the drawings while a row is written.

    After a refusal they are deleted again. After any other failure they stay for the sweep: a commit whose answer was
    lost may have been done.

    Raises:
        Invalid: one of the files is refused; the sentence names it, `field` is where it came from.
        Conflict: too many are being redrawn at this moment.
    """
    if not sent:
        raise Invalid("Choose a file.", field="files")
    if len(sent) > MOST_FILES:
        raise Invalid(_("At most %(most)s files at once.", most=MOST_FILES), field=sent[0].field)
    kept: list[Drawn] = []
    try:
        for each in sent:  # one after the other: the drawings of one file at a time are in memory
            paper, pages = _read(each)
            name = papers.shown_name(each.name)
            file = seal_pages(settings, pages)
            size = paper.size
            kept.append(Drawn(each.kind, file, name, paper.type, paper.sha256, size, len(pages), each.field))
        yield kept
    except Refusal:
        drop(settings, (drawn.file for drawn in kept))
        raise


def _read(each: Sent) -> tuple[papers.Paper, list[bytes]]:
    try:
        paper = papers.check(each.data)
        return paper, redrawing.redraw(each.data, paper.type)
    except Invalid as refusal:
        told = _("%(file)s: %(why)s", file=papers.shown_name(each.name), why=refusal.sentence)
        raise Invalid(told, field=each.field) from refusal


def path_of(settings: Settings, file: str) -> Path:
    """Where a file lies; its name is ours and random, never a sender's."""
    return settings.files_folder / FOLDER / file[:2] / file


def seal_pages(settings: Settings, pages: Sequence[bytes]) -> str:
    """Write drawings to the disk, sealed one by one, each bound to its file and its place; the random name."""
    file = secrets.token_hex(16)
    sealed = [
        vault.seal_bytes(settings.totp_keys, _owner(file, number, len(pages)), page)
        for number, page in enumerate(pages, 1)
    ]
    path = path_of(settings, file)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as out:
        out.write(_MAGIC + struct.pack(f">H{len(sealed)}I", len(sealed), *map(len, sealed)))
        out.writelines(sealed)
        out.flush()
        os.fsync(out.fileno())
    _sync_folder(path.parent)
    return file


def page_of(settings: Settings, file: str, number: int) -> bytes:
    """One page as a JPEG.

    Raises:
        Conflict: the file is gone, was changed, or no key opens it.
    """
    try:
        with path_of(settings, file).open("rb") as source:
            if source.read(len(_MAGIC)) != _MAGIC:
                raise Conflict(UNREADABLE)
            (count,) = struct.unpack(">H", source.read(2))
            sizes = struct.unpack(f">{count}I", source.read(4 * count))
            source.seek(sum(sizes[: number - 1]), os.SEEK_CUR)
            sealed = source.read(sizes[number - 1])
    except FileNotFoundError:
        raise Conflict(GONE) from None
    except (struct.error, IndexError):
        raise Conflict(UNREADABLE) from None
    try:
        return vault.unseal_bytes(settings.totp_keys, _owner(file, number, count), sealed)
    except vault.Unreadable:
        raise Conflict(UNREADABLE) from None


def drop(settings: Settings, files: Iterable[str]) -> None:
    """Delete files that no row names any more; what cannot be deleted now is found by the sweep."""
    for file in files:
        with contextlib.suppress(OSError):
            path_of(settings, file).unlink(missing_ok=True)


def _owner(file: str, number: int, count: int) -> str:
    return f"identity document {file} {number}/{count}"


def _sync_folder(folder: Path) -> None:
    """The name of a new file survives a crash only when its folder was written too."""
    with contextlib.suppress(OSError):  # not every system opens folders
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
