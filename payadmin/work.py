"""The one door for writing: an actor, a permission, a transaction, the trail, and what may happen after the commit."""

import datetime as dt
import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import ColumnElement, insert, inspect, select, update
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from payadmin import audit, outbox
from payadmin.audit import Event
from payadmin.db import db, utcnow
from payadmin.kernel.errors import Conflict, Forbidden, NeedsApproval, NotFound, Refusal
from payadmin.kernel.masks import mask_pan_in_text
from payadmin.models.audit import AuditEvent
from payadmin.permissions import Permission, Role, opens

P = ParamSpec("P")
T = TypeVar("T")
M = TypeVar("M")

_WORK = "payadmin.work"


@dataclass(frozen=True)
class Actor:
    """Who acts: a staff user in a browser, or a job or command in the system's name."""

    staff_id: int | None
    name: str
    roles: frozenset[Role] = frozenset()
    permissions: frozenset[Permission] = frozenset()
    ip: str | None = None
    request_id: str | None = None
    organization_id: int | None = None
    menu: frozenset[str] = frozenset()

    def may(self, permission: Permission) -> bool:
        """Whether this actor has `permission`."""
        return permission in self.permissions

    def opens(self, key: str) -> bool:
        """Whether Menu Access leaves this actor the menu entry `key`."""
        return opens(self.menu, key)


SYSTEM = Actor(staff_id=None, name="system", permissions=frozenset(Permission))


@dataclass(frozen=True)
class Unfinished:
    """What a row of a run answers while its outcome is still to come; the run asks again with the same key."""

    sentence: str


@dataclass(frozen=True)
class NotDone:
    """What a row of a run answers when its act was not done, although something was written that must stay."""

    sentence: str


@dataclass(frozen=True)
class Waiting:
    """What a gate answers instead of an act's result: the act was filed for a second person, and nothing else done."""

    refusal: NeedsApproval


@dataclass(frozen=True)
class Approved:
    """Why an act is done in its maker's name although its maker is not here: somebody else approved it."""

    request_id: int
    checker: str


