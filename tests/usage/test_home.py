"""Home (S1): the figures of one's own organization, each leading to the list that adds up to it, and a welcome else."""

import datetime as dt
import html
import re

import pytest
from flask.testing import FlaskClient

from payadmin import db as database
from payadmin.models.usage import ClientService
from payadmin.permissions import Role
from payadmin.queries.usage import consumption, day_buckets, month_buckets
from payadmin.views.figures import Change, change
from payadmin.views.usage.home import chip
from tests.usage.conftest import World

TODAY = dt.date(2026, 3, 17)


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def total_of(client: FlaskClient, url: str) -> int:
    """What the list says its counts come to."""
    answer = client.get(html.unescape(url))
    assert answer.status_code == 200, url
    found = re.search(r'data-total="(\d+)"', answer.text)
    assert found
    return int(found[1])


def rows_of(client: FlaskClient, url: str) -> int:
    found = re.search(r"data-announce>\s*([\d,]+) ", client.get(html.unescape(url)).text)
    assert found
    return int(found[1].replace(",", ""))


def links_of(page: str) -> list[tuple[str, int]]:
    """Every number that leads to counts, with its address."""
    found = re.findall(r'<a href="(/usage/\?[^"]+)">([\d,]+)</a>', page)
    return [(url, int(number.replace(",", ""))) for url, number in found]


def fill(world: World, service: ClientService, days: dict[dt.date, int]) -> None:
    for when, operations in days.items():
        world.make.usage_daily(service, day=when, operations=operations)


def recent(world: World) -> dict[dt.date, int]:
    """Counts around today and around the turns of months."""
    found = {world.today - dt.timedelta(days=back): 10 + back for back in (0, 1, 29, 30, 31, 60, 90, 150, 400)}
    first = world.today.replace(day=1)
    return found | {first: 100, first - dt.timedelta(days=1): 1000}


def test_the_buckets_are_six_months_and_thirty_days_with_today() -> None:
    months = month_buckets(TODAY)
    assert [first.isoformat()[:7] for first, _ in months] == [
        "2025-10", "2025-11", "2025-12", "2026-01", "2026-02", "2026-03",
    ]  # fmt: skip
    assert months[-2] == (day("2026-02-01"), day("2026-02-28"))
    assert months[-1] == (day("2026-03-01"), TODAY)
    days = day_buckets(TODAY)
    assert (days[0], days[-1], len(days)) == ((day("2026-02-16"),) * 2, (TODAY, TODAY), 30)


@pytest.mark.parametrize(
    ("now", "before", "words"),
    [(120, 100, "+20.0 %"), (80, 100, "−20.0 %"), (0, 100, "−100.0 %"), (5, 0, "new"), (0, 0, "0 %"), (7, 7, "0 %"),  # noqa: RUF001 - a minus
     (10**12, 3, "+33,333,333,333,233.3 %")],
)  # fmt: skip
def test_the_chip_compares_with_the_whole_previous_month(world: World, now: int, before: int, words: str) -> None:
    with world.app.test_request_context():
        found = change(now, before)
        assert isinstance(found, Change)
        assert chip(found, now).text == words


def test_the_average_counts_days_without_operations(world: World) -> None:
    fill(world, world.maps, {TODAY - dt.timedelta(days=2 * back): 10 for back in range(15)})
    found = consumption(
        database.db.session(),
        organization_id=world.northwind.id,
        roles=frozenset({Role.PARTNER}),
        today=TODAY,
    )
    assert found.average_tenths == 50


