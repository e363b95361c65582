"""A room has one name in every layer, what is promised exists, and what the parts agree on is written down once."""

import ast
import inspect
import re
import tomllib
from pathlib import Path

import pytest

from payadmin.audit import Event
from payadmin.jobs import JOBS, load_jobs
from payadmin.permissions import GRANTABLE, GRANTS, MENU, MENU_KEYS, Permission, Role, grantable_by, granted
from tests.support.source import PACKAGE, ROOT, calls, dotted, files, tree

pytestmark = pytest.mark.once

load_jobs()

ROOMS = frozenset(
    {
        "access", "api", "approvals", "audit", "parties", "payments", "subscriptions", "batches", "checkout", "wallets",
        "ledger", "cash", "contracts", "fx", "compliance", "fraud", "products", "support", "reporting", "system",
        "tariffs", "usage", "treasury", "redeem", "banking", "identification", "risk",
    }
)  # fmt: skip

# What belongs to no room: the frame that every room stands in, and where a room speaks by another name.
FRAME = {
    "actions": {
        "exports", "imports", "import_layouts", "notices", "records", "reveals", "runs", "saved_views", "texts",
    },
    "models": {"base", "exports", "imports", "ledger_rules", "outbox", "registrations"},
    "jobs": {"exports", "rings", "runner", "runs", "notifications", "sweeping"},
    "queries": {"billing", "blocks", "exports", "texts", "workers"},
    "views": {
        "account", "advance", "all_report", "all_report_filters", "assets", "attention", "base", "bell", "bulk",
        "cancel_scheduled", "changes", "charts", "checks", "columns", "conditions", "core", "dates", "drawing",
        "errors", "exports", "exports_page", "exports_schedule", "exports_table", "fields", "figures", "filters",
        "finder", "forms", "gate", "guide", "language", "lists", "login", "mailbox", "notes", "notices", "orders",
        "outcomes", "palette", "payment_filters", "periods", "registry", "requests", "resolving", "retry_policies",
        "reveals", "rows", "saved_views", "scheduled", "search", "security", "shell", "template_texts",
        "texts", "ui", "webhooks", "workers",
    },
    "templates": {
        "account", "admin", "all_report", "attention", "auth", "errors", "exports", "finder", "help", "jobs", "macros",
        "notices", "retry_policies", "scheduled", "texts", "webhooks", "workers",
    },
}  # fmt: skip
NOT_ROOMS_IN_TESTS = {
    "bench", "browser", "data", "demo", "embedded", "exports", "faults", "golden", "imports", "jobs", "kernel", "meta",
    "pages", "providers", "reports", "sample", "security", "support", "texts", "views",
}  # fmt: skip


def parts(layer: str) -> set[str]:
    """The modules and packages directly in a layer."""
    folder = ROOT / "templates" if layer == "templates" else PACKAGE / layer
    found = {path.stem if path.is_file() else path.name for path in folder.iterdir() if path.suffix in {".py", ""}}
    return {name for name in found if not name.startswith((".", "__"))}


@pytest.mark.parametrize("layer", FRAME)
def test_a_layer_holds_rooms_and_the_named_frame(layer: str) -> None:
    assert parts(layer) - ROOMS - FRAME[layer] == set()


def test_tests_are_kept_by_room() -> None:
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and not path.name.startswith("__")}
    assert folders - ROOMS - NOT_ROOMS_IN_TESTS == set()


def test_permissions_are_room_thing_verb_in_order() -> None:
    for permission in Permission:
        assert re.fullmatch(r"[a-z]+:[a-z_]+:[a-z_]+", permission)
        assert permission.name == permission.value.replace(":", "_").upper()
        assert permission.partition(":")[0] in ROOMS | {"home", "account", "exports", "records"}
    rooms = [permission.partition(":")[0] for permission in Permission]
    assert rooms == sorted(rooms)