@dataclass
class Work:
    """One transaction of one actor.

    Attributes:
        promised: whether workers should be rung after the commit.
        approved: set while an approved request is applied; everything recorded then names its checker.
        story: what was recorded so far, as plain values.
        confirmed: the step-ups that were spent, each ready to be spent once more after a trial was undone.
    """

    actor: Actor
    session: Session
    now: dt.datetime
    name: str
    promised: bool = field(default=False)
    approved: Approved | None = None
    story: list[dict[str, Any]] = field(default_factory=list)
    confirmed: list[Callable[[], None]] = field(default_factory=list)

    def get(self, model: type[M], row_id: object, *, lock: bool = False) -> M:
        """The row with `row_id`, fresh from the database.

        Args:
            lock: hold the row until the end of the transaction (SQLite: the whole database already is). Rows that
                point to it may still be added: their foreign keys would otherwise wait here, for rows that wait there.

        Raises:
            NotFound: no such row.
        """
        if isinstance(row_id, int) and not 0 < row_id < 2**63:  # no column holds it, and drivers refuse to look for it
            raise NotFound("There is no such record.")
        row = self.session.get(
            model, row_id, populate_existing=True, with_for_update={"key_share": True} if lock else None
        )
        if row is None:
            raise NotFound("There is no such record.")
        return row

    def add(self, row: M) -> M:
        """Add a new row and give it its id."""
        self.session.add(row)
        self.session.flush()
        return row

    def change(self, model: type[Any], row_id: int, *, when: Iterable[ColumnElement[bool]] = (), **values: Any) -> bool:
        """Change a row by one conditional UPDATE: the only way money and states change.

        A new `status` is accepted only from the states that the model's machine allows, whatever `when` says.

        Args:
            model: the mapped class; its `machine` (if any) is the table of allowed moves.
            when: conditions that must hold in the row at this very moment.
            values: the new values, plain or SQL expressions such as `Payment.refunded_minor + 100`.

        Returns:
            Whether the row was changed; False means the world has moved on and nothing was touched.
        """
        conditions = [model.id == row_id, *when]
        machine = getattr(model, "machine", None)
        if machine is not None and "status" in values:
            conditions.append(model.status.in_(machine.sources(values["status"])))
        statement = update(model).where(*conditions).values(version=model.version + 1, updated_at=self.now, **values)
        result = self.session.execute(statement.execution_options(synchronize_session=False, explained=True))
        won = bool(result.rowcount == 1)  # type: ignore[attr-defined]
        if won:
            audit.note_changed(self.session, model.__tablename__, row_id)
            loaded = self.session.identity_map.get(inspect(model).identity_key_from_primary_key((row_id,)))
            if loaded is not None:
                self.session.expire(loaded)
        return won

    def record(
        self,
        event: Event,
        subject: object | None = None,
        *,
        before: dict[str, object] | None = None,
        after: dict[str, object] | None = None,
        reason: str | None = None,
        outcome: str = "done",
        also: Iterable[object] = (),
        **keys: object,
    ) -> AuditEvent:
        """Write what happened into the trail, in this transaction.

        Args:
            event: what happened.
            subject: the row it happened to; the guard then accepts its change.
            before: changed values as they were (column → value), masked here.
            after: the same columns as they are now.
            reason: why, in the actor's words.
            outcome: "done", "refused" or "failed".
            also: other rows that this same sentence explains.
            keys: identifiers by which staff will look for this act (invoice_number=…, transaction_id=…).
        """
        table, row_id = None, None
        if subject is not None:
            rows = (subject, *also)
            if not all(inspect(row).has_identity for row in rows):
                self.session.flush()
            table, row_id = audit.row_key(subject)
            for row in rows:
                audit.note_explained(self.session, audit.row_key(row))
        masked = (lambda values: audit.facts(type(subject), values)) if subject is not None else audit.plain
        entry = _entry(self.actor, str(event), outcome=outcome, reason=reason)
        entry.entity, entry.entity_id = table, row_id
        entry.before = None if before is None else masked(before)  # type: ignore[assignment]
        entry.after = None if after is None else masked(after)  # type: ignore[assignment]
        if self.approved is not None:
            keys |= {"approval_id": self.approved.request_id, "approved_by": self.approved.checker}
        entry.keys = audit.found_by(keys)
        self.session.add(entry)
        told = {"event": entry.event, "entity": table, "before": entry.before, "after": entry.after}
        self.story.append(told)
        return entry

    def record_each(self, event: Event, model: type[Any], rows: Iterable[tuple[int, Mapping[str, object]]]) -> None:
        """Write the same event for many rows that one statement made, each with its own identifiers.

        Args:
            rows: the id of each row and the keys by which staff will look for its act.
        """
        table = model.__tablename__
        values = []
        for row_id, keys in rows:
            audit.note_explained(self.session, (table, str(row_id)))
            values.append({"entity_id": str(row_id), "keys": audit.found_by(keys)})
        if not values:
            return
        self.story.append({"event": str(event), "entity": table, "before": None, "after": {"rows": len(values)}})
        entry = _entry(self.actor, str(event), outcome="done", reason=None)
        shared = {"actor_id": entry.actor_id, "actor_name": entry.actor_name, "roles": entry.roles, "ip": entry.ip}
        shared |= {"request_id": entry.request_id, "event": entry.event, "outcome": "done", "entity": table}
        each = [shared | value | {"at": self.now} for value in values]
        self.session.execute(insert(AuditEvent).execution_options(explained=True), each)

    def promise(self, job: str, *, after: dt.timedelta | None = None, **args: Any) -> None:
        """Have `job` run with `args` after this transaction commits, at least once, whatever is killed."""
        outbox.promise(self.session, job, args, after=after)
        self.promised = True

    def one(self, statement: Any) -> Any:
        """The first row of `statement`'s first column, or None."""
        return self.session.scalars(statement.limit(1)).first()

    def exists(self, *conditions: ColumnElement[bool]) -> bool:
        """Whether any row satisfies `conditions`."""
        return bool(self.session.scalar(select(select(1).where(*conditions).exists())))


