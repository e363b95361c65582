"""Checkout: which provider offers which method, the versions of the rules that choose among them, and their replays."""

import datetime as dt
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import DDL, CheckConstraint, ForeignKey, Index, String, UniqueConstraint, event, text
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from payadmin.db import Base, BigId, Json, UtcDateTime, enum_column, search_text
from payadmin.kernel.checkout import DEFAULT
from payadmin.kernel.errors import Conflict
from payadmin.kernel.states import Machine
from payadmin.kernel.text import Text as Words
from payadmin.kernel.text import _
from payadmin.models.access import StaffUser
from payadmin.models.base import Audited, Row, minor_column
from payadmin.models.payments import Mode, Payment

# While rules change places their priorities are parked above every one that people may give.
PARKED = 1_000_000


class RulesetStatus(StrEnum):
    """A draft is written, the active version decides, and an archived one is never written or active again."""

    DRAFT = "Draft"
    ACTIVE = "Active"
    ARCHIVED = "Archived"


R = RulesetStatus
RULESET_MACHINE = Machine(
    initial=R.DRAFT,
    moves={R.DRAFT: frozenset({R.ACTIVE, R.ARCHIVED}), R.ACTIVE: frozenset({R.ARCHIVED})},
)


class ReplayStatus(StrEnum):
    QUEUED = "Waiting"
    RUNNING = "Running"
    DONE = "Finished"
    CANCELLED = "Cancelled"
    FAILED = "Failed"


P = ReplayStatus
REPLAY_MACHINE = Machine(
    initial=P.QUEUED,
    moves={
        # A replay of few payments is over in the transaction that begins it.
        P.QUEUED: frozenset({P.RUNNING, P.DONE, P.CANCELLED, P.FAILED}),
        P.RUNNING: frozenset({P.DONE, P.CANCELLED, P.FAILED}),
    },
)


class ProviderMethod(Row, Audited, Base):
    """A payment method by a provider: what checkout rules may offer while it is enabled (CR5)."""

    __tablename__ = "provider_method"
    __table_args__ = (UniqueConstraint("provider", "method"), Index("ix_provider_method_method_id", "method", "id"))

    provider: Mapped[str] = mapped_column(String(40), info={"label": "Provider", "filter": False})
    method: Mapped[str] = mapped_column(ForeignKey("payment_method.code"), info={"label": "Method"})
    is_enabled: Mapped[bool] = mapped_column(default=True, info={"label": "Enabled"})

    def __str__(self) -> str:
        return f"{self.provider}:{self.method}"


class CheckoutRuleset(Row, Audited, Base):
    """One version of all checkout rules together. One is active; those before it are kept as they were (CR6)."""

    machine: ClassVar[Machine[RulesetStatus]] = RULESET_MACHINE

    __tablename__ = "checkout_ruleset"
    __table_args__ = (
        CheckConstraint("status <> 'DRAFT' OR activated_at IS NULL", name="draft_was_never_active"),
        CheckConstraint("status <> 'ACTIVE' OR activated_at IS NOT NULL", name="active_since"),
        CheckConstraint("(status = 'ARCHIVED') = (archived_at IS NOT NULL)", name="archived_since"),
        CheckConstraint("(activated_at IS NULL) = (digest IS NULL)", name="activated_as_digest"),
        CheckConstraint("based_on_id <> id", name="not_based_on_itself"),
        Index(
            "uq_checkout_ruleset_active",
            "status",
            unique=True,
            sqlite_where=text("status = 'ACTIVE'"),
            postgresql_where=text("status = 'ACTIVE'"),
        ),
        Index("ix_checkout_ruleset_status_created_at_id", "status", "created_at", "id"),
        Index("ix_checkout_ruleset_created_at_id", "created_at", "id"),
    )

    note: Mapped[str | None] = mapped_column(String(300), info={"label": "What it is for", "search": False})
    status: Mapped[RulesetStatus] = enum_column(RulesetStatus, default=R.DRAFT, info={"label": "Status"})
    based_on_id: Mapped[int | None] = mapped_column(
        ForeignKey("checkout_ruleset.id"), index=True, info={"label": "Began as a copy of"}
    )
    author_id: Mapped[int | None] = mapped_column(ForeignKey("staff_user.id"), index=True, info={"label": "Author"})
    activated_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"label": "Activated"})
    activated_by: Mapped[str | None] = mapped_column(String(100), info={"label": "Activated by", "search": False})
    archived_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"label": "Archived", "list": False})
    # The sha256 of its file at the moment it was activated: what was decided by can be proved.
    digest: Mapped[str | None] = mapped_column(
        String(64), info={"label": "Fingerprint", "list": False, "search": False}
    )

    author: Mapped[StaffUser | None] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return _("Version %(number)s", number=self.id)

    @validates("status")
    def _only_allowed_moves(self, _key: str, after: RulesetStatus) -> RulesetStatus:
        if _jumps(RULESET_MACHINE, self.status, after):
            words = {"before": Words(self.status.value).lower(), "after": Words(after.value).lower()}
            raise Conflict(_("A version that is %(before)s cannot become %(after)s.", **words))
        return after