def test_events_are_room_thing_happened_and_never_twice() -> None:
    members = [
        node for node in ast.walk(tree(PACKAGE / "audit.py")) if isinstance(node, ast.ClassDef) and node.name == "Event"
    ]
    values = [item.value.value for item in members[0].body if isinstance(item, ast.Assign)]  # type: ignore[attr-defined]
    assert len(values) == len(set(values)) == len(Event)
    for value in values:
        assert re.fullmatch(r"[a-z_]+\.[a-z_]+\.[a-z_]+", value)
        assert value.partition(".")[0] in ROOMS | {"records"}


def test_every_event_is_recorded_somewhere() -> None:
    source = "\n".join(file.read_text() for file in files("") if file != PACKAGE / "audit.py")
    assert [event.name for event in Event if f"Event.{event.name}" not in source] == []


def test_every_promised_job_exists_and_is_promised_the_arguments_it_takes() -> None:
    names = promised()
    assert names
    for where, job, arguments in names:
        assert job in JOBS, f"{where} promises {job!r}, which is no job"
        takes = inspect.signature(JOBS[job]).parameters
        assert all(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in takes.values())
        assert arguments == set(takes), f"{where} promises {job!r} with {arguments}, it takes {set(takes)}"


def test_every_job_is_promised_by_something() -> None:
    assert set(JOBS) - {job for _, job, _ in promised()} == set()


def promised() -> list[tuple[str, str, set[str]]]:
    """Where work is promised, the job's name, and the arguments."""
    found = []
    for file in files("actions", "jobs", "step_up.py", "views", "cli.py"):
        constants = {
            target.id: node.value.value
            for node in tree(file).body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for call in calls(file):
            if dotted(call.func).endswith("work.promise"):
                first = call.args[0]
                job = first.value if isinstance(first, ast.Constant) else constants[ast.unparse(first)]
                arguments = {keyword.arg or "**" for keyword in call.keywords} - {"after"}
                found.append((f"{file.name}:{call.lineno}", str(job), arguments))
    return found


def test_jobs_are_safe_to_repeat_because_they_only_take_names_and_ids() -> None:
    for name, job in JOBS.items():
        for parameter in inspect.signature(job).parameters.values():
            assert parameter.annotation in {int, str}, f"{name} takes {parameter}"


def test_the_menu_names_every_item_once_and_only_icons_that_exist() -> None:
    items = [item for section in MENU for item in section.items]
    assert len(items) == len(MENU_KEYS)
    icons = set(re.findall(r'<symbol id="([^"]+)"', (PACKAGE / "static" / "icons.svg").read_text()))
    assert {item.icon for item in items} - icons == set()


def test_every_role_has_rights_and_nobody_grants_more_than_the_table_says() -> None:
    assert set(GRANTS) == set(Role)
    for role, permissions in GRANTS.items():
        assert Permission.HOME_PAGE_READ in permissions, role
    assert {role for role in Role if granted({role}, Permission.ACCESS_STAFF_MANAGE)} == set(GRANTABLE)
    assert grantable_by({Role.SUPPORT_MANAGER}) == {Role.SUPPORT_AGENT}
    assert grantable_by({Role.CASHIER, Role.PARTNER}) == frozenset()


def test_a_requester_of_refunds_never_approves_them() -> None:
    for role, permissions in GRANTS.items():
        both = {Permission.PAYMENTS_PAYMENT_REFUND, Permission.APPROVALS_REFUND_APPROVE}
        assert not both <= permissions, f"{role} could approve what it requested"


def test_import_contracts_know_every_room_of_the_actions() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    independent = next(contract for contract in contracts if contract["type"] == "independence")
    rooms = {f"payadmin.actions.{name}" for name in parts("actions") & ROOMS}
    assert rooms == set(independent["modules"])


def test_every_package_ships() -> None:
    shipped = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    made = {".".join(("payadmin", *folder.relative_to(PACKAGE).parts)) for folder in folders}
    assert made - shipped == set()


def test_nothing_stands_at_the_top_that_the_design_does_not_name() -> None:
    named = {"app.py", "pyproject.toml", "README.md", "LICENSE", "payadmin", "templates", "tests", "docs"}
    seen = {path.name for path in Path(ROOT).iterdir() if not path.name.startswith(".")}
    made = {"var", "build", "dist", "payadmin.egg-info", "venv", "files"}
    assert seen - named - made == set()
