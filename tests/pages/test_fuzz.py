"""Thousands of hostile addresses: never an answer of 500, never a wider list (P39)."""

import itertools
import random
import re
from urllib.parse import quote

NAMES = (
    "search", "sort", "after", "before", "last", "size", "at", "colour", "price", "unit", "weight",
    "customer", "sold_at",
    "made_on", "is_fine", "code", "name", "created_at", "token", "id", "page", "flt0_0", "price.from", "price.unit",
    "made_on.to", "customer.find", "colour.x", "export", "columns", "_method", "\x00", "é", "__proto__",
)  # fmt: skip
VALUES = (
    "", "0", "1", "-1", "2147483648", "9223372036854775808", "1" * 400, "NaN", "1e309", "true", "null",
    "[]", "{}", "\x00",
    "\ud7ff", "٣", "'", '"', "' OR 1=1 --", "%", "_", "*", "a*", "G-*", "\\", "..", "1..", "..1", "2..1",
    "EUR:", "EUR:1..2",
    "EUR:1.005", "XXX:1", ":1", "2026-01-01", "2026-01-01..2026-01-31", "2026-13-45", "0000-00-00",
    "9999-12-31..", "RED",
    "RED,GREEN", "red", "yes", "no", "id", "-id", "-created_at", "code", "price", "-price", "colour",
    "../../etc/passwd",
    "<script>", "=1+1", "abc.def.ghi", "W10", "eyJhIjoxfQ", "🧨" * 30, "\u202e", "x" * 200, "x" * 201, "a" * 9000,
)  # fmt: skip
PATHS = (
    "/gadgets/", "/gadgets/export/csv/", "/gadgets/export/json/", "/gadgets/export/ods/",
    "/gadgets/lookup/", "/widgets/",
    "/transactions/", "/customers/",
)  # fmt: skip
ODD = (
    "0",
    "-1",
    "1,2",
    "abc",
    "%00",
    "9" * 25,
    "1.0",
    "1e3",
    "..%2f",
    "new",
    "edit",
    "\u0663",
    "export",
    "run",
    "action",
)


def queries() -> list[str]:
    chosen = random.Random(20261121)
    single = [f"{quote(name)}={quote(value)}" for name, value in itertools.product(NAMES, VALUES)]
    double = [
        "&".join(f"{quote(chosen.choice(NAMES))}={quote(chosen.choice(VALUES))}" for _ in range(chosen.randint(2, 4)))
        for _ in range(1_500)
    ]
    return single + double


def test_no_address_of_a_list_breaks_or_widens_it(lab, admin, gadgets):
    lab.app.config["PROPAGATE_EXCEPTIONS"] = False
    gadgets(3)
    gadgets(2, colour=lab.Colour.GREEN)
    answers: dict[int, int] = {}
    for place, query in enumerate(queries()):
        answer = admin.get(f"{PATHS[place % len(PATHS)]}?{query}", buffered=True)
        answers[answer.status_code] = answers.get(answer.status_code, 0) + 1
        assert answer.status_code in {200, 302, 400, 404, 409, 413}, (query, answer.status_code)
        if "colour=GREEN" in query and answer.status_code == 200:
            assert len(re.findall(r"data-row-menu", answer.text)) <= 2
    assert sum(answers.values()) > 3_000
    assert answers[400] > 1_000


def test_no_odd_identity_breaks_a_page(admin, gadgets):
    gadgets(1)
    for odd, rest in itertools.product(ODD, ("", "edit/", "action/x/", "delete/", "status/", "again/")):
        for method in ("GET", "POST"):
            for ground in ("/gadgets/", "/gadgets/run/", "/gadgets/export/"):
                answer = admin.open(f"{ground}{odd}/{rest}", method=method, buffered=True)
                assert answer.status_code < 500, (method, ground, odd, rest)


def test_no_odd_post_breaks_a_page(admin, gadgets):
    (row,) = gadgets(1)
    addresses = ("new/", f"{row.id}/edit/", "action/", "columns/", f"{row.id}/action/paint/")
    fields = (
        "code",
        "price",
        "unit",
        "colour",
        "sold_at",
        "made_on",
        "settings",
        "customer",
        "seen_version",
        "id",
        "all",
        "list",
    )
    for address, field, value in itertools.product(addresses, fields, VALUES[::3]):
        answer = admin.post(f"/gadgets/{address}", data={field: value})
        assert answer.status_code < 500, (address, field, value)
