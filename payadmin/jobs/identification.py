"""Files of documents: destroyed when their time is over, and swept when no row names them."""

import datetime as dt
from typing import TYPE_CHECKING

from payadmin.actions import identification
from payadmin.actions.identification.files import FOLDER
from payadmin.db import db, utcnow
from payadmin.jobs.sweeping import sweep_folder
from payadmin.queries.identification import overdue
from payadmin.work import SYSTEM

if TYPE_CHECKING:
    from payadmin.config import Settings


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
    return sweep_folder(settings.files_folder / FOLDER, lambda files: identification.documents_in_use(SYSTEM, files))


def _is_any_overdue(settings: "Settings") -> bool:
    """A look without writing: on SQLite whoever begins to write keeps everybody else from it."""
    before = utcnow() - dt.timedelta(days=settings.document_days)
    found = overdue(db.session(), before, 1)
    db.session.rollback()
    return bool(found)
