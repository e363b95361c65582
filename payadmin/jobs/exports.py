"""Writing exported files: a worker makes the requester's own request again, and keeps the file for the Exports page."""

import contextlib
import errno
import functools
import hashlib
import logging
import math
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from flask import Flask, current_app, g, session
from sqlalchemy.exc import OperationalError

from payadmin.actions import exports
from payadmin.db import db, utcnow
from payadmin.jobs import Later, job
from payadmin.kernel.errors import Forbidden, Refusal
from payadmin.kernel.text import _
from payadmin.models.access import StaffUser
from payadmin.permissions import Permission
from payadmin.queries.exports import due_exports
from payadmin.work import SYSTEM, Actor

if TYPE_CHECKING:
    from payadmin.config import Settings

log = logging.getLogger(__name__)

# A work horse is ended after a quarter of an hour: a file that takes longer is refused before that.
MOST_SECONDS = 420
FORGET_FILES_SECONDS = 600
UNEXPECTED = "Something went wrong on our side. Export again; if it fails again, tell an administrator."
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Dropped(Exception):
    """The export was cancelled, or another worker has taken over: this file is nobody's."""


@dataclass(frozen=True)
class _Written:
    rows: int
    size: int
    sha256: str
    is_personal: bool
    recorded: str
    criteria: dict[str, str]
    scope: list[str]


@job("write_export")
def write_export(*, export_id: int) -> Later | None:
    """Write one export's file and offer it, or say why not; after a worker's death another begins the file anew."""
    settings: Settings = current_app.extensions["payadmin.settings"]
    claimed = exports.claim_export(SYSTEM, export_id)
    if claimed is None:
        return None
    if isinstance(claimed, exports.Busy):
        return Later(claimed.seconds)
    path = settings.files_folder / "exports" / claimed.file
    give_up = functools.partial(exports.fail_export, SYSTEM, export_id, attempt=claimed.attempt, settings=settings)
    try:
        with _as_requester(claimed) as page:
            written = _write(page, claimed, path)
        delivered = exports.deliver_export(
            SYSTEM,
            export_id,
            attempt=claimed.attempt,
            rows=written.rows,
            size=written.size,
            sha256=written.sha256,
            is_personal=written.is_personal,
            recorded=written.recorded,
            criteria=written.criteria,
            scope=written.scope,
            settings=settings,
        )
    except Dropped:
        delivered = False
    except Refusal as refusal:
        delivered = False
        give_up(reason=refusal.sentence, pause=isinstance(refusal, Forbidden))
    except OperationalError:
        _drop(path)
        raise  # the database is away: the promise is kept later
    except OSError as error:
        delivered = False
        log.exception("export %s could not be written", export_id)
        give_up(reason=why_not_written(error))
    except Exception:
        delivered = False
        log.exception("export %s failed", export_id)
        give_up(reason=UNEXPECTED)
    if not delivered:
        _drop(path)
    return None


def why_not_written(error: OSError) -> str:
    """What staff read when the file could not be kept."""
    if error.errno in _FULL:
        return "The disk for exported files is full. Tell an administrator, then export again."
    cause = errno.errorcode.get(error.errno or 0, "no reason given")
    return _("The file could not be kept (%(cause)s). Tell an administrator.", cause=cause)


def keep_exports(settings: "Settings") -> None:
    """What every tick does: promise what schedules ask for, and delete files whose time is over."""
    schedules, files_over = due_exports(db.session(), utcnow())
    db.session.rollback()
    # Only then is a transaction to write in begun, which on SQLite keeps everybody else from writing.
    while schedules and exports.plan_exports(SYSTEM, zone=settings.zone):
        pass
    while files_over and (files := exports.expire_exports(SYSTEM)):
        for file in files:
            _drop(settings.files_folder / "exports" / file)


def sweep_files(settings: "Settings") -> int:
    """Delete files that nobody can fetch, left behind by workers and schedulers that died; how many."""
    folder = settings.files_folder / "exports"
    if not folder.is_dir():
        return 0
    # The folder is read before the table: a file that is begun in between is not in the first list.
    old = time.time() - FORGET_FILES_SECONDS
    found = [path for path in folder.iterdir() if _changed_at(path) < old]
    used = exports.files_in_use(SYSTEM) if found else ()
    left = [path for path in found if path.name not in used]
    for path in left:
        _drop(path)
    return len(left)


