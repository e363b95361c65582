"""Every use case: permitted, recorded, reached by a page, a job or a command, tested, and shut to everybody else."""

import ast
import contextlib
from functools import cache
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

from payadmin import actions
from payadmin.db import Base, db
from payadmin.kernel.errors import Forbidden
from payadmin.models.audit import AuditEvent
from payadmin.permissions import GRANTS, MENU, SCOPES, Permission
from payadmin.views.registry import discover
from payadmin.work import SYSTEM, USE_CASES
from tests.support.make import Make
from tests.support.source import ROOT, calls, dotted, files, functions, names, tree

discover(actions)
# Tests that ran before in this process may have registered acts of their own.
EVERY = sorted(name for name, act in USE_CASES.items() if act.__module__.startswith("payadmin."))

# Acts whose page comes with a later issue; tested by themselves until then.
AWAITED = {
    "access.change_menu_access": "what an approved request replays; the page changes roles and menu at once",
    "access.change_roles": "what an approved request replays; the page changes roles and menu at once",
}

# Acts that leave no entry in the trail, and why they need none.
SILENT = {
    "access._missing": "reads which demo accounts are not there yet",
    "access._reserve_own_try": "counts a try before the password is looked at; the outcome is recorded",
    "access._refuse_current_password": "exists to be refused, and refusals are recorded",
    "access.address_step": "reads what a link is about; saying yes or no to it is recorded",
    "access.owner_of_password_link": "reads whom a link is for; using it is recorded",
    "access.read_pending_secret": "shows an authenticator's secret to its owner before it is confirmed",
    "access.touch_session": "notes when a session was last seen",
    "api.note_key_used": "notes when a key was last used; what it does is recorded",
    "audit.seal_events": "is itself the proof of the trail",
    "banking.order_question": "writes down what the bank is asked; what it answers is recorded",
    "exports.files_in_use": "reads which files the sweep must leave alone",
    "exports.note_progress": "says how far a file is; its start and its end are recorded",
    "identification.documents_in_use": "reads which files the sweep must leave alone",
    "identification.reserve_upload_try": "counts a try before a file is decoded; the outcome is recorded",
    "notices.read_all_notices": "what somebody has read of what they were told",
    "notices.read_notice": "what somebody has read of what they were told",
    "records.choose_columns": "a person's own taste",
    "reporting.fold_changes": "adds up what payments' own records say already",
    "reporting.rebuild_days": "does what the recorded order to rebuild asked for",
    "risk.start_trial": "asks for a replay, which touches nothing; its end is recorded",
    "saved_views.choose_first_view": "a person's own taste",
    "saved_views.move_pin": "a person's own taste",
    "saved_views.pin_view": "a person's own taste",
    "saved_views.unpin_view": "a person's own taste",
    "support.files_in_use": "reads which files the sweep must leave alone",
    "runs.note_item": "keeps what a row of a run said so far; the act itself is recorded",
    "runs.claim_item": "takes a row of a run; what happens to it is recorded by its own use case",
    "system.count_requests": "counts, of which Monitoring draws a line",
    "system.keep_sample": "measures, of which Monitoring draws a line",
    "subscriptions.days_to_reconcile": "says which days are still to be compared; comparing them is recorded",
    "subscriptions.hand_back_link_try": "uncounts a try; what the try came to is recorded",
    "subscriptions.reserve_link_try": "counts a try before a card is looked at; the outcome is recorded",
    "subscriptions.hold_charges": "renews a worker's claim; what comes of the call is recorded",
    "runs.settle_item": "keeps the outcome of a row beside the run; the act itself is recorded",
}


@cache
def action_functions() -> dict[str, ast.Module]:
    """Every function below `actions/` and what stands on `Work` beside them."""
    return functions("actions", "guard.py", "once.py", "step_up.py")


@cache
def reached() -> set[str]:
    """Every name that pages, jobs and commands mention, and what the actions they name mention in turn."""
    found: set[str] = set()
    for file in files("views", "jobs", "cli.py", "embedded.py", "mailin.py", "sample"):
        found |= names(tree(file))
    todo = list(found & action_functions().keys())
    while todo:
        new = (names(action_functions()[todo.pop()]) & action_functions().keys()) - found
        found |= new
        todo += new
    return found


@cache
def speaks(name: str) -> bool:
    """Whether a function writes into the trail, itself or by what it calls."""
    todo, seen = [name], {name}
    while todo:
        node = action_functions()[todo.pop()]
        if any(isinstance(part, ast.Attribute) and part.attr == "record" for part in ast.walk(node)):
            return True
        new = (names(node) & action_functions().keys()) - seen
        seen |= new
        todo += new
    return False


def reached_by_tests(app: Flask) -> set[str]:
    """Every name that a test mentions, the addresses it asks for, and what stands behind both."""
    found: set[str] = set()
    addresses = app.url_map.bind("localhost")
    for file in (ROOT / "tests").rglob("*.py"):
        if file.parent.name != "meta":
            found |= names(tree(file))
            for path in paths(tree(file)):
                for method in ("GET", "POST"):
                    with contextlib.suppress(HTTPException, RequestRedirect):
                        found.add(bare(addresses.match(path, method)[0]))
    behind = functions("actions", "views", "jobs", "queries", "guard.py", "once.py", "step_up.py")
    todo = list(found & behind.keys())
    while todo:
        new = (names(behind[todo.pop()]) & behind.keys()) - found
        found |= new
        todo += new
    return found


