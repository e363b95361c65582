"""Row and bulk actions: choose, freeze, confirm with a form, do row by row in the background, see every outcome."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl

from flask import flash, redirect, request, url_for
from flask_admin import expose
from sqlalchemy import func, literal, select
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response
from wtforms import Form

from payadmin import audit, step_up
from payadmin.actions import runs
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, NotFound
from payadmin.kernel.masks import mask_pan_in_text
from payadmin.kernel.money import Money
from payadmin.kernel.text import NumberText, _, _n
from payadmin.models.system import ActionItem, ActionRun, ItemState, RunState
from payadmin.permissions import Permission
from payadmin.views import lists
from payadmin.views.columns import is_hidden, title_attr, unit_scale
from payadmin.views.core import PageCore
from payadmin.views.fields import no_controls
from payadmin.views.filters import BadAddress, row_id_of
from payadmin.views.language import say
from payadmin.views.outcomes import failed_in, outcomes_of, progress_of
from payadmin.views.search import MOST_MATCHES
from payadmin.views.security import current_actor
from payadmin.work import USE_CASES

CAP = 500
LONGEST_CHOICE = 2000

Handler = Callable[..., Any]


@dataclass(frozen=True)
class RowAction:
    """An action on one row or many.

    Attributes:
        name: its word in addresses.
        label: what buttons say.
        handler: a use case `handler(actor, row_id, *, key, run_data, row_data)`; the same key happens once. What it
            returns is the sentence of the outcome.
        permission: who sees and may use it.
        form: asked once a run; a WTForms form.
        row_form: asked for every row; made with `obj=row`, so it can start with what is possible.
        eligible: a row → None, or the reason why it is left out.
        offered: a row of the list → the reason why its menu shows the action greyed; reads `list_also` attributes.
        amount: a row → (minor units, unit) that the confirmation adds up; None for a row that moves no money.
        warns: the amounts of all rows that can be done → what the confirmation warns of.
        danger: the button is red.
        step_up: a fresh authenticator code is asked for, bound to the run, its rows and its answers.
        cap: the most rows one run takes.
        bulk: whether many rows can be chosen at once.
        download: the answer is a file, so the list stays as it is.
    """

    name: str
    label: str
    handler: Handler
    permission: Permission | None
    icon: str = "check"
    form: type[Form] | None = None
    row_form: type[Form] | None = None
    eligible: Callable[[Any], str | None] = field(default=lambda _row: None)
    offered: Callable[[Any], str | None] | None = None
    amount: Callable[[Any], tuple[int, str] | None] | None = None
    warns: Callable[[Sequence[tuple[int, str]]], Sequence[str]] | None = None
    danger: bool = False
    step_up: bool = False
    cap: int = CAP
    bulk: bool = True
    download: bool = False

    @property
    def use_case(self) -> str | None:
        """The name by which workers find the handler."""
        return next((name for name, function in USE_CASES.items() if function is self.handler), None)

    def mistakes(self) -> list[str]:
        """What is wrong with the declaration."""
        found = []
        if self.permission is None:
            found.append(f"the action “{self.name}” has no permission.")
        if self.use_case is None:
            found.append(f"the handler of the action “{self.name}” is not a use case: decorate it with @use_case.")
        return found


def bulk_action(
    name: str, label: str, *, permission: Permission | None = None, **options: Any
) -> Callable[..., RowAction]:
    """Make a use case an action of a page.

    `refund = bulk_action("refund", "Refund…", permission=…)(payments.refund_in_run)`

    Args:
        name: its word in addresses.
        label: what buttons say.
        permission: who sees and may use it.
        options: the further attributes of `RowAction`.
    """
    return lambda handler: RowAction(name=name, label=label, handler=handler, permission=permission, **options)


@dataclass
class Candidate:
    """One chosen row on the confirmation page."""

    item: ActionItem
    row: Any
    reason: str | None
    form: Form | None
    amount: Money | None

    @property
    def key(self) -> str:
        return f"r{self.item.row_id}"


class BulkPages(PageCore):
    """The actions of a page and the pages of their runs."""

    @property
    def row_actions(self) -> dict[str, RowAction]:
        """Every action of the page, in the order of their declaration."""
        found: dict[str, RowAction] = {}
        for cls in reversed(type(self).__mro__):
            found |= {value.name: value for value in vars(cls).values() if isinstance(value, RowAction)}
        return found

    def allowed_actions(self) -> list[RowAction]:
        """The actions that the person signed in may use."""
        actor = current_actor()
        return [each for each in self.row_actions.values() if each.permission and actor.may(each.permission)]

    def action_named(self, name: str) -> RowAction:
        """The action `name`, if the person signed in may use it."""
        action = self.row_actions.get(name)
        if action is None:
            raise NotFound("There is no such action.")
        if action.permission is None or not current_actor().may(action.permission):
            raise Forbidden("Your role does not allow this.")
        return action

    def menu_actions(self) -> list[dict[str, Any]]:
        """What the menu of each row offers; `{id}` stands for the row."""
        entries: list[dict[str, Any]] = [
            {"name": "open", "label": say("Open"), "icon": "eye", "url": f"{self.address}{{id}}/"}
        ]
        if self.may("edit"):
            entries.append(
                {"name": "edit", "label": say("Edit"), "icon": "pencil", "url": f"{self.address}{{id}}/edit/"}
            )
        for each in self.allowed_actions():
            url = f"{self.address}{{id}}/action/{each.name}/"
            shown = {"label": say(each.label), "icon": each.icon, "danger": each.danger}
            entries.append({"name": each.name, "url": url, "dialog": True, **shown})
        return entries

    def offers(self) -> Callable[[Any], dict[str, str] | None] | None:
        """A function from a row of the list to what its menu shows greyed and why, if any action says so."""
        choosy = [(each.name, each.offered) for each in self.allowed_actions() if each.offered is not None]
        if not choosy:
            return None

        def off(row: Any) -> dict[str, str] | None:
            found = {name: say(why) for name, offered in choosy if (why := offered(row)) is not None}
            return found or None

        return off

    def actions_for(self, row: Any) -> list[tuple[RowAction, str, str | None]]:
        """The actions on the details page: each with its address and the reason why it is not possible now."""
        return [
            (each, url_for(f"{self.endpoint}.one_view", row_id=row.id, action=each.name), each.eligible(row))
            for each in self.allowed_actions()
        ]

    # --- choosing -----------------------------------------------------------------------------------------------------

    @expose("/action/", methods=("POST",))
    def action_view(self) -> Response:
        """Freeze what was chosen on the list and go to the confirmation."""
        action = self.action_named(request.form.get("action", ""))
        if not action.bulk:
            raise BadAddress("This action takes one row at a time.")
        listed = request.form.get("list", "")
        if not listed.isprintable():
            raise BadAddress("The list's address holds control characters.")
        if request.form.get("all") == "1":
            selection = self._all_matching(listed)
        else:
            ids = chosen_ids(action.cap)
            selection = self.get_query().where(self.model.id.in_(ids))
        run = self._draft(action, secrets.token_urlsafe(18), selection, listed)
        return redirect(url_for(f"{self.endpoint}.run_view", token=run.token))

    def _all_matching(self, listed: str) -> Any:
        asked = lists.read(self.shape, MultiDict(parse_qsl(listed, keep_blank_values=True)))
        if asked.found is not None and asked.found.truncated:
            raise Conflict(
                _(
                    "The search finds more than %(number)s rows. Narrow it before choosing all of them.",
                    number=NumberText(MOST_MATCHES),
                )
            )
        return lists.narrow(replace(asked, after=None, before=None), self.get_query())

    def _draft(self, action: RowAction, token: str, selection: Any, listed: str) -> ActionRun:
        title = title_attr(self.model)
        named = title is not None and not is_hidden(title)
        label = func.substr(title, 1, 200) if named else literal(None)
        return runs.draft_run(
            current_actor(),
            token,
            permission=_granted(action),
            page=self.endpoint,
            action=action.name,
            handler=str(action.use_case),
            selection=selection.with_only_columns(self.model.id, label.label("label"), maintain_column_froms=True),
            cap=action.cap,
            chosen=mask_pan_in_text(listed[:LONGEST_CHOICE]) or None,
        )

    @expose("/<int:row_id>/action/<action>/", methods=("GET", "POST"))
    def one_view(self, row_id: int, action: str) -> Any:
        """One row's action: its confirmation, and on a post the run of this single row."""
        chosen = self.action_named(action)
        row = self.get_row(row_id)
        if request.method == "GET":
            item = ActionItem(id=0, row_id=row_id, label=self.describe(row))
            token = secrets.token_urlsafe(18)
            return self._confirmation(chosen, token, [self._candidate(chosen, item, row, None)], None)
        token = request.form.get("token", "")
        if not _is_token(token):
            raise BadAddress("This form is not complete. Open it again.")
        run = db.session.scalar(select(ActionRun).where(ActionRun.token == token))
        if run is not None and run.actor_id == current_actor().staff_id and run.state is not RunState.DRAFT:
            return redirect(url_for(f"{self.endpoint}.run_view", token=token))
        candidates, form = self._answered(chosen, [ActionItem(id=0, row_id=row_id, label=self.describe(row))], [row])
        if not _valid(candidates, form) or candidates[0].reason:
            return self._confirmation(chosen, token, candidates, form), 422
        self._draft(chosen, token, self.get_query().where(self.model.id == row_id), "")
        return self._execute(chosen, token)

    # --- confirming ---------------------------------------------------------------------------------------------------

    @expose("/run/<token>/", methods=("GET", "POST"))
    def run_view(self, token: str) -> Any:
        """The confirmation of a draft, or the outcome of what was confirmed; a post confirms."""
        run, action = self._run(token)
        if run.state is not RunState.DRAFT:
            return redirect(request.path) if request.method == "POST" else self._outcome(run, action)
        if request.method == "POST":
            return self._execute(action, token)
        items, rows = self._chosen(run)
        by_id = {row.id: row for row in rows}
        candidates = [self._candidate(action, item, by_id.get(item.row_id), None) for item in items]
        return self._confirmation(action, token, candidates, None, run)

    def _execute(self, action: RowAction, token: str) -> Any:
        run, drafted_for = self._run(token)
        if drafted_for is not action:
            # Another action's form may ask for less: its rows, its code and its permission are not this run's.
            raise BadAddress("This form belongs to another action. Open it again.")
        items, rows = self._chosen(run)
        candidates, form = self._answered(action, items, rows)
        if not _valid(candidates, form):
            return self._confirmation(action, token, candidates, form, run), 422
        able = [each for each in candidates if each.reason is None]
        if not able:
            return self._confirmation(action, token, candidates, form, run), 422
        answers = _answers(form)
        row_answers = {each.item.id: _answers(each.form) for each in able}
        subject = _subject(token, able)
        confirm: Callable[[Any], None] | None = None
        if action.step_up:
            offer, code = request.form.get("offer", ""), request.form.get("code", "")
            act = f"{self.endpoint}.{action.name}"
            confirm = lambda work: step_up.spend(work, offer, code, act, subject)  # noqa: E731 - one call, bound here
        try:
            runs.start_run(
                current_actor(),
                run.id,
                permission=_granted(action),
                answers=answers,
                row_answers=row_answers,
                left_out={each.item.id: each.reason for each in candidates if each.reason is not None},
                confirm=confirm,
            )
        except Invalid as refusal:
            if refusal.field != "code":
                raise
            # The refused act was rolled back; the rows it had loaded are read again.
            run, _ = self._run(token)
            candidates, form = self._answered(action, *self._chosen(run))
            return self._confirmation(action, token, candidates, form, run, refusal.sentence), 422
        return redirect(url_for(f"{self.endpoint}.run_view", token=token))

    def _run(self, token: str) -> tuple[ActionRun, RowAction]:
        if not _is_token(token):
            raise NotFound("There is no such run.")
        run = db.session.scalar(select(ActionRun).where(ActionRun.token == token, ActionRun.page == self.endpoint))
        if run is None or run.actor_id != current_actor().staff_id:
            raise NotFound("There is no such run.")
        return run, self.action_named(run.action)

    def _chosen(self, run: ActionRun) -> tuple[Sequence[ActionItem], Sequence[Any]]:
        items = db.session.scalars(select(ActionItem).where(ActionItem.run_id == run.id).order_by(ActionItem.id)).all()
        frozen = select(ActionItem.row_id).where(ActionItem.run_id == run.id)
        return items, db.session.scalars(self.get_query().where(self.model.id.in_(frozen))).all()

    def _answered(
        self, action: RowAction, items: Sequence[ActionItem], rows: Sequence[Any]
    ) -> tuple[list[Candidate], Form | None]:
        form = action.form(request.form) if action.form else None
        by_id = {row.id: row for row in rows}
        return [self._candidate(action, item, by_id.get(item.row_id), request.form) for item in items], form

    def _candidate(self, action: RowAction, item: ActionItem, row: Any, data: Any) -> Candidate:
        reason = "It no longer exists, or you may no longer see it." if row is None else action.eligible(row)
        form, amount = None, None
        if reason is None and action.row_form is not None:
            form = action.row_form(data, obj=row, prefix=f"r{item.row_id}-")
        moved = action.amount(row) if row is not None and action.amount is not None else None
        if moved is not None:
            minor, unit = moved
            amount = Money(minor, unit, unit_scale(unit) or 0)
        return Candidate(item, row, reason, form, amount)

    def _confirmation(
        self,
        action: RowAction,
        token: str,
        candidates: list[Candidate],
        form: Form | None,
        run: ActionRun | None = None,
        code_error: str | None = None,
    ) -> str:
        able = [each for each in candidates if each.reason is None]
        subject = _subject(token, able)
        single = run is None and len(candidates) == 1
        row_id = candidates[0].item.row_id if single else None
        place = {"row_id": row_id, "action": action.name} if single else {"token": token}
        return self.render(
            "admin/model/run.html",
            action=action,
            token=token,
            candidates=candidates,
            able=able,
            form=form if form is not None else (action.form() if action.form else None),
            totals=_totals(able),
            warnings=action.warns([(each.amount.minor, each.amount.unit) for each in able if each.amount])
            if action.warns is not None
            else (),
            offer=step_up.offer(current_actor(), f"{self.endpoint}.{action.name}", subject) if action.step_up else None,
            code_error=code_error,
            post_url=url_for(f"{self.endpoint}.{'one_view' if single else 'run_view'}", **place),
            back=f"{self.address}{row_id}/" if single else self._back(run),
            title=f"{_verb(action)}: {candidates[0].item.label or row_id}" if single else _verb(action),
        )

    def _back(self, run: ActionRun | None) -> str:
        return f"{self.address}?{run.chosen}" if run is not None and run.chosen else self.address

    # --- the outcome --------------------------------------------------------------------------------------------------

    def _outcome(self, run: ActionRun, action: RowAction) -> str:
        rows = outcomes_of(run)
        items = [each.item for each in rows]
        return self.render(
            "admin/model/outcome.html",
            **self._progress(run),
            run=run,
            action=action,
            rows=rows,
            title=f"{_verb(action)}: {say(_n('%(number)s row', '%(number)s rows', run.total))}",
            status_url=url_for(f"{self.endpoint}.run_status_view", token=run.token),
            again_url=url_for(f"{self.endpoint}.rerun_view", token=run.token),
            offer=step_up.offer(current_actor(), *self._again(run, action, items)) if action.step_up else None,
            failed=failed_in(rows),
            back=self._back(run),
        )

    @expose("/run/<token>/status/")
    def run_status_view(self, token: str) -> str:
        """How far a run is: the fragment that its page polls."""
        run, _ = self._run(token)
        return self.render("jobs/_status.html", **self._progress(run))

    def _progress(self, run: ActionRun) -> dict[str, Any]:
        return progress_of(run) | {"finished": run.state is RunState.DONE}

    def _again(self, run: ActionRun, action: RowAction, items: Sequence[ActionItem]) -> tuple[str, dict[str, Any]]:
        """The act and the subject of doing again what failed: the rows, and what was answered for each."""
        failed = sorted((item for item in items if item.state is ItemState.FAILED), key=lambda item: item.id)
        rows = [(item.row_id, item.attempt, item.answers) for item in failed]
        return f"{self.endpoint}.{action.name}.again", {"run": run.token, "rows": rows}

    @expose("/run/<token>/again/", methods=("POST",))
    def rerun_view(self, token: str) -> Response:
        """Do again what failed; what is done stays done. A dangerous action asks for a fresh code once more."""
        run, action = self._run(token)
        confirm: Callable[[Any], None] | None = None
        if action.step_up:
            items = db.session.scalars(select(ActionItem).where(ActionItem.run_id == run.id)).all()
            act, subject = self._again(run, action, items)
            offer, code = request.form.get("offer", ""), request.form.get("code", "")
            confirm = lambda work: step_up.spend(work, offer, code, act, subject)  # noqa: E731 - one call, bound here
        try:
            number = runs.run_again(current_actor(), run.id, permission=_granted(action), confirm=confirm)
        except Invalid as refusal:
            flash(refusal.sentence, "error")
            return redirect(url_for(f"{self.endpoint}.run_view", token=token))
        flash(
            _n("%(number)s row is tried again.", "%(number)s rows are tried again.", number)
            if number
            else _("Nothing is left to do.")
        )
        return redirect(url_for(f"{self.endpoint}.run_view", token=token))


