"""What managers do to one account, each on a page that also opens as a dialog: it says what will happen, then asks."""

from collections.abc import Callable
from typing import Any, NamedTuple

from flask import Response, flash, redirect, render_template, request
from flask_admin import expose

from payadmin import step_up
from payadmin.actions import access
from payadmin.actions.access import Invitation
from payadmin.db import db
from payadmin.kernel import totp
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, NotFound, Refusal
from payadmin.kernel.text import _, _n
from payadmin.models.access import StaffStatus, StaffUser
from payadmin.views.access.staff_forms import ReasonForm, SecretForm, join_form
from payadmin.views.base import PayAdminModelView
from payadmin.views.columns import label_of
from payadmin.views.fields import put
from payadmin.views.login import qr_picture
from payadmin.views.security import current_actor

TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


class Act(NamedTuple):
    """One act on an account, as its page words it."""

    slug: str
    label: str
    verb: str
    icon: str
    effects: tuple[str, ...]
    offered: Callable[[StaffUser], bool]
    danger: bool = False
    in_dialog: bool = True


def _is(*states: StaffStatus) -> Callable[[StaffUser], bool]:
    return lambda staff: staff.status in states


S = StaffStatus
ACTS: tuple[Act, ...] = (
    Act(
        "lock",
        _("Lock user"),
        _("Lock"),
        "lock",
        (
            _("Nobody gets in with this account until it is unlocked."),
            _("Its sessions end at once, and links on their way stop working."),
        ),
        _is(S.ACTIVE),
        danger=True,
    ),
    Act(
        "unlock",
        _("Unlock user"),
        _("Unlock"),
        "lock-open",
        (
            _("The user can sign in again, with the same password and authenticator."),
            _("Make sure that it is really them who ask: call back on a number you know."),
        ),
        _is(S.LOCKED),
    ),
    Act(
        "lift-pause",
        _("Lift the pause"),
        _("Lift the pause"),
        "clock",
        (_("If wrong tries have paused sign-in for this user, it works again at once."), _("Nothing else changes.")),
        _is(S.ACTIVE, S.INVITED),
    ),
    Act(
        "reset-password",
        _("Reset password"),
        _("Reset password"),
        "key",
        (
            _("The user gets a temporary password by e-mail. It works once, for 24 hours, and must be changed."),
            _("The present password stops working, and every session ends. The authenticator stays."),
        ),
        _is(S.ACTIVE, S.INVITED, S.LOCKED),
        in_dialog=False,
    ),
    Act(
        "reset-authenticator",
        _("Reset authenticator"),
        _("Reset authenticator"),
        "device-mobile",
        (
            _("The present authenticator and its recovery codes stop working, and every session ends."),
            _("The next sign-in sets up a new one. The user is told by e-mail."),
        ),
        _is(S.ACTIVE, S.LOCKED),
        danger=True,
    ),
    Act(
        "secret-key",
        _("Show secret key"),
        _("Make and show the key"),
        "qrcode",
        (),
        _is(S.ACTIVE, S.INVITED, S.LOCKED),
        danger=True,
        in_dialog=False,
    ),
    Act(
        "end-sessions",
        _("End all sessions"),
        _("End all sessions"),
        "logout",
        (_("Every browser of this user is signed out at once. They can sign in again."),),
        _is(S.ACTIVE, S.INVITED),
    ),
    Act(
        "same-person",
        _("Same person as another account"),
        _("They are one person"),
        "users",
        (
            _("All accounts of both count as one person from now on: none of them can approve what another asked for."),
            _("Requests that wait already count too. Sign-in, roles and menus stay as they are."),
            _("There is no way back: joined accounts are never parted, or a maker could become somebody else."),
        ),
        _is(S.ACTIVE, S.INVITED, S.LOCKED, S.DISABLED),
        danger=True,
        in_dialog=False,
    ),
    Act(
        "disable",
        _("Disable user"),
        _("Disable for good"),
        "user-off",
        (
            _("For people who have left, and for invitations made by mistake."),
            _("The account is closed for good: it cannot be opened again, and its user name stays taken."),
            _("Everything the user has done stays in the trail."),
        ),
        _is(S.ACTIVE, S.INVITED, S.LOCKED),
        danger=True,
    ),
)
BY_SLUG = {act.slug: act for act in ACTS}
SECRET_EFFECTS = {
    True: (
        _("A new key is made and shown to you once, so that you can pass it on. Do it by telephone or in person."),
        _("The present authenticator entry stops working at once, and every session ends."),
        _("The user is told by e-mail that you have seen the key, and why. It stands in the trail."),
    ),
    False: (
        _("The user has not set up an authenticator yet. The key that waits for them is shown to you once."),
        _("The user is told by e-mail that you have seen the key, and why. It stands in the trail."),
    ),
}