class CheckoutRule(Row, Audited, Base):
    """One rule of one version (CR1). The database refuses every change of a version that is not a draft."""

    __tablename__ = "checkout_rule"
    __table_args__ = (
        UniqueConstraint("ruleset_id", "name"),
        UniqueConstraint("ruleset_id", "priority"),
        CheckConstraint(f"(name = '{DEFAULT}') = (priority IS NULL)", name="default_is_last"),
        CheckConstraint(f"priority BETWEEN 1 AND {PARKED * 2 - 1}", name="priority_in_range"),
        CheckConstraint(
            f"(name = '{DEFAULT}') = (jsonb_array_length(conditions) = 0)", name="only_default_has_none"
        ).ddl_if(dialect="postgresql"),
        CheckConstraint(
            f"(name = '{DEFAULT}') = (json_array_length(conditions) = 0)", name="only_default_has_none"
        ).ddl_if(dialect="sqlite"),
        Index("ix_checkout_rule_name_id", "name", "id"),
    )
    __title__ = "name"

    ruleset_id: Mapped[int] = mapped_column(ForeignKey("checkout_ruleset.id"), info={"label": "Version"})
    name: Mapped[str] = mapped_column(search_text(64), info={"label": "ID"})
    priority: Mapped[int | None] = mapped_column(info={"label": "Priority"})
    conditions: Mapped[list[dict[str, Any]]] = mapped_column(Json, default=list, info={"label": "Conditions"})
    methods: Mapped[list[dict[str, str]]] = mapped_column(Json, default=list, info={"label": "Offers"})
    is_on: Mapped[bool] = mapped_column(default=True, info={"label": "On"})

    def __str__(self) -> str:
        return self.name