def paths(file: ast.AST) -> set[str]:
    """The addresses in a test: texts with a slash, with a number wherever something is filled in.

    A page of a model that only the test knows, or whose address is put together, counts as the page of customers.
    """
    found = set()
    for node in ast.walk(file):
        if isinstance(node, ast.JoinedStr):
            found.add("".join(str(part.value) if isinstance(part, ast.Constant) else "1" for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    whole = {text.partition("?")[0] for text in found if "/" in text and " " not in text}
    return whole | {f"/customers/{text.lstrip('/').partition('/')[2] or text.strip('/') + '/'}" for text in whole}


def bare(name: str) -> str:
    return name.rpartition(".")[2]


@pytest.mark.once
@pytest.mark.parametrize("name", EVERY)
def test_a_use_case_names_its_permission(name: str) -> None:
    assert isinstance(USE_CASES[name].permission, Permission)  # type: ignore[attr-defined]


@pytest.mark.once
@pytest.mark.parametrize("name", EVERY)
def test_a_use_case_is_reached_by_a_page_a_job_or_a_command(name: str) -> None:
    called = bare(name) in reached()
    assert called is (name not in AWAITED), f"nobody calls {name}" if not called else f"{name} has a caller now"


@pytest.mark.once
@pytest.mark.parametrize("name", EVERY)
def test_a_use_case_leaves_a_word_in_the_trail(name: str) -> None:
    assert speaks(bare(name)) is (name not in SILENT)


@pytest.mark.once
def test_the_lists_of_exceptions_name_only_what_exists() -> None:
    assert (SILENT.keys() | AWAITED.keys()) - set(EVERY) == set()


@pytest.mark.once
def test_tests_name_every_use_case_or_what_leads_to_it(app: Flask) -> None:
    known = reached_by_tests(app)
    assert [name for name in EVERY if bare(name) not in known] == []


@pytest.mark.parametrize("name", EVERY)
def test_without_its_permission_a_use_case_refuses_and_nothing_changes(app: Flask, make: Make, name: str) -> None:
    make.payment()
    before = contents()
    act: Any = USE_CASES[name]
    with pytest.raises(Forbidden):
        act(make.actor_without(act.permission), 1)
    assert contents() == before
    entry = db.session.scalars(select(AuditEvent)).one()
    assert (entry.event, entry.outcome, entry.actor_name) == (name, "refused", "nobody")


def contents() -> dict[str, list[Any]]:
    """Every row of every table but the trail."""
    db.session.rollback()
    tables = [table for table in Base.metadata.sorted_tables if table.name not in {"audit_event", "audit_key"}]
    found = {table.name: [tuple(row) for row in db.session.execute(select(table))] for table in tables}
    db.session.rollback()
    return found


def test_an_empty_world_has_an_empty_trail(app: Flask) -> None:
    assert db.session.scalar(select(func.count()).select_from(AuditEvent)) == 0


@pytest.mark.once
def test_every_permission_is_asked_for_or_stands_in_the_menu_or_waits_for_its_room() -> None:
    """A permission that nothing asks for is a promise to an auditor that nobody keeps."""
    asked = {getattr(act, "permission", None) for act in USE_CASES.values()}
    asked |= {item.permission for section in MENU for item in section.items}
    asked |= set(SCOPES.values())  # by the endpoint that names the scope
    mentioned = set().union(*(names(tree(file)) for file in files("views", "actions", "jobs", "approvals.py")))
    rooms = {file.stem for file in files("actions")} | {file.parent.name for file in files("actions")}
    idle = {
        permission
        for permission in Permission
        if permission not in asked and permission.name not in mentioned and permission.partition(":")[0] in rooms
    }
    assert {permission for permission in idle if not automatic(permission)} == set()


def automatic(permission: Permission) -> bool:
    """Whether pages find the permission by its thing: `…:write` edits and `…:export` exports what `…:read` shows."""
    thing, _, verb = permission.rpartition(":")
    return verb in {"write", "export", "create", "edit", "delete"} and f"{thing}:read" in {str(p) for p in Permission}


@pytest.mark.once
def test_system_may_everything_and_no_role_may_what_is_the_systems() -> None:
    assert SYSTEM.permissions == frozenset(Permission)
    systems = {Permission.SYSTEM_JOB_RUN, Permission.ACCESS_SESSION_START, Permission.SUBSCRIPTIONS_LINK_USE}
    systems |= {Permission.COMPLIANCE_LINK_USE}
    systems |= {Permission.API_KEY_USE, *SCOPES.values()}
    assert not any(systems & granted for granted in GRANTS.values())


@pytest.mark.once
def test_use_cases_are_called_with_an_actor_never_undressed() -> None:
    """`__wrapped__` would be a way around the permission and the transaction."""
    around = [file for file in files("") for call in calls(file) if "__wrapped__" in dotted(call.func)]
    assert around == []
