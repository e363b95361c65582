"""Approvals: what waits for a second person, who decided it, and from which amount on a second person is asked."""

import datetime as dt
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import (
    DDL,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
    event,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, validates

from payadmin.db import Base, BigId, Json, UtcDateTime, enum_column, search_text
from payadmin.kernel.errors import Conflict
from payadmin.kernel.states import Machine
from payadmin.kernel.text import Text as Words
from payadmin.kernel.text import _
from payadmin.models.base import Audited, Row, minor_column

LONGEST_EXPIRY_HOURS = 720
# Told in words on the request's page; no list, filter or export shows it as it is stored.
_KEPT = {"secret": True}


class ApprovalStatus(StrEnum):
    """Where a request stands. Approving and doing is one step, so there is no state between them."""

    PENDING = "Waiting"
    APPLIED = "Approved"
    REJECTED = "Rejected"
    CANCELLED = "Cancelled"
    EXPIRED = "Expired"
    STALE = "Out of date"
    FAILED = "Failed"


S = ApprovalStatus
APPROVAL_MACHINE = Machine(
    initial=S.PENDING,
    moves={S.PENDING: frozenset({S.APPLIED, S.REJECTED, S.CANCELLED, S.EXPIRED, S.STALE, S.FAILED})},
)


class ApprovalPolicy(Row, Audited, Base):
    """One line of the policy table: from when on an act needs a second person. No line, or none that is on: never.

    `rule` is a name of `payadmin.approvals`. A measured rule names a unit and the amount from which it counts.
    """

    __tablename__ = "approval_policy"
    __table_args__ = (
        CheckConstraint("(unit IS NULL) = (threshold_minor IS NULL)", name="threshold_has_unit"),
        CheckConstraint("threshold_minor >= 0", name="threshold_not_negative"),
        CheckConstraint(f"expires_hours BETWEEN 1 AND {LONGEST_EXPIRY_HOURS}", name="expiry_in_range"),
        # One line for each rule and unit; a rule that is not measured has one line.
        UniqueConstraint("rule", "unit"),
        Index(
            "uq_approval_policy_rule_alone",
            "rule",
            unique=True,
            sqlite_where=text("unit IS NULL"),
            postgresql_where=text("unit IS NULL"),
        ),
    )

    rule: Mapped[str] = mapped_column(search_text(40), info={"label": "Rule", "readonly": True})
    unit: Mapped[str | None] = mapped_column(ForeignKey("unit.code"), info={"label": "Currency", "readonly": True})
    threshold_minor: Mapped[int | None] = minor_column("From", info={"readonly": False})
    is_on: Mapped[bool] = mapped_column(default=True, info={"label": "In force"})
    expires_hours: Mapped[int] = mapped_column(default=72, info={"label": "Expires after (hours)"})

    def __str__(self) -> str:
        return f"{self.rule} {self.unit}" if self.unit else self.rule


class ApprovalRequest(Row, Audited, Base):
    """One act that waits for a second person, or what became of it.

    It holds the whole act: the use case's name and its arguments, with their hash, and what its target was when it was
    asked for. None of that ever changes, and no request is deleted; triggers in the database refuse both.
    """

    machine: ClassVar[Machine[ApprovalStatus]] = APPROVAL_MACHINE

    __tablename__ = "approval_request"
    __table_args__ = (
        CheckConstraint("checker_person_id <> maker_person_id", name="checker_is_another_person"),
        CheckConstraint("(checker_id IS NULL) = (checker_person_id IS NULL)", name="checker_has_person"),
        CheckConstraint("status NOT IN ('APPLIED', 'REJECTED') OR checker_id IS NOT NULL", name="decided_by_somebody"),
        CheckConstraint("(unit IS NULL) = (amount_minor IS NULL)", name="amount_has_unit"),
        CheckConstraint("(target_id IS NULL) = (target_version IS NULL)", name="target_has_version"),
        # Whoever asks a second time for the same thing is sent to the request that waits.
        Index(
            "uq_approval_request_waiting",
            "kind",
            "target_key",
            unique=True,
            sqlite_where=text("status = 'PENDING'"),
            postgresql_where=text("status = 'PENDING'"),
        ),
        Index("ix_approval_request_status_created_at_id", "status", "created_at", "id"),
        Index("ix_approval_request_kind_created_at_id", "kind", "created_at", "id"),
        Index("ix_approval_request_maker_id_created_at_id", "maker_id", "created_at", "id"),
        Index("ix_approval_request_maker_name_id", "maker_name", "id"),
        Index("ix_approval_request_checker_id_id", "checker_id", "id"),
        Index("ix_approval_request_target_table_target_id_id", "target_table", "target_id", "id"),
        Index("ix_approval_request_unit_amount_minor_id", "unit", "amount_minor", "id"),
        Index("ix_approval_request_created_at_id", "created_at", "id"),
    )
    __title__ = "title"

    kind: Mapped[str] = mapped_column(search_text(40), info={"label": "Kind", "readonly": True})
    title: Mapped[str] = mapped_column(String(300), info={"label": "Request", "readonly": True})
    amount_minor: Mapped[int | None] = minor_column("Amount")
    unit: Mapped[str | None] = mapped_column(
        ForeignKey("unit.code"), info={"label": "Currency", "readonly": True, "list": False}
    )
    status: Mapped[ApprovalStatus] = enum_column(
        ApprovalStatus, default=S.PENDING, info={"label": "Status", "readonly": True}
    )
    use_case: Mapped[str] = mapped_column(String(80), info={"label": "Act", "readonly": True, "list": False})
    payload: Mapped[dict[str, Any]] = mapped_column(Json, info=_KEPT)
    payload_hash: Mapped[str] = mapped_column(String(64), info={"label": "Hash", "list": False})
    effects: Mapped[list[dict[str, Any]]] = mapped_column(Json, default=list, info=_KEPT)
    reasons: Mapped[list[str]] = mapped_column(Json, default=list, info={"label": "Needs approval because"})
    reason: Mapped[str | None] = mapped_column(Text, info={"label": "Maker's reason", "list": False})
    key: Mapped[str | None] = mapped_column(String(120), unique=True, info={"secret": True})
    target_table: Mapped[str] = mapped_column(String(64), info={"label": "About", "list": False})
    target_id: Mapped[int | None] = mapped_column(BigId, info={"label": "Its number", "list": False})
    target_version: Mapped[int | None] = mapped_column(info={"label": "Its version", "list": False})
    target_key: Mapped[str] = mapped_column(String(160), info=_KEPT)
    seen: Mapped[dict[str, Any]] = mapped_column(Json, default=dict, info=_KEPT)
    maker_id: Mapped[int] = mapped_column(ForeignKey("staff_user.id"), info={"label": "Maker", "readonly": True})
    maker_person_id: Mapped[int] = mapped_column(BigInteger, info=_KEPT)
    maker_name: Mapped[str] = mapped_column(search_text(100), info={"label": "Asked by", "readonly": True})
    expires_at: Mapped[dt.datetime] = mapped_column(UtcDateTime, info={"label": "Expires", "readonly": True})
    checker_id: Mapped[int | None] = mapped_column(
        ForeignKey("staff_user.id"), info={"label": "Checker", "readonly": True, "list": False}
    )
    checker_person_id: Mapped[int | None] = mapped_column(BigInteger, info=_KEPT)
    decided_by: Mapped[str | None] = mapped_column(String(100), info={"label": "Decided by", "readonly": True})
    decided_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"label": "Decided", "readonly": True})
    decision_reason: Mapped[str | None] = mapped_column(Text, info={"label": "Reason of the decision", "list": False})
    message: Mapped[str | None] = mapped_column(String(300), info={"label": "Outcome", "list": False})
    differences: Mapped[list[dict[str, Any]] | None] = mapped_column(Json, info=_KEPT)

    def __str__(self) -> str:
        return self.title

    @validates("status")
    def _only_allowed_moves(self, _key: str, after: ApprovalStatus) -> ApprovalStatus:
        before = self.status
        if before is not None and before is not after and not APPROVAL_MACHINE.allows(before, after):
            raise Conflict(
                _(
                    "A request that is %(before)s cannot become %(after)s.",
                    before=Words(before.value).lower(),
                    after=Words(after.value).lower(),
                )
            )
        return after