class CheckoutReplay(Row, Base):
    """The payments of some days, decided once more by two versions of the rules (CR7)."""

    machine: ClassVar[Machine[ReplayStatus]] = REPLAY_MACHINE

    __tablename__ = "checkout_replay"
    __table_args__ = (
        CheckConstraint("days BETWEEN 1 AND 3660", name="days_in_range"),
        CheckConstraint("rows_done >= 0 AND changed BETWEEN 0 AND rows_done", name="counts_add_up"),
        CheckConstraint("lost BETWEEN 0 AND changed", name="lost_is_changed"),
        Index("ix_checkout_replay_ruleset_id_id", "ruleset_id", "id"),
        Index("ix_checkout_replay_created_at_id", "created_at", "id"),
    )

    ruleset_id: Mapped[int] = mapped_column(ForeignKey("checkout_ruleset.id"), info={"label": "Rules"})
    against_id: Mapped[int | None] = mapped_column(
        ForeignKey("checkout_ruleset.id"), index=True, info={"label": "Compared with"}
    )
    # A draft that changes while it is replayed would answer half the payments in one way and half in another.
    ruleset_version: Mapped[int] = mapped_column(info={"label": "As of change", "list": False})
    mode: Mapped[Mode] = enum_column(Mode, default=Mode.LIVE, info={"label": "Mode", "list": False})
    days: Mapped[int] = mapped_column(info={"label": "Days"})
    since: Mapped[dt.datetime] = mapped_column(UtcDateTime, info={"label": "From", "list": False})
    until: Mapped[dt.datetime] = mapped_column(UtcDateTime, info={"label": "To", "list": False})
    pairs: Mapped[list[dict[str, str]]] = mapped_column(Json, info={"label": "Enabled methods", "list": False})
    status: Mapped[ReplayStatus] = enum_column(ReplayStatus, default=P.QUEUED, info={"label": "Status"})
    rows_total: Mapped[int | None] = mapped_column(info={"label": "Payments", "list": False})
    rows_done: Mapped[int] = mapped_column(default=0, info={"label": "Payments replayed"})
    changed: Mapped[int] = mapped_column(default=0, info={"label": "Would change"})
    lost: Mapped[int] = mapped_column(default=0, info={"label": "Would lose their method"})
    moves: Mapped[list[list[Any]]] = mapped_column(Json, default=list, info={"secret": True})
    cursor_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"secret": True})
    cursor_id: Mapped[int] = mapped_column(BigId, default=0, info={"secret": True})
    requester_id: Mapped[int | None] = mapped_column(
        ForeignKey("staff_user.id"), index=True, info={"label": "Asked by", "related": False}
    )
    reason: Mapped[str | None] = mapped_column(String(300), info={"label": "Outcome", "list": False})
    done_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"label": "Finished", "list": False})

    requester: Mapped[StaffUser | None] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return _("Replay %(number)s", number=self.id)

    @property
    def is_open(self) -> bool:
        """Whether workers still have something to do for it."""
        return self.status in {P.QUEUED, P.RUNNING}

    @validates("status")
    def _only_allowed_moves(self, _key: str, after: ReplayStatus) -> ReplayStatus:
        if _jumps(REPLAY_MACHINE, self.status, after):
            words = {"before": Words(self.status.value).lower(), "after": Words(after.value).lower()}
            raise Conflict(_("A replay that is %(before)s cannot become %(after)s.", **words))
        return after


class CheckoutChange(Row, Base):
    """One payment that a replay found to be offered something else."""

    __tablename__ = "checkout_change"
    __table_args__ = (
        UniqueConstraint("replay_id", "payment_id"),
        Index("ix_checkout_change_replay_id_id", "replay_id", "id"),
        Index("ix_checkout_change_replay_id_is_lost_id", "replay_id", "is_lost", "id"),
    )

    replay_id: Mapped[int] = mapped_column(ForeignKey("checkout_replay.id"), info={"label": "Replay", "list": False})
    payment_id: Mapped[int] = mapped_column(ForeignKey("payment.id"), index=True, info={"label": "Payment"})
    amount_minor: Mapped[int] = minor_column("Amount")
    unit: Mapped[str] = mapped_column(
        ForeignKey("unit.code"), info={"label": "Currency", "readonly": True, "list": False}
    )
    paid_by: Mapped[str] = mapped_column(String(90), info={"label": "Paid by", "search": False})
    old_rule: Mapped[str | None] = mapped_column(String(64), info={"label": "Old rule", "search": False})
    new_rule: Mapped[str | None] = mapped_column(String(64), info={"label": "New rule", "search": False})
    old_methods: Mapped[list[str]] = mapped_column(Json, info={"label": "Was offered"})
    new_methods: Mapped[list[str]] = mapped_column(Json, info={"label": "Would be offered"})
    is_lost: Mapped[bool] = mapped_column(default=False, info={"label": "Loses its method"})

    payment: Mapped[Payment] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return f"{self.replay_id}-{self.payment_id}"


def _jumps(machine: Machine[Any], before: StrEnum | None, after: StrEnum) -> bool:
    return before is not None and before is not after and not machine.allows(before, after)


# --- what the database itself refuses ---------------------------------------------------------------------------------

_KEPT = "a version of the checkout rules that was active or archived is never changed"
_CHANGED = ("note", "based_on_id", "author_id", "created_at", "digest", "activated_at", "activated_by")


