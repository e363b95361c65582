"""Redrawing: a stranger's file becomes plain pictures of its pages, and scripts, forms, attachments and notes vanish.

The file is read only by a process of its own with limits of time and memory. Whatever a decoder does there ends there.
"""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

from payadmin.kernel import papers
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.papers import PaperType
from payadmin.kernel.text import _

PATIENCE_SECONDS: Final = 30
# Of one process: each may take 800 MB for a moment.
AT_ONCE: Final = 2
WAIT_SECONDS: Final = 40
BUSY: Final = _("Other documents are just being read. Nothing was kept; try again in a minute.")

_CHILD: Final = Path(__file__).with_name("redrawing_child.py")
_WORDS: Final = {
    "broken": papers.BROKEN,
    "encrypted": papers.ENCRYPTED,
    "pages": papers.TOO_MANY_PAGES,
    "pixels": papers.TOO_MANY_PIXELS,
    "toomuch": papers.TOO_MUCH_WORK,
}
_turns: Final = threading.BoundedSemaphore(AT_ONCE)


def redraw(data: bytes, kind: PaperType, *, patience: float | None = None) -> list[bytes]:
    """The pages of a checked file, each a JPEG of its pixels alone, at most 2,400 pixels long.

    Args:
        data: the file, as `papers.check` let it in.
        kind: what `papers.check` found it to be.
        patience: seconds after which the child is ended, 30 unless told otherwise.

    Raises:
        Invalid: it cannot be drawn, is encrypted, has too many pages, or asks for too much.
        Conflict: too many are being redrawn at this moment.
    """
    if not _turns.acquire(timeout=WAIT_SECONDS):
        raise Conflict(BUSY)
    try:
        ended = subprocess.run(  # noqa: S603 - our own program, and a word of ours
            [sys.executable, "-I", str(_CHILD), kind.name, str(papers.MAX_PIXELS), str(papers.MAX_PAGES)],
            input=data,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE_SECONDS if patience is None else patience,
            check=False,
            env=None if sys.platform == "win32" else {},  # no secret of ours; Windows starts nothing without its own
        )
    except subprocess.TimeoutExpired:
        raise Invalid(papers.TOO_MUCH_WORK) from None
    finally:
        _turns.release()
    word, _end, pages = ended.stdout.partition(b"\n")
    if ended.returncode or not word:
        raise Invalid(papers.TOO_MUCH_WORK)  # it was ended by its own limits
    if word != b"done":
        raise Invalid(_WORDS.get(word.decode("ascii", "replace"), papers.BROKEN))
    return _apart(pages)


def _apart(pages: bytes) -> list[bytes]:
    found, place = [], 0
    while place < len(pages):
        length = int.from_bytes(pages[place : place + 4], "big")
        found.append(pages[place + 4 : place + 4 + length])
        place += 4 + length
    if not found or any(not page.startswith(b"\xff\xd8\xff") for page in found):
        raise Invalid(papers.BROKEN)
    return found