class Gate(Protocol):
    """What stands between a use case and its effects: it may file the act for a second person instead (G1)."""

    def enter(self, work: Work, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Do the act and return what it returns, or file it and return `Waiting`."""


@dataclass(frozen=True)
class Act:
    """A use case without its door, for whoever applies what was approved: see `replay`."""

    function: Callable[..., Any]
    permission: Permission
    gate: Gate | None


class Witness(Protocol):
    """What is told of every act that was undone, to write down what it knows in the transaction of the refusal."""

    def __call__(self, session: Session, refusal: Refusal, *, act: str, actor_name: str) -> None:
        """Add what there is to add; nothing is committed here."""


WITNESSES: list[Witness] = []
USE_CASES: dict[str, Callable[..., Any]] = {}
_ACTS: dict[str, Act] = {}


def gated(name: str) -> Act | None:
    """The use case of this name, if it has a gate."""
    act = _ACTS.get(name)
    return act if act is not None and act.gate is not None else None


def gated_names() -> frozenset[str]:
    """Every use case that has a gate."""
    return frozenset(name for name, act in _ACTS.items() if act.gate is not None)


def replay(work: Work, name: str, maker: Actor, approved: Approved, arguments: Mapping[str, Any]) -> Any:
    """Do a gated act in this transaction, in the name of whoever asked for it.

    Args:
        work: the work of the checker.
        maker: the actor of record, with the permissions of this moment.
        approved: what the trail notes beside the maker.
        arguments: what the act was asked for with, by the names of its parameters.

    Raises:
        Forbidden: the maker may not do this any more.
        Refusal: whatever the act refuses.
    """
    act = _ACTS[name]
    _check(maker, act.permission)
    inner = Work(actor=maker, session=work.session, now=work.now, name=name, approved=approved)
    result = act.function(inner, **arguments)
    work.promised = work.promised or inner.promised
    return result


def use_case(
    permission: Permission, *, about: type[Any] | None = None, gate: Gate | None = None
) -> Callable[[Callable[Concatenate[Work, P], T]], Callable[Concatenate[Actor, P], T]]:
    """Make a function the door to one act.

    The decorated function takes a `Work` first; callers pass an `Actor` instead. The permission is checked, the
    transaction opened (with SQLite's write lock from the start), committed or rolled back as a whole; refusals are
    written to the trail in a transaction of their own, because the act's was rolled back.

    Args:
        about: the model of the row whose id comes first, so that a refusal stands in that row's story too.
        gate: asks the policy table whether the act needs a second person (`payadmin.approvals.ApprovalGate`).

    Raises:
        Forbidden: the actor lacks `permission`.
        NeedsApproval: the act was not done; it was filed and waits for a second person.
        Conflict: somebody else changed a row meanwhile (its version moved on).
        Refusal: whatever the act refuses; nothing has changed then.
    """

    def decorate(function: Callable[Concatenate[Work, P], T]) -> Callable[Concatenate[Actor, P], T]:
        room = function.__module__.removeprefix("payadmin.actions.").partition(".")[0]
        name = f"{room}.{function.__name__}"

        @functools.wraps(function)
        def run(actor: Actor, /, *args: P.args, **kwargs: P.kwargs) -> T:
            session = db.session()
            if _WORK in session.info:
                msg = f"{name} was called inside {session.info[_WORK]}: use cases do not nest"
                raise RuntimeError(msg)
            try:
                work = _begin(session, actor, name)
                _check(actor, permission)
                if gate is None:
                    result = _whole(session, function, work, *args, **kwargs)
                else:
                    result = _whole(session, _through, work, gate, function, args, kwargs)
            except Refusal as refusal:
                session.rollback()
                session.info.pop(_WORK, None)
                _record_refusal(session, actor, refusal, name=name, about=about, row_id=args[0] if args else None)
                raise
            except BaseException:
                session.rollback()
                raise
            finally:
                session.info.pop(_WORK, None)
            if work.promised:
                outbox.ring()
            if isinstance(result, Waiting):
                raise result.refusal
            return result

        run.permission = permission  # type: ignore[attr-defined]
        USE_CASES[name] = run
        _ACTS[name] = Act(function, permission, gate)
        return run

    return decorate


def tell_witnesses(session: Session, refusal: Refusal, *, act: str, actor_name: str) -> None:
    """Let whoever keeps something of an act that was undone write it, in the transaction that says so."""
    for witness in WITNESSES:
        witness(session, refusal, act=act, actor_name=actor_name)


def record_refusal(actor: Actor, refusal: Refusal, *, place: str) -> None:
    """Write into the trail that a page turned somebody away before any act began (PCI DSS 10.2.1.4).

    Args:
        place: which page it was, as its endpoint.
    """
    if not refusal.is_recorded:
        session = db.session()
        session.rollback()
        _record_refusal(session, actor, refusal, name=place[:80], about=None, row_id=None)


def _through(
    work: Work, gate: Gate, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    return gate.enter(work, function, args, kwargs)


def _begin(session: Session, actor: Actor, name: str) -> Work:
    # A read transaction that is already open would see old rows, and on SQLite could not become a writer.
    session.rollback()
    session.connection(execution_options={"immediate": True})
    session.info[_WORK] = name
    return Work(actor=actor, session=session, now=utcnow(), name=name)


def _check(actor: Actor, permission: Permission) -> None:
    if not actor.may(permission):
        raise Forbidden("Your role does not allow this.")


def _whole(
    session: Session, function: Callable[Concatenate[Work, P], T], work: Work, *args: P.args, **kwargs: P.kwargs
) -> T:
    try:
        result = function(work, *args, **kwargs)
        session.commit()
    except StaleDataError as error:
        raise Conflict("Somebody else changed this record meanwhile. Reload it and try again.") from error
    return result


def _entry(actor: Actor, event: str, *, outcome: str, reason: str | None) -> AuditEvent:
    return AuditEvent(
        actor_id=actor.staff_id,
        actor_name=actor.name,
        roles=", ".join(sorted(role.value for role in actor.roles)),
        ip=actor.ip,
        request_id=actor.request_id,
        event=event,
        outcome=outcome,
        reason=None if reason is None else mask_pan_in_text(reason),
    )


def _record_refusal(
    session: Session, actor: Actor, refusal: Refusal, *, name: str, about: type[Any] | None, row_id: object
) -> None:
    session.connection(execution_options={"immediate": True})
    entry = _entry(actor, name, outcome="refused", reason=refusal.sentence)
    entry.entity = about.__tablename__ if about else None
    entry.entity_id = str(row_id)[:64] if isinstance(row_id, int | str) else None
    entry.keys = {"refusal": refusal.code}
    session.add(entry)
    tell_witnesses(session, refusal, act=name, actor_name=actor.name)
    session.commit()
    refusal.is_recorded = True
