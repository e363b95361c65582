"""Usage from a file: all rows or none, mistakes at their row, and the same file again changes nothing."""

import io
from typing import Any

import pytest
from openpyxl import Workbook
from sqlalchemy import func, select

from payadmin.actions import usage
from payadmin.db import db
from payadmin.kernel.errors import Forbidden, Invalid
from payadmin.models.usage import UsageDaily
from payadmin.permissions import Role
from payadmin.work import SYSTEM
from tests.usage.conftest import World

HEAD = "Client service,Operation,Day,Count,Source\n"
GOOD = HEAD + "MAPS,geocode,2026-03-01,7,meter\nSECRET,scan,2026-03-02,0,\n"


def bring_in(world: World, data: bytes | str, name: str = "usage.csv") -> usage.Imported:
    content = data.encode() if isinstance(data, str) else data
    return usage.import_usage(SYSTEM, content, name=name, zone=world.app.extensions["payadmin.settings"].zone)


def test_a_csv_file_is_taken_and_again_changes_nothing(world: World) -> None:
    assert str(bring_in(world, GOOD)) == "usage.csv: 2 counts are new, 0 were replaced, 0 were there already."
    again = bring_in(world, GOOD)
    assert (again.created, again.replaced, again.unchanged) == (0, 0, 2)
    changed = bring_in(world, GOOD.replace(",7,", ",8,"))
    assert (changed.created, changed.replaced, changed.unchanged) == (0, 1, 1)
    rows = db.session.execute(select(UsageDaily.source, UsageDaily.operations).order_by(UsageDaily.id)).all()
    assert [tuple(row) for row in rows] == [("meter", 8), ("file", 0)]


def test_an_excel_file_is_taken(world: World) -> None:
    import datetime as dt

    book, file = Workbook(), io.BytesIO()
    sheet: Any = book.active
    sheet.append(["Operation", "Day", "Count", "Client service"])
    sheet.append(["geocode", dt.date(2026, 3, 1), 12, "MAPS"])
    sheet.append(["geocode", "2026-03-02", "13", "MAPS"])
    book.save(file)
    assert bring_in(world, file.getvalue(), "usage.xlsx").created == 2
    assert db.session.scalar(select(func.sum(UsageDaily.operations))) == 25


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ("MAPS,geocode,2026-03-01,-1,", "Count"),
        ("MAPS,geocode,2026-03-01,1.5,", "Count"),
        ("MAPS,geocode,2026-03-01,99999999999999999999,", "Count"),
        ("MAPS,geocode,2026-03-01,many,", "Count"),
        ("MAPS,geocode,2026-03-01,,", "Count"),
        ("MAPS,geocode,2026-02-30,1,", "Day"),
        ("MAPS,geocode,01/03/2026,1,", "Day"),
        ("MAPS,geocode,2199-01-01,1,", "Day"),
        ("NOTHING,geocode,2026-03-01,1,", "Client service"),
        (",geocode,2026-03-01,1,", "Client service"),
        (f"MAPS,{'x' * 65},2026-03-01,1,", "Operation"),
        ("MAPS,4111111111111111,2026-03-01,1,", "Operation"),
        ("MAPS,scan,2026-03-05,1,", "Operation"),
    ],
)
def test_a_mistake_is_told_with_its_row_and_nothing_is_taken(world: World, row: str, column: str) -> None:
    data = f"{HEAD}MAPS,scan,2026-03-05,1,\n{row}\n"
    with pytest.raises(Invalid) as refused:
        bring_in(world, data)
    assert [(each["row"], each["column"]) for each in refused.value.data["mistakes"]] == [(3, column)]
    assert db.session.scalar(select(func.count()).select_from(UsageDaily)) == 0


def test_many_mistakes_are_counted_and_the_first_are_shown(world: World) -> None:
    rows = "".join(f"MAPS,op {number},2026-03-01,x,\n" for number in range(30))
    with pytest.raises(Invalid, match="30 mistakes") as refused:
        bring_in(world, HEAD + rows)
    assert len(refused.value.data["mistakes"]) == 20


@pytest.mark.parametrize(
    "data",
    ["", HEAD, "Client service,Operation,Day\nA,B,2026-03-01\n", HEAD.replace("Source", "Price") + "A,B,C,D,E\n",
     HEAD.replace("Source", "Count") + "A,B,C,D,E\n"],
)  # fmt: skip
def test_a_file_that_is_no_file_of_usage_is_refused(world: World, data: str) -> None:
    with pytest.raises(Invalid):
        bring_in(world, data)


def test_staff_import_nothing(world: World) -> None:
    with pytest.raises(Forbidden):
        usage.import_usage(
            world.make.actor(Role.ADMIN), GOOD.encode(), name="x", zone=world.app.extensions["payadmin.settings"].zone
        )
