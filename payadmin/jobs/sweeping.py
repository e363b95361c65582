"""Kept files that no row names: whoever died between a file and its row left them behind."""

import contextlib
import math
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

# No upload takes so long from its file to its row.
FORGET_FILES_SECONDS = 3_600
AT_ONCE = 500


def sweep_folder(folder: Path, in_use: Callable[[Sequence[str]], Collection[str]]) -> int:
    """Delete the files of a folder, all older than an hour, that no row names; how many.

    Args:
        folder: with folders of two letters in it, as kept files have.
        in_use: which of some names a row names.
    """
    if not folder.is_dir():
        return 0
    # The folder is read before the table: a file that is begun in between is not in the first list.
    old = time.time() - FORGET_FILES_SECONDS
    found = [path for path in folder.glob("*/*") if _changed_at(path) < old]
    left = 0
    for start in range(0, len(found), AT_ONCE):
        some = found[start : start + AT_ONCE]
        used = in_use([path.name for path in some])
        for path in some:
            if path.name not in used:
                left += 1
                with contextlib.suppress(OSError):  # the next sweep comes back to it
                    path.unlink(missing_ok=True)
    return left


def _changed_at(path: Path) -> float:
    """When a file was last written to; what has gone meanwhile, or cannot be looked at, is left alone."""
    try:
        return path.lstat().st_mtime
    except OSError:
        return math.inf
