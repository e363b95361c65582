"""Files of documents: destroyed when their time is over, and swept when no row names them."""

import contextlib
import datetime as dt
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

from payadmin.actions import identification
from payadmin.actions.identification.files import FOLDER
from payadmin.db import db, utcnow
from payadmin.queries.identification import overdue
from payadmin.work import SYSTEM

if TYPE_CHECKING:
    from payadmin.config import Settings

# No upload takes so long from its file to its row.
FORGET_FILES_SECONDS = 3_600
AT_ONCE = 500


def destroy_documents(settings: "Settings") -> int:
    """Destroy the files of documents that were rejected or replaced `DOCUMENT_DAYS` ago; how many."""
    done = 0
    while _is_any_overdue(settings) and (
        files := identification.destroy_old_documents(SYSTEM, days=settings.document_days)
    ):
        identification.drop(settings, files)
        done += len(files)
    return done


def sweep_documents(settings: "Settings") -> int:
    """Delete files that no row names, left behind by whoever died between the file and its row; how many."""
    folder = settings.files_folder / FOLDER
    if not folder.is_dir():
        return 0
    # The folder is read before the table: a file that is begun in between is not in the first list.
    old = time.time() - FORGET_FILES_SECONDS
    found = [path for path in folder.glob("*/*") if _changed_at(path) < old]
    left = 0
    for start in range(0, len(found), AT_ONCE):
        some = found[start : start + AT_ONCE]
        used = identification.documents_in_use(SYSTEM, [path.name for path in some])
        for path in some:
            if path.name not in used:
                left += 1
                with contextlib.suppress(OSError):  # the next sweep comes back to it
                    path.unlink(missing_ok=True)
    return left


def _is_any_overdue(settings: "Settings") -> bool:
    """A look without writing: on SQLite whoever begins to write keeps everybody else from it."""
    before = utcnow() - dt.timedelta(days=settings.document_days)
    found = overdue(db.session(), before, 1)
    db.session.rollback()
    return bool(found)


def _changed_at(path: Path) -> float:
    """When a file was last written to; what has gone meanwhile, or cannot be looked at, is left alone."""
    try:
        return path.lstat().st_mtime
    except OSError:
        return math.inf