# What a request is about, and who asked, is written once.
_WRITTEN_ONCE = (
    *("kind", "title", "amount_minor", "unit", "use_case", "payload", "payload_hash", "effects", "reasons", "reason"),
    *("key", "target_table", "target_id", "target_version", "target_key", "seen", "maker_id", "maker_person_id"),
    *("maker_name", "expires_at", "created_at"),
)
_ENDS = "an approval request is written once, decided once and never deleted"
_SAME = "the person of an approval request is not the person of its account"
_OWN = "nobody decides a request of their own, whichever of their accounts asked for it"


def _changed(same: str) -> str:
    return " OR ".join(f"NEW.{name} {same} OLD.{name}" for name in _WRITTEN_ONCE)


def _person(staff: str) -> str:
    whose = f"FROM staff_user WHERE id = NEW.{staff}"
    return f"(SELECT coalesce(person_id, id) {whose})"


# Accounts may turn out to be one person's while a request waits: then its maker is another person than is written in
# it, and both are kept from deciding it.
_NOT_MAKER = f"NEW.maker_person_id <> {_person('maker_id')}"
_NOT_CHECKER = f"NEW.checker_person_id <> {_person('checker_id')}"
_MAKER_CHECKS = f"NEW.checker_person_id = {_person('maker_id')}"


