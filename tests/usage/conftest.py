"""Two partners and an issuer with client services, and programs that report their usage."""

import datetime as dt
from dataclasses import dataclass

import pytest
from flask import Flask
from flask.testing import FlaskClient

from payadmin.db import utcnow
from payadmin.models.parties import Organization, OrganizationKind
from payadmin.models.usage import ClientService, ClientServiceStatus
from payadmin.permissions import ApiScope, Role
from tests.support.make import Make
from tests.support.programs import Program, make_program


@dataclass
class World:
    """Northwind owns three services, one of them inactive, of which Issuer House issues two; Rival owns one more."""

    app: Flask
    make: Make
    northwind: Organization
    issuer: Organization
    rival: Organization
    maps: ClientService
    mail: ClientService
    old: ClientService
    secret: ClientService

    @property
    def today(self) -> dt.date:
        return utcnow().astimezone(self.app.extensions["payadmin.settings"].zone).date()

    def client(self, *roles: Role, of: Organization | None = None) -> FlaskClient:
        """A browser of somebody who works at an organization."""
        return self.make.browse(*roles, organization_id=None if of is None else of.id)

    def program(self, of: Organization) -> Program:
        """A program that may report usage for an organization."""
        return make_program(self.app, self.make, ApiScope.USAGE_WRITE, organization_id=of.id)


@pytest.fixture
def world(app: Flask, make: Make) -> World:
    kinds = OrganizationKind
    northwind = make.organization("Northwind", kind=kinds.PARTNER)
    issuer = make.organization("Issuer House", kind=kinds.ISSUER)
    rival = make.organization("Rival", kind=kinds.PARTNER)
    own = {"organization_id": northwind.id}
    return World(
        app,
        make,
        northwind,
        issuer,
        rival,
        maps=make.client_service(code="MAPS", name="Maps", issuer_id=issuer.id, **own),
        mail=make.client_service(code="MAIL", name="Mail", **own),
        old=make.client_service(
            code="OLD", name="Old fax", issuer_id=issuer.id, status=ClientServiceStatus.INACTIVE, **own
        ),
        secret=make.client_service(code="SECRET", name="Secret project", organization_id=rival.id),
    )
