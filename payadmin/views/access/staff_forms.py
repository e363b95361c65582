"""The forms of user management: data, roles and menu entries, and acts that need a reason."""

import functools
from collections.abc import Iterable
from typing import Any, NamedTuple

from flask import url_for
from sqlalchemy import select
from wtforms import Form, HiddenField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs
from wtforms.validators import DataRequired, InputRequired, Length, Optional

from payadmin.db import db
from payadmin.kernel.text import _
from payadmin.models.access import StaffRole, StaffStatus, StaffUser
from payadmin.permissions import MENU, Item, Role, grantable_by, opens, permissions_of
from payadmin.queries.access import own_team_only
from payadmin.views.columns import Column, titles_of
from payadmin.views.fields import Checkboxes, LinkField, SelectField, no_cards, no_controls
from payadmin.views.filters import row_id_of
from payadmin.views.security import current_actor
from payadmin.views.shell import has_page

NEEDED = "This is needed."
MOST_MANAGERS = 500


class Ticks(NamedTuple):
    """A part of the menu, with the entries that can be ticked."""

    heading: str
    items: tuple[Item, ...]


class DetailsForm(Form):
    """What an account says of its owner."""

    full_name = StringField(
        "Name", [DataRequired(NEEDED), Length(max=120), no_controls, no_cards], render_kw={"autocomplete": "off"}
    )
    email = StringField(
        "E-mail",
        [DataRequired(NEEDED), Length(max=254), no_controls, no_cards],
        render_kw={"type": "email", "autocomplete": "off"},
    )
    mobile = StringField(
        "Mobile number",
        [Optional(), Length(max=32), no_controls],
        description="Such as +44 7700 900123.",
        render_kw={"type": "tel", "autocomplete": "off"},
    )
    manager_id = SelectField("Support manager", description="Only for SCC: whom they work for.", validate_choice=False)
    seen = HiddenField()

    def __init__(self, formdata: Any = None, **kw: Any) -> None:
        super().__init__(formdata, **kw)
        if own_team_only(current_actor().roles):
            del self.manager_id
        else:
            self.manager_id.choices = manager_choices()

    @property
    def manager(self) -> int | None:
        """The chosen support manager; none where the form does not ask."""
        return row_id_of(self.manager_id.data or "") if "manager_id" in self else None


class RightsForm(Form):
    """Roles, and what is left of their menu."""

    roles = Checkboxes("Roles", validate_choice=True)
    menu_access = Checkboxes("Menu access", validate_choice=True)
    reason = TextAreaField(
        "Reason",
        [DataRequired("Say why."), Length(max=500), no_controls, no_cards],
        description="Kept in the audit trail.",
        render_kw={"rows": 2},
    )
    manager_id = SelectField("Support manager", description="Only for SCC: whom they work for.", validate_choice=False)
    seen = HiddenField()
    offer = HiddenField()
    code = StringField("Authenticator code", [Length(max=16)])

    def __init__(self, formdata: Any = None, **kw: Any) -> None:
        super().__init__(formdata, **kw)
        offer_rights(self)
        if own_team_only(current_actor().roles):
            del self.manager_id
        else:
            self.manager_id.choices = manager_choices()

    @property
    def manager(self) -> int | None:
        """The chosen support manager; none where the form does not ask."""
        return row_id_of(self.manager_id.data or "") if "manager_id" in self else None


class ReasonForm(Form):
    """An act that is explained."""

    reason = TextAreaField(
        "Reason",
        [DataRequired("Say why."), Length(max=500, message="At most 500 characters."), no_controls, no_cards],
        description="Kept in the audit trail.",
        render_kw={"rows": 2},
    )


class SecretForm(ReasonForm):
    """An act that is explained and confirmed with a code."""

    offer = HiddenField()
    code = StringField("Authenticator code", [Length(max=16)])


def join_form(accounts: Column, endpoint: str) -> type[Form]:
    """The form that says which other account is the same person's."""

    class JoinForm(SecretForm):
        first_id = LinkField(
            "The other account",
            [InputRequired("Choose the other account of the same person.")],
            titles=functools.partial(titles_of, accounts),
            address=functools.partial(url_for, f"{endpoint}.lookup_view", field=accounts.key),
            description="Type the beginning of its user name or e-mail address.",
        )

    return JoinForm


def new_staff_form(organizations: Column | None, endpoint: str) -> type[Form]:
    """The form of a new account."""

    class NewStaffForm(details_form(organizations, endpoint)):  # type: ignore[misc]
        username = StringField(
            "User name",
            [DataRequired(NEEDED), Length(max=64), no_controls],
            description="2 to 64 letters, digits, dots, dashes or underscores. It cannot be changed later.",
            render_kw={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"},
        )
        roles = Checkboxes("Roles", [InputRequired("Choose at least one role.")])
        menu_access = Checkboxes("Menu access")

        def __init__(self, formdata: Any = None, **kw: Any) -> None:
            super().__init__(formdata, **kw)
            offer_rights(self)

    return NewStaffForm


def details_form(organizations: Column | None, endpoint: str) -> type[Form]:
    """The form of an account's data, with its organization where the reader may look organizations up."""
    if organizations is None:
        return DetailsForm
    organization = LinkField(
        "Organization",
        [Optional()],
        titles=functools.partial(titles_of, organizations),
        address=functools.partial(url_for, f"{endpoint}.lookup_view", field=organizations.key),
        description="For issuers and partners: whose consumption they see.",
    )
    return type("LinkedDetailsForm", (DetailsForm,), {"organization_id": organization})


def offer_rights(form: Any) -> None:
    """Offer the roles that the person signed in may give, and the menu entries that any of those roles has."""
    roles = roles_to_give()
    form.roles.choices = [SelectChoice(value=role.name, label=role.value) for role in roles]
    items = [item for part in ticks(roles) for item in part.items]
    form.menu_access.choices = [SelectChoice(value=item.key, label=item.label) for item in items]


def roles_to_give() -> list[Role]:
    """The roles that the person signed in may give to others, in the order of the sources."""
    allowed = grantable_by(current_actor().roles)
    return [role for role in Role if role in allowed]


def ticks(roles: Iterable[Role]) -> list[Ticks]:
    """The menu entries that any of `roles` has, by part of the menu; everybody's home is not asked about."""
    allowed = permissions_of(roles)
    parts = [
        Ticks(part.label, tuple(item for item in part.items if item.permission in allowed and has_page(item)))
        for part in MENU
        if part.label
    ]
    return [part for part in parts if part.items]


def menu_of(staff: StaffUser) -> list[Ticks]:
    """What somebody's menu shows in effect: what their roles allow and Menu Access leaves."""
    allowed = staff.permissions
    parts = [
        Ticks(
            part.label,
            tuple(
                item
                for item in part.items
                if item.permission in allowed and has_page(item) and opens(staff.menu_access, item.key)
            ),
        )
        for part in MENU
        if part.label
    ]
    return [part for part in parts if part.items]


def manager_choices() -> list[Any]:
    """Every support manager whose account is open."""
    managers = (
        select(StaffUser.id, StaffUser.username, StaffUser.full_name)
        .where(
            StaffUser.id.in_(select(StaffRole.staff_id).where(StaffRole.role == Role.SUPPORT_MANAGER)),
            StaffUser.status != StaffStatus.DISABLED,
        )
        .order_by(StaffUser.username)
        .limit(MOST_MANAGERS)
    )
    found = [
        SelectChoice(value=str(row.id), label=f"{row.full_name} ({row.username})")
        for row in db.session.execute(managers)
    ]
    return [SelectChoice(value="", label=_("Nobody")), *found]
