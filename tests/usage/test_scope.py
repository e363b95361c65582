"""No leak: issuers and partners reach their own organization's services and counts, by whatever address."""

import json

import pytest
from flask.testing import FlaskClient

from payadmin.models.parties import Organization
from payadmin.permissions import Role
from tests.usage.conftest import World

SECRETS = ("Secret project", "SECRET", "Rival")
STRANGE = "Completely Strange"


@pytest.fixture(params=[Role.PARTNER, Role.ISSUER])
def outsider(world: World, request: pytest.FixtureRequest) -> FlaskClient:
    """Somebody of Northwind or of Issuer House, while a rival has services and counts."""
    world.make.usage_daily(world.secret, operation="hidden scan", operations=4711)
    world.make.usage_daily(world.maps, operation="geocode")
    world.make.organization(STRANGE)
    of: Organization = world.northwind if request.param is Role.PARTNER else world.issuer
    return world.client(request.param, of=of)


@pytest.mark.parametrize(
    "path",
    [
        "/client-services/",
        "/client-services/?search=SECRET",
        "/client-services/?search=Secret",
        "/client-services/?sort=-created_at&size=100",
        "/client-services/export/csv/",
        "/client-services/export/xlsx/",
        "/client-services/?organization=RIVAL",
        "/client-services/?issuer=RIVAL",
        "/client-services/?of=mine",
        "/usage/",
        "/usage/?search=hidden",
        "/usage/?operation=hidden%20scan",
        "/usage/?client_service=SECRET_ID",
        "/usage/?of=mine",
        "/usage/export/csv/",
        "/search/?q=SECRET",
        "/search/?q=Secret%20project",
        "/search/?q=Rival",
        "/palette/?q=SECRET",
        "/client-services/lookup/?field=organization&q=Riv",
        "/client-services/lookup/?field=organization&q=Completely",
        "/client-services/lookup/?field=issuer&q=RIVAL_ID",
        "/usage/lookup/?field=client_service&q=Secret",
        "/usage/lookup/?field=client_service&q=SECRET_ID",
        "/client-services/SECRET_ID/",
        "/client-services/SECRET_ID/edit/",
        "/usage/USAGE_ID/",
        "/organizations/",
        "/organizations/RIVAL_ID/",
        "/",
        "/charts/home/operations-a-month.json",
        "/charts/home/operations-a-day.csv",
        "/api-keys/",
        "/staff/",
    ],
)
def test_nothing_of_others_is_told(world: World, outsider: FlaskClient, path: str) -> None:
    numbers = {"SECRET_ID": world.secret.id, "RIVAL_ID": world.rival.id, "USAGE_ID": 1}
    for name, number in numbers.items():
        path = path.replace(name, str(number))
    path = path.replace("organization=RIVAL", f"organization={world.rival.id}")
    path = path.replace("issuer=RIVAL", f"issuer={world.rival.id}")
    answer = outsider.get(path)
    assert answer.status_code in {200, 302, 303, 400, 403, 404}, path
    body = answer.data.decode("utf-8", "replace")
    asked = path.partition("?")[2]
    for secret in (*SECRETS, STRANGE, "hidden scan", "4711", "4,711"):
        if secret.replace(" ", "%20") not in asked and secret not in asked and secret[:6] not in asked:
            assert secret not in body, f"{path} tells {secret}"


def test_filters_by_an_organization_that_is_not_theirs_find_nothing_and_do_not_name_it(
    world: World, outsider: FlaskClient
) -> None:
    page = outsider.get(f"/client-services/?organization={world.rival.id}").text
    assert "Rival" not in page
    assert "Nothing found" in page
    typed = outsider.get("/client-services/?organization.find=Rival")
    assert typed.status_code == 400


def test_what_is_theirs_is_there(world: World, outsider: FlaskClient) -> None:
    page = outsider.get("/client-services/").text
    assert "Maps" in page
    assert "Northwind" in page
    assert "Issuer House" in page
    assert "geocode" in outsider.get("/usage/").text
    assert "Maps" in outsider.get(f"/client-services/{world.maps.id}/").text
    found = json.loads(outsider.get("/usage/lookup/?field=client_service&q=Map").data)
    assert [each["id"] for each in found] == [world.maps.id]
    assert "geocode" in outsider.get("/usage/export/csv/").text


def test_an_issuer_does_not_see_what_it_does_not_issue(world: World) -> None:
    page = world.client(Role.ISSUER, of=world.issuer).get("/client-services/").text
    assert "Maps" in page
    assert ">Mail<" not in page


def test_outsiders_change_nothing(world: World, outsider: FlaskClient) -> None:
    for path in ("/client-services/new/", f"/client-services/{world.maps.id}/edit/", "/usage/new/"):
        assert outsider.get(path).status_code in {403, 404}, path


def test_the_acts_of_staff_are_not_shown_to_outsiders(world: World, outsider: FlaskClient) -> None:
    admin = world.client(Role.ADMIN)
    page = admin.get(f"/client-services/{world.mail.id}/edit/").text
    import re

    fields = dict(re.findall(r'name="(csrf_token|seen_version)"[^>]*value="([^"]*)"', page))
    sent = fields | {"code": "MAPS", "name": "Atlas", "organization": world.northwind.id, "status": "ACTIVE"}
    sent |= {"issuer": world.issuer.id}
    path = f"/client-services/{world.maps.id}/"
    assert admin.post(f"{path}edit/", data=sent).status_code == 302
    assert "Record updated" in admin.get(path).text
    page = outsider.get(path).text
    assert "Atlas" in page
    assert "Record updated" not in page


def test_administrators_see_all(world: World) -> None:
    world.make.usage_daily(world.secret, operation="hidden scan")
    admin = world.client(Role.ADMIN)
    assert "Secret project" in admin.get("/client-services/").text
    assert "hidden scan" in admin.get("/usage/").text


def test_pages_ask_as_many_questions_for_many_rows_as_for_few(world: World) -> None:
    from sqlalchemy import event

    from payadmin.db import db

    client = world.client(Role.PARTNER, of=world.northwind)
    asked: list[str] = []
    event.listen(db.engine, "before_cursor_execute", lambda *args: asked.append(args[2]))
    numbers = []
    for more in (1, 30):
        for number in range(more):
            world.make.usage_daily(world.maps, operation=f"op {more} {number}")
        for path in ("/", "/usage/", "/client-services/"):
            asked.clear()
            assert client.get(path).status_code == 200
            numbers.append(len(asked))
    assert numbers[3:] <= [each + 1 for each in numbers[:3]]