def _sqlite(name: str, when: str, condition: str, sentence: str) -> str:
    return (
        f"CREATE TRIGGER approval_request_{name} BEFORE {when} ON approval_request WHEN {condition} "
        f"BEGIN SELECT RAISE(ABORT, '{sentence}'); END"
    )


_POSTGRES = (
    "CREATE FUNCTION keep_approval_request() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    f"IF TG_OP IN ('DELETE', 'TRUNCATE') THEN RAISE EXCEPTION '{_ENDS}'; END IF; "
    f"IF TG_OP = 'UPDATE' AND (OLD.status <> 'PENDING' OR {_changed('IS DISTINCT FROM')}) "
    f"THEN RAISE EXCEPTION '{_ENDS}'; END IF; "
    f"IF (TG_OP = 'INSERT' AND {_NOT_MAKER}) OR {_NOT_CHECKER} THEN RAISE EXCEPTION '{_SAME}'; END IF; "
    f"IF {_MAKER_CHECKS} THEN RAISE EXCEPTION '{_OWN}'; END IF; RETURN NEW; END $$"
)
_POSTGRES_ROWS = (
    "CREATE TRIGGER approval_request_kept BEFORE INSERT OR UPDATE OR DELETE ON approval_request "
    "FOR EACH ROW EXECUTE FUNCTION keep_approval_request()"
)
_POSTGRES_TABLE = (
    "CREATE TRIGGER approval_request_not_truncated BEFORE TRUNCATE ON approval_request "
    "FOR EACH STATEMENT EXECUTE FUNCTION keep_approval_request()"
)
TRIGGERS: dict[str, tuple[str, ...]] = {
    "sqlite": (
        _sqlite("no_delete", "DELETE", "1", _ENDS),
        _sqlite("written_once", "UPDATE", f"OLD.status <> 'PENDING' OR {_changed('IS NOT')}", _ENDS),
        _sqlite("maker", "INSERT", _NOT_MAKER, _SAME),
        _sqlite("checker", "UPDATE", _NOT_CHECKER, _SAME),
        _sqlite("own", "UPDATE", _MAKER_CHECKS, _OWN),
    ),
    "postgresql": (_POSTGRES, _POSTGRES_ROWS, _POSTGRES_TABLE),
}

for _dialect, _statements in TRIGGERS.items():
    for _statement in _statements:
        _ddl = DDL(_statement.replace("%", "%%"))  # type: ignore[no-untyped-call]
        event.listen(ApprovalRequest.__table__, "after_create", _ddl.execute_if(dialect=_dialect))