# Acts with an answer of their own have an address of their own.
ACT_RULE = f"/<int:row_id>/<any({','.join(repr(act.slug) for act in ACTS if act.in_dialog)}):slug>/"


class ActPages(PayAdminModelView):
    """The acts of user management."""

    @expose(ACT_RULE, methods=("GET", "POST"))
    def act_view(self, row_id: int, slug: str) -> Any:
        """Say what an act does, and do it when it is confirmed with a reason."""
        row, act = self.get_row(row_id), BY_SLUG[slug]
        form = ReasonForm(request.form if request.method == "POST" else None)
        if request.method == "GET" or not form.validate():
            return self._act_page(row, act, form)
        try:
            done = self._do(slug, row_id, (form.reason.data or "").strip())
        except (Invalid, Conflict, NotFound) as refusal:
            return self._act_page(self.get_row(row_id), act, form, refusal)
        flash(done, "success")
        return redirect(f"{self.address}{row_id}/", 303)

    def _do(self, slug: str, row_id: int, reason: str) -> str:
        actor = current_actor()
        match slug:
            case "lock":
                access.lock_staff(actor, row_id, reason=reason)
                return "The user is locked, and every session has ended."
            case "unlock" | "lift-pause":
                access.unlock_staff(actor, row_id, reason=reason)
                return "The user can sign in again."
            case "reset-authenticator":
                access.reset_authenticator(actor, row_id, reason=reason)
                return "The authenticator is reset. The next sign-in sets up a new one."
            case "end-sessions":
                ended = access.end_sessions(actor, row_id, reason=reason)
                return _n("%(number)s session was ended.", "%(number)s sessions were ended.", ended)
        access.disable_staff(actor, row_id, reason=reason)
        return "The account is disabled for good."

    @expose("/<int:row_id>/reset-password/", methods=("GET", "POST"))
    def reset_view(self, row_id: int) -> Any:
        """Mail a temporary password; without a mail server the answer shows it, once."""
        row, act = self.get_row(row_id), BY_SLUG["reset-password"]
        form = ReasonForm(request.form if request.method == "POST" else None)
        if request.method == "GET" or not form.validate():
            return self._act_page(row, act, form)
        try:
            invitation = access.reset_password(current_actor(), row_id, reason=(form.reason.data or "").strip())
        except (Invalid, Conflict) as refusal:
            return self._act_page(self.get_row(row_id), act, form, refusal)
        return self.handed_over(
            invitation,
            _(
                "%(user)s has a new temporary password; the credentials are on their way by e-mail.",
                user=invitation.username,
            ),
        )

    @expose("/<int:row_id>/secret-key/", methods=("GET", "POST"))
    def secret_view(self, row_id: int) -> Any:
        """The key of somebody's authenticator: the answer to a confirmed post is the only page that shows it."""
        row, act = self.get_row(row_id), BY_SLUG["secret-key"]
        form = SecretForm(request.form if request.method == "POST" else None)
        if request.method == "GET" or not form.validate():
            return self._act_page(row, act, form)
        try:
            shown = access.show_secret_key(
                current_actor(),
                row_id,
                reason=(form.reason.data or "").strip(),
                offer=form.offer.data or "",
                code=form.code.data or "",
            )
        except (Invalid, Conflict) as refusal:
            return self._act_page(self.get_row(row_id), act, form, refusal)
        return render_template(
            "access/secret.html",
            admin_view=self,
            row=self.get_row(row_id),
            key=totp.grouped(shown.secret),
            picture=qr_picture(shown.secret, shown.username),
            is_new=shown.is_new,
            back=f"{self.address}{row_id}/",
        )

    @expose("/<int:row_id>/same-person/", methods=("GET", "POST"))
    def same_person_view(self, row_id: int) -> Any:
        """Say that two accounts belong to one person, who then never approves what they asked for themselves."""
        row, act = self.get_row(row_id), BY_SLUG["same-person"]
        form: Any = join_form(self.columns["person_id"], self.endpoint)(
            request.form if request.method == "POST" else None
        )
        if request.method == "GET" or not form.validate():
            return self._act_page(row, act, form)
        try:
            access.join_accounts(
                current_actor(),
                row_id,
                first_id=form.first_id.data,
                reason=(form.reason.data or "").strip(),
                offer=form.offer.data or "",
                code=form.code.data or "",
            )
        except (Invalid, Conflict, Forbidden) as refusal:
            return self._act_page(self.get_row(row_id), act, form, refusal)
        flash("Both accounts count as one person from now on.", "success")
        return redirect(f"{self.address}{row_id}/", 303)

    def handed_over(self, invitation: Invitation, sentence: str) -> Any:
        """What follows an invitation: the way back when a mail brings the credentials, else a page that shows them."""
        if invitation.is_mailed:
            flash(sentence, "success")
            return redirect(f"{self.address}{invitation.staff_id}/", 303)
        return self.credentials_page([invitation], f"{self.address}{invitation.staff_id}/")

    def credentials_page(self, invitations: list[Invitation] | tuple[Invitation, ...], back: str) -> str:
        """Names and temporary passwords, shown once because no mail brings them."""
        return render_template("access/credentials.html", admin_view=self, invitations=invitations, back=back)

    def _act_page(self, row: StaffUser, act: Act, form: Any, refusal: Refusal | None = None) -> Any:
        status, problem = 200 if request.method == "GET" else 422, None
        if refusal is not None:
            db.session.rollback()
            row = self.get_row(row.id)
            status, problem = refusal.status, put(form, refusal)
        effects = act.effects
        if isinstance(form, SecretForm):
            subject = {"staff": row.id}
            form.offer.raw_data = None
            is_join = act.slug == "same-person"
            form.offer.data = step_up.offer(current_actor(), access.JOIN_ACT if is_join else access.SECRET_ACT, subject)
            if not is_join:
                effects = SECRET_EFFECTS[row.factor is not None and row.factor.is_confirmed]
        why_not: str | None = None
        if not act.offered(row):
            why_not = _("A user that is %(status)s cannot have this done.", status=label_of(row.status).lower())
        if row.id == current_actor().staff_id:
            why_not = "Somebody else must do this to your account. Your own page is My account."
        answer = render_template(
            "access/act.html",
            admin_view=self,
            row=row,
            act=act,
            form=form,
            effects=effects,
            problem=problem,
            why_not=why_not,
            back=f"{self.address}{row.id}/",
        )
        return answer, status

    # --- users from a file --------------------------------------------------------------------------------------------

    @expose("/import/", methods=("GET", "POST"))
    def import_view(self) -> Any:
        """Invite everybody in a file, or nobody: what is wrong is said at its row and column."""
        if request.method == "GET":
            return self._import_page()
        file = request.files.get("file")
        if file is None or not file.filename:
            return self._import_page("Choose a file."), 422
        try:
            taken = access.import_staff(current_actor(), file.read(), name=file.filename)
        except (Invalid, Conflict) as refusal:
            return self._import_page(refusal.sentence), refusal.status
        if taken.problems:
            return self._import_page(taken=taken, name=file.filename), 422
        if taken.invitations[0].is_mailed:
            invited = len(taken.invitations)
            flash(
                _n(
                    "%(number)s user is invited; the credentials are on their way by e-mail.",
                    "%(number)s users are invited; the credentials are on their way by e-mail.",
                    invited,
                ),
                "success",
            )
            return redirect(self.address, 303)
        return self.credentials_page(taken.invitations, self.address)

    @expose("/import/template.<any('csv','xlsx'):form>")
    def template_view(self, form: str) -> Response:
        """A file to fill in."""
        answer = Response(access.staff_template(form), content_type=TYPES[form])
        answer.headers["Content-Disposition"] = f'attachment; filename="users-template.{form}"'
        return answer

    def _import_page(self, problem: str | None = None, *, taken: access.Taken | None = None, name: str = "") -> str:
        return render_template(
            "access/import.html",
            admin_view=self,
            problem=problem,
            taken=taken,
            name=name,
            columns=access.COLUMNS,
            most_rows=access.MOST_ROWS,
            max_bytes=access.MOST_BYTES,
        )
