"""Rules about the source that no linter knows: who ends transactions, what never stands near money, time and markup."""

import ast
import re
from collections.abc import Callable

import pytest

from tests.support.source import PACKAGE, calls, dotted, files, relative, tree

pytestmark = pytest.mark.once

# The only places that end a transaction or start one of their own.
ENDS_TRANSACTIONS = {"work.py", "audit.py", "outbox.py", "jobs/runner.py", "reference.py", "sample/"}
READS = {"begin_nested", "commit", "flush", "rollback", "close", "remove"}
WRITES = {"add", "add_all", "delete", "merge", "bulk_save_objects", "bulk_insert_mappings", "bulk_update_mappings"}
# Where amounts are computed or shown. A PDF's widths and a list's estimated row count are no money.
NEAR_MONEY = ("kernel/money.py", "models", "actions", "queries", "providers", "simulator", "jobs", "sample", "views")
NOT_MONEY = {"views/lists.py": "an estimated row count, shown as one"}


def in_package(file_name: str, places: set[str]) -> bool:
    return any(file_name.startswith(place) if place.endswith("/") else file_name == place for place in places)


def found(rule: Callable[[ast.Call], bool], *folders: str, but: set[str] | None = None) -> list[str]:
    """Where calls break a rule."""
    return [
        f"{relative(file)}:{call.lineno}: {ast.unparse(call)[:80]}"
        for file in files(*folders)
        if not in_package(str(file.relative_to(PACKAGE)), but or set())
        for call in calls(file)
        if rule(call)
    ]


def ends_transaction(call: ast.Call) -> bool:
    name = dotted(call.func)
    return name.endswith((".commit", "session.begin", "connection.begin", "engine.begin")) and "MIGRATION" not in name


def test_only_the_door_the_runner_and_the_loader_end_transactions() -> None:
    others = ENDS_TRANSACTIONS | {"migrations/"}
    assert found(ends_transaction, "", but=others) == []


def test_only_use_cases_flush_and_only_their_own_work() -> None:
    def flushes(call: ast.Call) -> bool:
        name = dotted(call.func)
        return name.endswith("session.flush") and name != "work.session.flush"

    assert found(flushes, "", but=ENDS_TRANSACTIONS) == []
    outside = found(lambda call: dotted(call.func).endswith("session.flush"), "views", "jobs", "models", "queries")
    assert outside == []


def test_views_and_queries_only_read() -> None:
    def writes(call: ast.Call) -> bool:
        owner, _, name = dotted(call.func).rpartition(".")
        return owner.endswith(("db.session", "session()", "self.session")) and name in WRITES | {"commit", "flush"}

    assert found(writes, "views", "queries") == []

    def builds_a_write(call: ast.Call) -> bool:
        return dotted(call.func) in {"update", "delete", "insert", "sqlalchemy.update", "sqlalchemy.insert"}

    assert found(builds_a_write, "views", "queries") == []


def test_sql_is_never_put_together_from_text() -> None:
    def formats(call: ast.Call) -> bool:
        name = dotted(call.func).rpartition(".")[2]
        if name not in {"text", "exec_driver_sql", "literal_column", "DDL"} or not call.args:
            return False
        return isinstance(call.args[0], ast.JoinedStr | ast.BinOp) or ".format" in ast.unparse(call.args[0])

    assert found(formats, "") == []


def test_money_meets_no_float_and_no_rounding() -> None:
    def loses(call: ast.Call) -> bool:
        return dotted(call.func) in {"float", "round", "math.floor", "math.ceil", "decimal.getcontext"}

    assert found(loses, *NEAR_MONEY, but=set(NOT_MONEY)) == []


@pytest.mark.parametrize(
    "file", [file for file in files(*NEAR_MONEY) if "money" in file.name], ids=lambda file: file.name
)
def test_no_number_with_a_point_stands_in_a_money_module(file: object) -> None:
    numbers = [node.value for node in ast.walk(tree(file)) if isinstance(node, ast.Constant)]  # type: ignore[arg-type]
    assert [number for number in numbers if isinstance(number, float)] == []


def test_the_clock_is_read_in_one_place() -> None:
    def reads_clock(call: ast.Call) -> bool:
        return bool(re.search(r"\b(datetime\.(now|today|utcnow)|date\.today)$", dotted(call.func)))

    apart = {"db.py", "simulator/"}  # the simulator is another company's computer
    assert found(reads_clock, "", but=apart) == []


def test_text_never_becomes_markup_by_formatting() -> None:
    def trusts(call: ast.Call) -> bool:
        if dotted(call.func).rpartition(".")[2] != "Markup" or not call.args:
            return False
        given = call.args[0]
        return isinstance(given, ast.JoinedStr | ast.BinOp) or ".format(" in ast.unparse(given)

    assert found(trusts, "") == []


def test_nothing_but_the_settings_reads_the_environment() -> None:
    def reads(file_name: str) -> bool:
        return "os.environ" in (PACKAGE / file_name).read_text() or "getenv(" in (PACKAGE / file_name).read_text()

    # The entrances hand the environment to Settings and to the processes they start; Windows starts none without a bit.
    allowed = {"__init__.py", "cli.py", "embedded.py", "kernel/redrawing.py"}
    readers = {str(file.relative_to(PACKAGE)) for file in files("") if reads(str(file.relative_to(PACKAGE)))}
    assert readers - allowed == set()


def test_no_answer_is_left_for_later() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    left = [relative(file) for file in files("") if marks.search(file.read_text())]
    assert left == []
