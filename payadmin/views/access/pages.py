"""User management (S2:28, S3:38): the accounts that the reader may manage, each with its rights and open sessions."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from flask import flash, redirect, render_template, request
from flask_admin import expose
from sqlalchemy import Select, select
from werkzeug.wrappers import Response

from payadmin import step_up
from payadmin.actions import access
from payadmin.db import db, utcnow
from payadmin.kernel.errors import Conflict, Forbidden, Invalid
from payadmin.kernel.text import Text, _
from payadmin.models.access import StaffRole, StaffUser, UserSession
from payadmin.permissions import Permission, Role
from payadmin.queries.access import factor_of, managed_by, open_sessions, other_accounts, recovery_codes_left
from payadmin.views.access import staff_forms as forms
from payadmin.views.access.acts import ACTS, ActPages
from payadmin.views.base import Related
from payadmin.views.columns import EMPTY, Column, Kind
from payadmin.views.fields import put
from payadmin.views.filters import Active, Choice, Filter
from payadmin.views.gate import session_rule
from payadmin.views.language import say
from payadmin.views.registry import page
from payadmin.views.security import current_actor

MANAGE = Permission.ACCESS_STAFF_MANAGE
PLAIN = frozenset({"full_name", "email", "mobile"})
ALL_OF_IT = _("Everything the roles allow")


class RoleFilter(Filter):
    """Who holds one of several roles."""

    widget = "choices"
    repeatable = True

    def read(self, values: list[str]) -> Active:
        """The condition for the chosen roles."""
        try:
            chosen = [Role[value] for value in dict.fromkeys(values)]
        except KeyError as unknown:
            raise self.refuse(str(unknown.args[0])) from None
        where = StaffUser.id.in_(select(StaffRole.staff_id).where(StaffRole.role.in_(chosen)))
        return Active(where, ", ".join(say(role.value) for role in chosen), tuple(role.name for role in chosen), {})

    def choices(self) -> list[Choice]:
        """Every role."""
        return [Choice(role.name, Text(role.value)) for role in Role]


@page(menu="staff")
class StaffPage(ActPages):
    """Who works here. Everybody sees the accounts that the grant matrix lets them manage, and no others."""

    model = StaffUser
    slug = "staff"
    find_by = ("username", "email")
    plural = "Users"
    singular = "User"
    heading = "User management"
    subtitle = "The people who work here: who they are, what they may do, and how they get in."
    read = Permission.ACCESS_STAFF_READ
    create = edit = MANAGE
    export = None  # who may get in is no list to carry away
    column_list = ("username", "full_name", "roles", "email", "status", "last_login_at", "created_at")
    column_filters = ("status", "created_at", "last_login_at")
    column_sortable = ("username", "created_at")
    default_sort = "username"
    tabs = "status"
    phone: ClassVar = {"username": "m1", "status": "m2", "roles": "m3", "last_login_at": "m4"}
    list_also = ("status",)
    list_template = "access/list.html"
    details_template = "access/details.html"
    detail_sections: ClassVar = {
        "User": ("username", "full_name", "email", "mobile", "organization_id", "manager_id"),
        "Account": ("status", "roles", "menu_access", "last_login_at", "created_at", "parent_id"),
    }
    needs: ClassVar = {
        "rights_view": MANAGE,
        "act_view": MANAGE,
        "secret_view": MANAGE,
        "reset_view": MANAGE,
        "same_person_view": Permission.ACCESS_STAFF_JOIN,
        "end_session_view": Permission.ACCESS_SESSION_END,
        "import_view": MANAGE,
        "template_view": MANAGE,
    }

    def _refresh_cache(self) -> None:
        # A column that is looked up, not kept.
        self.columns["roles"] = Column("roles", Text("Roles"), Kind.JSON, StaffUser.menu_access, {"readonly": True})
        super()._refresh_cache()

    def _filters_of(self, table: Any) -> Iterator[tuple[str, Filter]]:
        yield "roles", RoleFilter(self.columns["roles"])
        yield from super()._filters_of(table)

    def get_query(self) -> "Select[Any]":
        """Those whom the grant matrix lets the reader manage; for others' pages that name colleagues, everybody."""
        actor = current_actor()
        if not self._may_read():
            return super().get_query()
        return super().get_query().where(managed_by(actor.staff_id, actor.roles))

    def names_for(self, shown: Iterable[Column], rows: Sequence[Any]) -> dict[str, dict[Any, str]]:
        """Also the roles of each row, and who made it: one statement each for all rows."""
        shown = list(shown)
        links = {"parent_id", "manager_id"}
        names = super().names_for([column for column in shown if column.key not in links], rows)
        if any(column.key == "roles" for column in shown):
            names["roles"] = _roles_by_id([row.id for row in rows])
        for key in links & {column.key for column in shown}:
            ids = {getattr(row, key) for row in rows} - {None}
            named = select(StaffUser.id, StaffUser.username).where(StaffUser.id.in_(ids))
            names[key] = {row.id: row.username for row in db.session.execute(named)} if ids else {}
        return names

    def cell(self, column: Column, names: dict[int, str]) -> Any:
        """Names and addresses of those one manages are not masked; roles and menu entries in words."""
        name = column.name
        match column.key:
            case "roles":
                return lambda row: names.get(row.id, EMPTY)
            case "menu_access":
                return lambda row: ", ".join(_labels(row.menu_access)) or say(ALL_OF_IT)
            case "parent_id" | "manager_id":
                return lambda row: names.get(getattr(row, name), EMPTY)
            case key if key in PLAIN:
                return lambda row: getattr(row, name) or EMPTY
        return super().cell(column, names)

    def details_context(self, row: StaffUser) -> dict[str, Any]:
        """The account, what its menu shows in effect, how it gets in, and where it is signed in."""
        actor = current_actor()
        may = actor.may(MANAGE) and row.id != actor.staff_id
        factor = factor_of(db.session(), row.id)
        return super().details_context(row) | {
            "edit_url": f"{self.address}{row.id}/edit/" if may else None,
            "rights_url": f"{self.address}{row.id}/rights/" if may else None,
            "acts": [
                (act, f"{self.address}{row.id}/{act.slug}/")
                for act in ACTS
                if may and act.offered(row) and (act.slug != "same-person" or actor.may(Permission.ACCESS_STAFF_JOIN))
            ],
            "same_person": other_accounts(db.session(), row),
            "is_me": row.id == actor.staff_id,
            "menu_parts": forms.menu_of(row),
            "factor": factor,
            "codes_left": recovery_codes_left(db.session(), row.id),
            "sessions": open_sessions(db.session(), row.id, session_rule(), utcnow()),
            "may_end": may and actor.may(Permission.ACCESS_SESSION_END),
        }

    def _lookup(self, column: Column, typed: str) -> list[tuple[int, str]]:
        """Organizations are looked up only by those who may read them."""
        if column.key == "organization_id" and self._organizations() is None:
            return []
        return super()._lookup(column, typed)

    def _related(self, row: StaffUser) -> Iterable[Related]:
        """What points here, where there is something; a support manager's team under its own name."""
        if Role.SUPPORT_MANAGER in row.roles:
            yield replace(self.related_to(row, self.columns["manager_id"]), label=say("SCC who work for them"))
        yield from (part for part in super()._related(row) if part.rows and part.label != self.plural_)

    # --- data ---------------------------------------------------------------------------------------------------------

    @expose("/new/", methods=("GET", "POST"))
    def create_view(self) -> Any:
        """Invite a person; without a mail server the answer shows the credentials, once."""
        form: Any = forms.new_staff_form(self._organizations(), self.endpoint)(
            request.form if request.method == "POST" else None
        )
        if request.method == "GET" or not form.validate():
            return self._staff_page(form)
        try:
            invitation = access.create_staff(
                current_actor(),
                username=form.username.data,
                full_name=form.full_name.data,
                email=form.email.data,
                mobile=form.mobile.data,
                roles=form.roles.data or (),
                organization_id=_organization(form),
                manager_id=form.manager,
                menu_access=form.menu_access.data or (),
            )
        except (Invalid, Conflict, Forbidden) as refusal:
            return self._staff_page(form, refusal)
        return self.handed_over(
            invitation,
            _("%(user)s is invited; the credentials are on their way by e-mail.", user=invitation.username),
        )

    @expose("/<int:row_id>/edit/", methods=("GET", "POST"))
    def edit_view(self, row_id: int) -> Any:
        """Change an account's own data; rights have a page of their own."""
        row = self.get_row(row_id)
        form_class = forms.details_form(self._organizations(), self.endpoint)
        if request.method == "GET":
            known = {key: getattr(row, key) for key in ("full_name", "email", "mobile", "organization_id")}
            known |= {"manager_id": str(row.manager_id or ""), "seen": access.details_seen(row)}
            return self._staff_page(form_class(data=known), row=row)
        form: Any = form_class(request.form)
        if not form.validate():
            return self._staff_page(form, row=row)
        try:
            access.edit_staff(
                current_actor(),
                row_id,
                full_name=form.full_name.data,
                email=form.email.data,
                mobile=form.mobile.data,
                organization_id=_organization(form, row.organization_id),
                manager_id=form.manager,
                seen=form.seen.data or "",
            )
        except (Invalid, Conflict) as refusal:
            return self._staff_page(form, refusal, row=self.get_row(row_id))
        flash("Saved.", "success")
        row = self.get_row(row_id)
        if row.must_change_password and row.password_hash is None:
            flash("The temporary password went to the old address and no longer works. Reset the password.", "warning")
        return redirect(f"{self.address}{row_id}/")

    def _staff_page(self, form: Any, refusal: Any = None, row: Any = None) -> Any:
        status, sentence = 200 if request.method == "GET" else 422, None
        if refusal is not None:
            status, sentence = refusal.status, put(form, refusal)
            if "now" in refusal.data and row is not None:
                form.seen.data, form.seen.raw_data = access.details_seen(row), None
        answer = render_template(
            "access/form.html",
            admin_view=self,
            form=form,
            sentence=sentence,
            changed=[],
            now=row if refusal is not None and "now" in refusal.data else None,
            row=row,
            parts=forms.ticks(forms.roles_to_give()),
            title=_("New user") if row is None else row.username,
            back=self.address if row is None else f"{self.address}{row.id}/",
        )
        return answer, status

    def _organizations(self) -> Column | None:
        may = current_actor().may(Permission.PARTIES_ORGANIZATION_READ)
        return self.columns["organization_id"] if may else None

    # --- rights -------------------------------------------------------------------------------------------------------

    @expose("/<int:row_id>/rights/", methods=("GET", "POST"))
    def rights_view(self, row_id: int) -> Any:
        """Roles and menu access, with a reason and a code; every session of the account ends."""
        row = self.get_row(row_id)
        if request.method == "GET":
            form = forms.RightsForm(
                data={
                    "roles": [role.name for role in row.roles],
                    "menu_access": list(row.menu_access),
                    "manager_id": str(row.manager_id or ""),
                    "seen": access.rights_seen(row),
                }
            )
            return self._rights_page(form, row)
        form = forms.RightsForm(request.form)
        if not form.validate():
            return self._rights_page(form, row)
        try:
            access.change_rights(
                current_actor(),
                row_id,
                roles=form.roles.data or (),
                menu_access=form.menu_access.data or (),
                reason=(form.reason.data or "").strip(),
                manager_id=form.manager,
                seen=form.seen.data or "",
                offer=form.offer.data or "",
                code=form.code.data or "",
            )
        except (Invalid, Conflict) as refusal:
            return self._rights_page(form, self.get_row(row_id), refusal)
        flash("The rights are changed, and every session of this user has ended.", "success")
        return redirect(f"{self.address}{row_id}/")

    def _rights_page(self, form: Any, row: StaffUser, refusal: Any = None) -> Any:
        status, sentence = 200 if request.method == "GET" else 422, None
        if refusal is not None:
            status, sentence = refusal.status, put(form, refusal)
            if "now" in refusal.data:
                form.seen.data, form.seen.raw_data = access.rights_seen(row), None
        form.offer.raw_data = None
        form.offer.data = step_up.offer(current_actor(), access.RIGHTS_ACT, {"staff": row.id})
        answer = render_template(
            "access/rights.html",
            admin_view=self,
            form=form,
            row=row,
            is_me=row.id == current_actor().staff_id,
            sentence=sentence,
            parts=forms.ticks(forms.roles_to_give()),
            labels=_labels(row.menu_access),
            back=f"{self.address}{row.id}/",
        )
        return answer, status

    # --- sessions -----------------------------------------------------------------------------------------------------

    @expose("/<int:row_id>/sessions/<int:session_id>/end/", methods=("POST",))
    def end_session_view(self, row_id: int, session_id: int) -> Response:
        """Sign one browser of a user out."""
        self.get_row(row_id)
        found = db.session.scalar(
            select(UserSession.id).where(UserSession.id == session_id, UserSession.staff_id == row_id)
        )
        access.end_session(current_actor(), found or 0, reason="Ended on User management.")
        flash("The session was ended.", "success")
        return redirect(f"{self.address}{row_id}/")


def _organization(form: Any, kept: int | None = None) -> int | None:
    """The chosen organization; who may not look them up leaves it as it is."""
    return form.organization_id.data if "organization_id" in form else kept


def _labels(keys: Iterable[str]) -> list[str]:
    ticked = set(keys)
    return [say(item.label) for part in forms.ticks(Role) for item in part.items if item.key in ticked]


def _roles_by_id(ids: Sequence[int]) -> dict[Any, str]:
    found: dict[Any, list[Role]] = {}
    held = select(StaffRole.staff_id, StaffRole.role).where(StaffRole.staff_id.in_(ids))
    for staff_id, role in db.session.execute(held) if ids else ():
        found.setdefault(staff_id, []).append(role)
    return {staff_id: ", ".join(say(role.value) for role in Role if role in roles) for staff_id, roles in found.items()}
