"""Every address and method there is: strangers are turned away, forgeries refused, and who may enter is on record."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from payadmin.permissions import Role
from payadmin.views.base import PayAdminModelView
from payadmin.views.gate import API, PUBLIC
from tests.support.make import Make

GOLDEN = Path(__file__).parents[1] / "golden" / "permissions.csv"
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
NO_ROW = 999_999_999
NOT_OURS = {"HEAD", "OPTIONS"}


def rules(app: Flask) -> list[Rule]:
    """Every address that needs somebody; those of the API need a key instead (tests/api)."""
    found = [rule for rule in app.url_map.iter_rules() if rule.endpoint not in PUBLIC and not is_for_programs(rule)]
    return sorted(found, key=lambda rule: rule.rule)


def is_for_programs(rule: Rule) -> bool:
    """Whether the address is one of the API's."""
    return rule.endpoint.partition(".")[0] == API


def address(app: Flask, rule: Rule, **given: object) -> str:
    """An address that `rule` answers, about rows and files that do not exist."""
    values = {name: _value(rule, name) for name in rule.arguments} | given
    built = app.url_map.bind("localhost").build(rule.endpoint, values)
    assert isinstance(built, str)
    return built


def _value(rule: Rule, name: str) -> object:
    converter = rule._converters[name]
    if type(converter).__name__ == "AnyConverter":
        return min(converter.items)
    return NO_ROW if type(converter).__name__ == "IntegerConverter" else "no-such"


def entrances(app: Flask) -> Iterator[tuple[str, str, str]]:
    """Each address with each method that it offers; the address of a page's actions, once for each action.

    Yields:
        what the table calls it, an address to ask for, the method.
    """
    for rule in rules(app):
        endpoint = rule.endpoint.rpartition(".")[0]
        actions = sorted(pages(app)[endpoint].row_actions) if "action" in rule.arguments else [None]
        for action in actions:
            given = {} if action is None else {"action": action}
            name = rule.rule.replace("<action>", str(action))
            for method in sorted(set(rule.methods or ()) - NOT_OURS):
                yield name, address(app, rule, **given), method


def pages(app: Flask) -> dict[str, PayAdminModelView]:
    """The models' pages by their endpoint; a model may have more than one."""
    views = app.extensions["admin"][0]._views
    return {view.endpoint: view for view in views if isinstance(view, PayAdminModelView)}


@pytest.fixture
def no_csrf(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate itself is tested, not the token in front of it."""
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", False)


@pytest.mark.once
def test_strangers_are_turned_away_everywhere_by_every_method(app: Flask, no_csrf: None) -> None:
    client, let_in = app.test_client(), []
    for rule in rules(app):
        for method in METHODS:
            response = client.open(address(app, rule), method=method)
            offered = method in (rule.methods or ())
            to_login = response.status_code in {302, 303} and response.location.startswith("/login")
            if not (to_login or response.status_code == 401 or (response.status_code == 405 and not offered)):
                let_in.append(f"{method} {rule.rule}: {response.status}")
    assert let_in == []


@pytest.mark.once
def test_addresses_that_need_nobody_are_few_and_known(app: Flask) -> None:
    known = {rule.endpoint for rule in app.url_map.iter_rules()}
    assert known >= PUBLIC, "a public address that no longer exists must leave the list"
    assert len(PUBLIC) <= 17


@pytest.mark.once
def test_a_form_without_its_token_is_refused_everywhere(app: Flask, make: Make) -> None:
    client, accepted = make.browse(Role.ADMIN, Role.PAYMENTS_OPERATOR), []
    for name, path, method in entrances(app):
        if method == "GET":
            continue
        response = client.open(path, method=method)
        if response.status_code != 400:
            accepted.append(f"{method} {name}: {response.status}")
    assert accepted == []


@pytest.mark.once
def test_who_may_enter_where_is_what_the_golden_table_says(
    app: Flask, make: Make, no_csrf: None, request: pytest.FixtureRequest
) -> None:
    """`pytest tests/meta --renew-golden` writes the table anew: read its difference like a change of the rights."""
    clients = {role: make.browse(role) for role in Role}
    made = io.StringIO()
    table = csv.writer(made, lineterminator="\n")
    table.writerow(["address", "method", *(role.value for role in Role)])
    for name, path, method in entrances(app):
        table.writerow([name, method, *(enters(clients[role], path, method) for role in Role)])
    if request.config.getoption("--renew-golden"):
        GOLDEN.write_text(made.getvalue())
    assert made.getvalue().splitlines() == GOLDEN.read_text().splitlines()


def enters(client: FlaskClient, path: str, method: str) -> str:
    """Whether the role is let in: everything but "you may not" counts as in, also "no such row"."""
    status = client.open(path, method=method).status_code
    assert status < 500, f"{method} {path} answered {status}"
    assert status != 401, f"{method} {path} lost the session"
    return "-" if status == 403 else "yes"