def test_a_partner_counts_all_services_and_an_issuer_the_active_ones_it_issues(world: World) -> None:
    fill(world, world.maps, recent(world))
    fill(world, world.mail, recent(world))
    fill(world, world.old, recent(world))
    fill(world, world.secret, recent(world))
    one = sum(count for when, count in recent(world).items() if when >= world.today.replace(day=1))
    cases = (
        (world.client(Role.PARTNER, of=world.northwind), "Client services", 3, 3 * one),
        (world.client(Role.ISSUER, of=world.issuer), "Active client services", 1, 2 * one),
        (world.client(Role.PARTNER, Role.ISSUER, of=world.northwind), "Client services", 3, 3 * one),
        (world.client(Role.PARTNER, of=world.issuer), "Client services", 0, 0),
    )
    for client, label, services, operations in cases:
        page = client.get("/").text
        assert f">{label}</h2>" in page
        found = re.search(r'id="services"><a href="([^"]+)">(\d+)</a>', page)
        assert found
        assert int(found[2]) == services == rows_of(client, found[1])
        link = re.search(r'id="operations"><a href="([^"]+)">([\d,]+)</a>', page)
        assert link
        assert int(link[2].replace(",", "")) == operations == total_of(client, link[1])


@pytest.mark.parametrize("role", [Role.PARTNER, Role.ISSUER])
def test_every_number_leads_to_counts_that_add_up_to_it(world: World, role: Role) -> None:
    for service in (world.maps, world.mail, world.old, world.secret):
        fill(world, service, recent(world))
    client = world.client(role, of=world.northwind if role is Role.PARTNER else world.issuer)
    links = links_of(client.get("/").text)
    assert len(links) == 3 + 6 + 30
    assert [(url, number) for url, number in links if total_of(client, url) != number] == []


def test_an_administrator_who_is_a_partner_too_sees_everything_and_home_its_own(world: World) -> None:
    fill(world, world.maps, recent(world))
    fill(world, world.secret, recent(world))
    client = world.client(Role.ADMIN, Role.PARTNER, of=world.northwind)
    assert "Secret project" in client.get("/client-services/").text
    for url, number in links_of(client.get("/").text):
        assert total_of(client, url) == number


@pytest.mark.parametrize("role", sorted(set(Role) - {Role.ISSUER, Role.PARTNER}))
def test_everybody_else_is_welcomed_without_numbers(world: World, role: Role) -> None:
    client = world.client(role, of=world.northwind)
    page = client.get("/").text
    assert "Welcome, " in page
    assert "data-chart" not in page
    assert "Total operations" not in page
    assert client.get("/charts/home/operations-a-month.json").status_code == 403


def test_without_an_organization_home_says_what_to_do(world: World) -> None:
    page = world.client(Role.PARTNER).get("/").text
    assert "You belong to no organization yet" in page
    assert "data-chart" not in page


def test_without_usage_home_says_so(world: World) -> None:
    page = world.client(Role.PARTNER, of=world.northwind).get("/").text
    assert page.count("Nothing to draw") == 2
    assert "0 %" in page


def test_the_charts_hold_the_split_of_their_own_organization_only(world: World) -> None:
    for service in (world.maps, world.mail, world.secret):
        fill(world, service, recent(world))
    client = world.client(Role.PARTNER, of=world.northwind)
    for name in ("operations-a-month", "operations-a-day"):
        drawn = client.get(f"/charts/home/{name}.json")
        assert drawn.status_code == 200
        assert "Maps" in drawn.text
        assert "Secret" not in drawn.text
        file = client.get(f"/charts/home/{name}.csv")
        assert "Maps" in file.text
        assert "Secret" not in file.text
        assert len(file.text.splitlines()) == (7 if "month" in name else 31)
    assert client.get("/charts/home/operations-a-day.json?organization=1").status_code == 400


def test_more_than_five_services_are_told_together(world: World) -> None:
    for number in range(7):
        service = world.make.client_service(name=f"Tiny {number}", organization_id=world.northwind.id)
        fill(world, service, {world.today: 10 + number})
    page = world.client(Role.PARTNER, of=world.northwind).get("/").text
    assert "Tiny 6" in page
    assert "Tiny 2" in page
    assert "Tiny 1" not in page
    assert "Other services" in page


def test_a_hostile_name_stays_text(world: World) -> None:
    service = world.make.client_service(name="<script>alert(1)</script>", organization_id=world.northwind.id)
    fill(world, service, {world.today: 5})
    page = world.client(Role.PARTNER, of=world.northwind).get("/").text
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page