def _verb(action: RowAction) -> str:
    """What the action is called where nothing more is asked for."""
    return say(action.label).rstrip("…")


def chosen_ids(most: int) -> list[int]:
    """The rows ticked on a list, each once; more than `most` are refused before the database sees them."""
    ids = [row_id_of(text) for text in dict.fromkeys(request.form.getlist("id"))]
    if len(ids) > most:
        raise Conflict(
            _(
                "This action takes at most %(most)s rows at once, and %(number)s are chosen.",
                most=NumberText(most),
                number=NumberText(len(ids)),
            )
        )
    found = [row_id for row_id in ids if row_id is not None]
    if len(found) < len(ids):
        raise BadAddress("A chosen row is not a row.")
    return found


def _subject(token: str, able: Sequence[Candidate]) -> dict[str, Any]:
    """What a code confirms: the run, its rows, and the amount that each had when the page was shown.

    The amounts that are typed beside the code cannot be known when the page is made; they are checked against these.
    """
    rows = [(each.item.row_id, each.amount and each.amount.minor, each.amount and each.amount.unit) for each in able]
    return {"run": token, "rows": sorted(rows)}


def _granted(action: RowAction) -> Permission:
    assert action.permission is not None
    return action.permission


def _is_token(text: str) -> bool:
    return 16 <= len(text) <= 64 and text.isascii() and text.isprintable()  # noqa: PLR2004 - ours have 24


def _valid(candidates: Sequence[Candidate], form: Form | None) -> bool:
    """Whether every form makes sense; all are checked, so that all mistakes are shown at once."""
    forms = [each for each in (form, *(candidate.form for candidate in candidates)) if each is not None]
    checked = [each.validate({name: [no_controls] for name in each.data}) for each in forms]
    return all(checked)


def _answers(form: Form | None) -> dict[str, Any]:
    if form is None:
        return {}
    return {name: audit.plain(value) for name, value in form.data.items() if name != "csrf_token"}


def _totals(able: Sequence[Candidate]) -> list[tuple[str, int, Money]]:
    totals: dict[str, tuple[int, Money]] = {}
    for each in able:
        if each.amount is not None:
            count, total = totals.get(each.amount.unit, (0, Money(0, each.amount.unit, each.amount.scale)))
            totals[each.amount.unit] = (count + 1, total + each.amount)
    return [(unit, count, total) for unit, (count, total) in sorted(totals.items())]
