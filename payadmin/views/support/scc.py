"""SCC management: a support manager's teams, and the SCC who work in them (S3:168)."""

from collections.abc import Sequence
from typing import Any, Final

from flask import Blueprint, Flask, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response
from wtforms import Form, StringField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs
from wtforms.validators import DataRequired, Length, Optional

from payadmin.actions import access, support
from payadmin.db import db, utcnow
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, Refusal
from payadmin.kernel.text import Text, _
from payadmin.models.support import TEAM_LENGTH, SupportTeam
from payadmin.permissions import Permission, Role
from payadmin.queries.support import agents_of, loads_of, teams
from payadmin.views.columns import enum_cell
from payadmin.views.fields import SelectField, no_cards, no_controls, put
from payadmin.views.filters import row_id_of
from payadmin.views.language import say
from payadmin.views.security import current_actor
from payadmin.views.support.shown import refuse_strangers, scope

MANAGE: Final = Permission.SUPPORT_TEAM_MANAGE
NEEDED: Final = "This is needed."

blueprint = Blueprint("scc", __name__)


class AgentForm(Form):
    """A new SCC."""

    username = StringField(
        "User name", [DataRequired(NEEDED), Length(max=64), no_controls, no_cards], render_kw={"autocomplete": "off"}
    )
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
    team = SelectField("Team", validate_choice=False, description="Whose tickets they see.")


@blueprint.before_request
def _gate() -> None:
    refuse_strangers("scc", MANAGE)


@blueprint.get("/scc/")
def index() -> Any:
    """The teams of the reader, and the SCC who work for them, with what they have in hand."""
    return _page()


@blueprint.post("/scc/teams/")
def add_team() -> Any:
    """Make a team."""
    name = request.form.get("name", "")[: TEAM_LENGTH + 1]
    try:
        support.make_team(current_actor(), name=name)
    except (Invalid, Conflict) as refusal:
        return _page(refusal, name=name)
    return _done(_("The team is made."))


@blueprint.post("/scc/teams/<int:team_id>/name/")
def rename(team_id: int) -> Any:
    """Call a team something else."""
    name = request.form.get("name", "")[: TEAM_LENGTH + 1]
    try:
        support.rename_team(
            current_actor(), team_id, name=name, version=row_id_of(request.form.get("version", "")) or 0
        )
    except (Invalid, Conflict) as refusal:
        return _page(refusal)
    return _done("Saved.")


@blueprint.post("/scc/<int:staff_id>/team/")
def put_into(staff_id: int) -> Any:
    """Put an SCC into a team, or out of any."""
    try:
        support.put_into_team(current_actor(), staff_id, team_id=row_id_of(request.form.get("team", "")))
    except (Invalid, Conflict) as refusal:
        return _page(refusal)
    return _done(_("Done. They see the tickets of that team from now on, and no others."))


@blueprint.route("/scc/new/", methods=("GET", "POST"))
def new_agent() -> Any:
    """Invite an SCC, and put them into a team; without a mail server the answer shows the credentials, once."""
    own = teams(db.session(), current_actor().staff_id)
    form: Any = AgentForm(request.form if request.method == "POST" else None)
    blank = SelectChoice(value="", label=say(Text("None yet")))
    form.team.choices = [blank, *(SelectChoice(value=str(team.id), label=team.name) for team in own)]
    status, sentence = 200, None
    if request.method == "POST":
        status = 422
        if form.validate():
            try:
                return _invited(form, row_id_of(form.team.data or ""), own)
            except (Invalid, Conflict, Forbidden) as refusal:
                db.session.rollback()
                status, sentence = refusal.status, put(form, refusal)
    page = render_template("support/new_agent.html", form=form, sentence=sentence, back=url_for("scc.index"))
    return page, status


def _invited(form: Any, team_id: int | None, own: Sequence[SupportTeam]) -> Any:
    if team_id is not None and team_id not in {team.id for team in own}:
        raise Invalid("Choose one of the teams.", field="team")
    invitation = access.create_staff(
        current_actor(),
        username=form.username.data,
        full_name=form.full_name.data,
        email=form.email.data,
        mobile=form.mobile.data,
        roles=(Role.SUPPORT_AGENT,),
    )
    if team_id is not None:
        support.put_into_team(current_actor(), invitation.staff_id, team_id=team_id)
    if not invitation.is_mailed:
        back = url_for("scc.index")
        return render_template("access/credentials.html", invitations=[invitation], back=back)
    return _done(_("The SCC is invited; the credentials are on their way by e-mail."))


def _page(refusal: Refusal | None = None, *, name: str = "") -> Any:
    db.session.rollback()
    actor, session = current_actor(), db.session()
    agents = agents_of(session, actor.staff_id)
    loads = {load.staff_id: load for load in loads_of(session, scope(), utcnow())}
    sizes: dict[int | None, int] = {}
    for agent in agents:
        sizes[agent.team_id] = sizes.get(agent.team_id, 0) + 1
    page = render_template(
        "support/scc.html",
        teams=teams(session, actor.staff_id),
        agents=agents,
        loads=loads,
        sizes=sizes,
        name=name,
        problem=refusal.sentence if refusal is not None else None,
        state=enum_cell,
        may_manage=actor.may(Permission.ACCESS_STAFF_MANAGE),
        longest=TEAM_LENGTH,
    )
    return page, refusal.status if refusal is not None else 200


def _done(sentence: str) -> Response:
    flash(sentence, "success")
    return redirect(url_for("scc.index"), 303)


def init_scc(app: Flask) -> None:
    """Add the pages, under the menu's entry."""
    app.register_blueprint(blueprint)
    app.extensions.setdefault("payadmin.pages", {})["scc"] = "scc.index"