def _changed(same: str) -> str:
    return " OR ".join(f"NEW.{name} {same} OLD.{name}" for name in _CHANGED)


def _refused(same: str) -> str:
    return f"OLD.status = 'ARCHIVED' OR (OLD.status = 'ACTIVE' AND (NEW.status = 'DRAFT' OR {_changed(same)}))"


def _sqlite(name: str, when: str, table: str, condition: str) -> str:
    return f"CREATE TRIGGER {name} BEFORE {when} ON {table} WHEN {condition} BEGIN SELECT RAISE(ABORT, '{_KEPT}'); END"


def _written(row: str) -> str:
    return "(SELECT status FROM checkout_ruleset WHERE id = ROW.ruleset_id) <> 'DRAFT'".replace("ROW", row)


_POSTGRES_RULESET = (
    "CREATE FUNCTION keep_checkout_ruleset() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    f"IF TG_OP IN ('DELETE', 'TRUNCATE') THEN RAISE EXCEPTION '{_KEPT}'; END IF; "
    f"IF {_refused('IS DISTINCT FROM')} THEN RAISE EXCEPTION '{_KEPT}'; END IF; RETURN NEW; END $$"
)
# FOR SHARE waits for whoever is activating the version at this moment, and then sees that it is no draft any more.
_POSTGRES_RULE = (
    "CREATE FUNCTION keep_checkout_rule() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE found text; BEGIN "
    "IF TG_OP = 'TRUNCATE' THEN RAISE EXCEPTION 'KEPT'; END IF; "
    "IF TG_OP <> 'INSERT' THEN SELECT status INTO found FROM checkout_ruleset WHERE id = OLD.ruleset_id FOR SHARE; "
    "IF found <> 'DRAFT' THEN RAISE EXCEPTION 'KEPT'; END IF; END IF; "
    "IF TG_OP <> 'DELETE' THEN SELECT status INTO found FROM checkout_ruleset WHERE id = NEW.ruleset_id FOR SHARE; "
    "IF found <> 'DRAFT' THEN RAISE EXCEPTION 'KEPT'; END IF; RETURN NEW; END IF; RETURN OLD; END $$"
).replace("KEPT", _KEPT)
_POSTGRES_ROWS = "BEFORE {when} ON {table} FOR EACH ROW EXECUTE FUNCTION keep_{table}()"
_POSTGRES_TABLE = "BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION keep_{table}()"


def _postgres(table: str, function: str, when: str) -> tuple[str, ...]:
    return (
        function,
        f"CREATE TRIGGER {table}_kept {_POSTGRES_ROWS.format(table=table, when=when)}",
        f"CREATE TRIGGER {table}_not_truncated {_POSTGRES_TABLE.format(table=table)}",
    )


TRIGGERS: dict[str, dict[str, tuple[str, ...]]] = {
    "checkout_ruleset": {
        "sqlite": (
            _sqlite("checkout_ruleset_no_delete", "DELETE", "checkout_ruleset", "1"),
            _sqlite("checkout_ruleset_kept", "UPDATE", "checkout_ruleset", _refused("IS NOT")),
        ),
        "postgresql": _postgres("checkout_ruleset", _POSTGRES_RULESET, "UPDATE OR DELETE"),
    },
    "checkout_rule": {
        "sqlite": (
            _sqlite("checkout_rule_no_insert", "INSERT", "checkout_rule", _written("NEW")),
            _sqlite("checkout_rule_no_update", "UPDATE", "checkout_rule", f"{_written('OLD')} OR {_written('NEW')}"),
            _sqlite("checkout_rule_no_delete", "DELETE", "checkout_rule", _written("OLD")),
        ),
        "postgresql": _postgres("checkout_rule", _POSTGRES_RULE, "INSERT OR UPDATE OR DELETE"),
    },
}

for _model in (CheckoutRuleset, CheckoutRule):
    for _dialect, _statements in TRIGGERS[_model.__tablename__].items():
        for _statement in _statements:
            _ddl = DDL(_statement.replace("%", "%%"))  # type: ignore[no-untyped-call]
            event.listen(_model.__table__, "after_create", _ddl.execute_if(dialect=_dialect))
