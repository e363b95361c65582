"""Nothing but posting writes the books: no other module inserts, updates or adds rows of their tables."""

import ast

import pytest

from tests.support.source import PACKAGE, calls, dotted, files, relative

pytestmark = pytest.mark.once

BOOKS = {"LedgerAccount", "LedgerTransaction", "LedgerEntry", "LedgerBalance", "LedgerTurnover", "LedgerHold"}
CLOSING = {"AccountingPeriod", "LedgerClosing", "LedgerCheck"}
WRITERS = {"ledger/posting.py": BOOKS, "actions/ledger.py": CLOSING}


def written(call: ast.Call) -> set[str]:
    """The models that a call makes rows of, or builds a write to."""
    name = dotted(call.func).rpartition(".")[2]
    named = {dotted(argument).partition(".")[0] for argument in call.args}
    if name in {"insert", "update", "delete", "_insert_into"}:
        return named & (BOOKS | CLOSING)
    return {name} & (BOOKS | CLOSING)


def test_only_posting_writes_the_books_and_only_the_closing_closes_them() -> None:
    found = [
        f"{relative(file)}:{call.lineno}: {ast.unparse(call)[:80]}"
        for file in files("")
        for call in calls(file)
        if written(call) - WRITERS.get(str(file.relative_to(PACKAGE)), set())
    ]
    assert found == []