def _changed_at(path: Path) -> float:
    """When a file was last written to; what has gone meanwhile, or cannot be looked at, is left alone."""
    try:
        return path.lstat().st_mtime
    except OSError:
        return math.inf


@contextlib.contextmanager
def _as_requester(claimed: exports.Claimed) -> Iterator[Any]:
    """The list's page, as the requester would find it now: their rights, their masks, live or test payments.

    Raises:
        Forbidden: they may no longer sign in, or no longer export this list.
        Refusal: the list no longer exists.
    """
    app = _app_with_pages(current_app._get_current_object())  # type: ignore[attr-defined]  # noqa: SLF001 - the real one
    # A context of its own: the worker's must not be told that somebody is signed in.
    with app.app_context(), app.test_request_context("/"):
        g.actor = _actor(claimed.requester_id)
        session["mode"] = claimed.mode.name
        page = next((view for view in app.extensions["admin"][0]._views if view.endpoint == claimed.page), None)  # noqa: SLF001
        if page is None:
            raise Refusal("This list does not exist any more.")
        needs = {*claimed.needs, *map(str, page.export_needs()), str(Permission.EXPORTS_EXPORT_READ)}
        if not page.is_accessible() or not needs <= set(map(str, g.actor.permissions)):
            raise Forbidden(_("%(actor)s may no longer export this list.", actor=g.actor.name))
        yield page


def _actor(staff_id: int) -> Actor:
    staff = db.session.get_one(StaffUser, staff_id)
    if not staff.may_sign_in:
        raise Forbidden(_("%(username)s may no longer sign in.", username=staff.username))
    return Actor(
        staff_id=staff.id,
        name=staff.username,
        roles=staff.roles,
        permissions=staff.permissions,
        organization_id=staff.organization_id,
        menu=frozenset(staff.menu_access),
    )


def _app_with_pages(app: Flask) -> Flask:
    """The application with its pages: workers start without them, and only those that export ever need them."""
    from payadmin import create_app  # noqa: PLC0415

    if "admin" in app.extensions:
        return app
    with _MAKING:
        if _WITH_PAGES not in app.extensions:
            app.extensions[_WITH_PAGES] = create_app(app.extensions["payadmin.settings"])
    found: Flask = app.extensions[_WITH_PAGES]
    return found


_WITH_PAGES = "payadmin.with_pages"
_MAKING = threading.Lock()


def _drop(path: Path) -> None:
    with contextlib.suppress(OSError):  # the sweep comes back to it
        path.unlink(missing_ok=True)


def _write(page: Any, claimed: exports.Claimed, path: Path) -> _Written:
    from payadmin.views.exports_table import WRITERS, Counter, is_personal  # noqa: PLC0415

    asked = page.asked_by(claimed.list_args)
    shown = page.columns_named(claimed.columns)
    total = page.count_of_file(asked)
    until = time.monotonic() + MOST_SECONDS

    def tell(rows: int) -> None:
        if time.monotonic() > until:
            raise Refusal(
                _(
                    "It took longer than %(most_seconds)s minutes. Narrow the list and export again.",
                    most_seconds=MOST_SECONDS // 60,
                )
            )
        if not exports.note_progress(SYSTEM, claimed.export_id, attempt=claimed.attempt, rows=rows, total=total):
            raise Dropped

    head, rows = page.export_table(asked, shown)
    counter = Counter(rows, tell)
    digest, size = hashlib.sha256(), 0
    with contextlib.closing(rows), _private_file(path) as file:
        for piece in WRITERS[claimed.kind.ending](head, counter, page.plural_):
            digest.update(piece)
            size += file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    return _Written(
        rows=counter.count,
        size=size,
        sha256=digest.hexdigest(),
        is_personal=is_personal(shown) and g.actor.may(Permission.PARTIES_PERSONAL_READ),
        recorded=page.recorded(asked),
        criteria=dict(page.criteria(asked)),
        scope=page.scope_words(),
    )


def _private_file(path: Path) -> IO[bytes]:
    """A new file, in a folder of such, that only payadmin's own account can read."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb")
