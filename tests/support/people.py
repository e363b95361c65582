"""People as tests of accounts need them: an actor for an account, a code half a minute later, what a mail carried."""

import re
from typing import Any

from flask import current_app
from flask.testing import FlaskClient
from sqlalchemy import select, update

from payadmin.actions.access import secret_of as secret_in
from payadmin.db import db, utcnow
from payadmin.jobs import runner
from payadmin.kernel import totp
from payadmin.models.access import AccountLink, LinkPurpose, SecondFactor, StaffUser
from payadmin.work import Actor
from tests.support.signin import secret_of


def person(staff: StaffUser) -> Actor:
    """The account as somebody who is signed in."""
    return Actor(
        staff_id=staff.id,
        name=staff.username,
        roles=staff.roles,
        permissions=staff.permissions,
        menu=frozenset(staff.menu_access),
    )


def code_for(staff_id: int) -> str:
    """The code that somebody's app shows, half a minute after the last one."""
    db.session.rollback()
    with db.engine.begin() as connection:
        connection.execute(update(SecondFactor).where(SecondFactor.staff_id == staff_id).values(last_step=0))
    found = totp.code_at(secret_of(staff_id), utcnow())
    db.session.rollback()
    return found


def mailed(purpose: LinkPurpose, staff_id: int) -> str:
    """The newest secret of this kind that a mail brings: a temporary password, or the path of a link."""
    db.session.rollback()
    link = db.session.scalars(
        select(AccountLink)
        .where(AccountLink.purpose == purpose, AccountLink.staff_id == staff_id)
        .order_by(AccountLink.id.desc())
    ).first()
    assert link is not None
    told = current_app.extensions["payadmin.settings"]
    return secret_in(link, told).removeprefix(told.public_url)


def work_off() -> None:
    """Let a worker do what is due."""
    runner.drain()
    db.session.rollback()


def hidden(page: str, name: str) -> str:
    """The value of a hidden field."""
    found = re.search(rf'name="{name}"[^>]*value="([^"]*)"', page)
    assert found is not None, f"no {name} on the page"
    return found[1]


def fields(page: str) -> dict[str, Any]:
    """What a browser would send back of a form's hidden fields."""
    return {name: hidden(page, name) for name in ("seen", "offer") if f'name="{name}"' in page}


def id_of(client: FlaskClient) -> int:
    """Whose browser it is."""
    found: int = client.staff_id  # type: ignore[attr-defined]
    return found
