"""Risk: what is blocked and what that stopped, and the rules that watch payments (S3:142-155, domain 4.12).

A block is the word that stands: the status of a customer or wallet only says that there is one, so that lists and locks
find it. Watch rules look at payments after they were made. They raise notes; what they may do beyond that, a second
person has approved.
"""

import datetime as dt
from enum import StrEnum
from typing import Any, ClassVar, Final

from sqlalchemy import DDL, CheckConstraint, ForeignKey, Index, String, UniqueConstraint, event, text
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from payadmin.db import Base, BigId, Json, UtcDateTime, enum_column, search_text, utcnow
from payadmin.kernel.states import Machine
from payadmin.kernel.text import _
from payadmin.models.access import StaffUser
from payadmin.models.base import Audited, Row, minor_column
from payadmin.models.parties import Customer, Organization
from payadmin.models.payments import Payment
from payadmin.models.wallets import Wallet, WalletTransaction, allowed

NOTE_LENGTH = 300
NAME_LENGTH = 80
ACT_LENGTH = 80
SENTENCE_LENGTH = 300
SLOT_LENGTH = 128
MOST_A_DAY = 10_000


class BlockTarget(StrEnum):
    """What can be blocked. A member of staff is locked instead, under User management."""

    CUSTOMER = "Customer"
    ORGANIZATION = "Organization"
    WALLET = "Wallet"
    PAYMENT = "Payment"
    WALLET_TRANSACTION = "Wallet transaction"


class BlockScope(StrEnum):
    """How far a block goes; only a wallet has a choice (LI5)."""

    ALL = "Everything"
    DEBITS = "What leaves it"


class BlockReason(StrEnum):
    SUSPECTED_FRAUD = "Suspected fraud"
    STOLEN_CARD = "Stolen card"
    TAKEN_OVER = "Account taken over"
    SANCTIONS = "Sanctions"
    AUTHORITY = "Order of an authority"
    OWNER_ASKED = "The owner asked for it"
    WATCH_RULE = "A watch rule"
    OTHER = "Other"


class BlockStatus(StrEnum):
    ACTIVE = "In force"
    LIFTED = "Lifted"
    ENDED = "Ended"


BLOCK_MACHINE: Machine[BlockStatus] = Machine(
    initial=BlockStatus.ACTIVE,
    moves={BlockStatus.ACTIVE: frozenset({BlockStatus.LIFTED, BlockStatus.ENDED})},
)

# The column of a block that says what of each kind it is about.
COLUMN_OF: Final[dict[BlockTarget, str]] = {
    BlockTarget.CUSTOMER: "customer_id",
    BlockTarget.ORGANIZATION: "organization_id",
    BlockTarget.WALLET: "wallet_id",
    BlockTarget.PAYMENT: "payment_id",
    BlockTarget.WALLET_TRANSACTION: "wallet_transaction_id",
}
MODEL_OF: Final[dict[BlockTarget, type[Any]]] = {
    BlockTarget.CUSTOMER: Customer,
    BlockTarget.ORGANIZATION: Organization,
    BlockTarget.WALLET: Wallet,
    BlockTarget.PAYMENT: Payment,
    BlockTarget.WALLET_TRANSACTION: WalletTransaction,
}
_IN_FORCE = text("status = 'ACTIVE'")


def _once(column: str) -> Index:
    """One block in force for each target and scope, whoever sets two at once."""
    return Index(
        f"uq_block_{column}_scope_active",
        column,
        "scope",
        unique=True,
        sqlite_where=_IN_FORCE,
        postgresql_where=_IN_FORCE,
    )


def _of(column: str) -> Index:
    return Index(f"ix_block_{column}_id", column, "id")


class Block(Row, Audited, Base):
    """Somebody or something that may do nothing new: who said so, why, how far it goes, and until when.

    Attributes:
        until: when it ends by itself; it counts for nothing from that moment on, even before a job has ended it.
        is_by_rule: whether a watch rule set it, by a setting that a second person approved.
    """

    machine: ClassVar[Machine[BlockStatus]] = BLOCK_MACHINE

    __tablename__ = "block"
    __table_args__ = (
        *(
            CheckConstraint(f"(target = '{target.name}') = ({column} IS NOT NULL)", name=f"about_{column}")
            for target, column in COLUMN_OF.items()
        ),
        CheckConstraint("scope = 'ALL' OR target = 'WALLET'", name="scope_of_a_wallet"),
        CheckConstraint("(status = 'ACTIVE') = (lifted_at IS NULL)", name="lifted_or_in_force"),
        CheckConstraint("status <> 'LIFTED' OR lift_reason IS NOT NULL", name="lifted_for_a_reason"),
        CheckConstraint("status <> 'ENDED' OR until IS NOT NULL", name="ended_by_its_time"),
        *(_once(column) for column in COLUMN_OF.values()),
        *(_of(column) for column in COLUMN_OF.values()),
        Index("ix_block_created_at_id", "created_at", "id"),
        Index("ix_block_status_created_at_id", "status", "created_at", "id"),
        Index("ix_block_target_created_at_id", "target", "created_at", "id"),
        Index("ix_block_reason_code_created_at_id", "reason_code", "created_at", "id"),
        Index("ix_block_until_active", "until", sqlite_where=_IN_FORCE, postgresql_where=_IN_FORCE),
    )

    target: Mapped[BlockTarget] = enum_column(BlockTarget, info={"label": "Blocked", "readonly": True})
    customer_id: Mapped[int | None] = mapped_column(
        ForeignKey("customer.id"), info={"label": "Customer", "list": False, "readonly": True}
    )
    organization_id: Mapped[int | None] = mapped_column(
        ForeignKey("organization.id"), info={"label": "Organization", "list": False, "readonly": True}
    )
    wallet_id: Mapped[int | None] = mapped_column(
        ForeignKey("wallet.id"), info={"label": "Wallet", "list": False, "readonly": True}
    )
    payment_id: Mapped[int | None] = mapped_column(
        ForeignKey("payment.id"), info={"label": "Payment", "list": False, "readonly": True}
    )
    wallet_transaction_id: Mapped[int | None] = mapped_column(
        ForeignKey("wallet_transaction.id"), info={"label": "Wallet transaction", "list": False, "readonly": True}
    )
    scope: Mapped[BlockScope] = enum_column(BlockScope, default=BlockScope.ALL, info={"label": "Stops"})
    reason_code: Mapped[BlockReason] = enum_column(BlockReason, info={"label": "Reason"})
    note: Mapped[str] = mapped_column(String(NOTE_LENGTH), info={"label": "In words", "list": False, "search": False})
    until: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"label": "Until"})
    status: Mapped[BlockStatus] = enum_column(
        BlockStatus, default=BlockStatus.ACTIVE, info={"label": "Status", "readonly": True}
    )
    is_by_rule: Mapped[bool] = mapped_column(default=False, info={"label": "By a watch rule", "list": False})
    blocked_by: Mapped[str] = mapped_column(String(100), info={"label": "Blocked by", "search": False})
    lifted_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"label": "Lifted", "list": False})
    lifted_by: Mapped[str | None] = mapped_column(
        String(100), info={"label": "Lifted by", "list": False, "search": False}
    )
    lift_reason: Mapped[str | None] = mapped_column(
        String(NOTE_LENGTH), info={"label": "Why it was lifted", "list": False, "search": False}
    )

    customer: Mapped[Customer | None] = relationship(lazy="raise_on_sql")
    organization: Mapped[Organization | None] = relationship(lazy="raise_on_sql")
    wallet: Mapped[Wallet | None] = relationship(lazy="raise_on_sql")
    payment: Mapped[Payment | None] = relationship(lazy="raise_on_sql")
    wallet_transaction: Mapped[WalletTransaction | None] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return _("Block no. %(number)s", number=self.id)

    @property
    def target_id(self) -> int:
        """The number of what is blocked."""
        found: int = getattr(self, COLUMN_OF[self.target])
        return found

    def holds_at(self, now: dt.datetime) -> bool:
        """Whether it is in force at a moment."""
        return self.status is BlockStatus.ACTIVE and (self.until is None or self.until > now)

    @validates("status")
    def _only_allowed_moves(self, _key: str, after: BlockStatus) -> BlockStatus:
        found: BlockStatus = allowed(BLOCK_MACHINE, self.status, after)
        return found


class BlockStop(Base):
    """Something that a block stopped: which act, of whom, and what they were told. Only `count_stop` changes one again.

    Attributes:
        slot: who tried within which hour, where a program tries over and over: one line for all of that.
        times: how often; `at` is the last time.
    """

    __tablename__ = "block_stop"
    __table_args__ = (
        Index("ix_block_stop_block_id_id", "block_id", "id"),
        Index("uq_block_stop_block_id_slot", "block_id", "slot", unique=True),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    block_id: Mapped[int] = mapped_column(ForeignKey("block.id"), info={"label": "Block"})
    at: Mapped[dt.datetime] = mapped_column(UtcDateTime, default=utcnow, info={"label": "Date"})
    act: Mapped[str] = mapped_column(String(ACT_LENGTH), info={"label": "Act refused"})
    actor_name: Mapped[str] = mapped_column(String(100), info={"label": "User"})
    sentence: Mapped[str] = mapped_column(String(SENTENCE_LENGTH), info={"label": "What they were told"})
    slot: Mapped[str | None] = mapped_column(String(SLOT_LENGTH), info={"secret": True})
    times: Mapped[int] = mapped_column(default=1, server_default="1", info={"secret": True})


# ---- watch rules -----------------------------------------------------------------------------------------------------


class WatchStatus(StrEnum):
    """A draft is written, the active version watches, an archived one is kept as it was."""

    DRAFT = "Draft"
    ACTIVE = "On"
    ARCHIVED = "Archived"


WATCH_MACHINE: Machine[WatchStatus] = Machine(
    initial=WatchStatus.DRAFT,
    moves={
        WatchStatus.DRAFT: frozenset({WatchStatus.ACTIVE, WatchStatus.ARCHIVED}),
        WatchStatus.ACTIVE: frozenset({WatchStatus.ARCHIVED}),
    },
)


class NoteStatus(StrEnum):
    OPEN = "To look at"
    HARMLESS = "Harmless"
    ACTED = "Acted upon"


NOTE_MACHINE: Machine[NoteStatus] = Machine(
    initial=NoteStatus.OPEN,
    moves={NoteStatus.OPEN: frozenset({NoteStatus.HARMLESS, NoteStatus.ACTED})},
)


class TrialStatus(StrEnum):
    RUNNING = "Running"
    DONE = "Finished"
    FAILED = "Failed"


TRIAL_MACHINE: Machine[TrialStatus] = Machine(
    initial=TrialStatus.RUNNING, moves={TrialStatus.RUNNING: frozenset({TrialStatus.DONE, TrialStatus.FAILED})}
)


class WatchRule(Row, Audited, Base):
    """A rule that watches payments, under one name for all its versions."""

    __tablename__ = "watch_rule"
    __title__ = "name"
    __table_args__ = (Index("ix_watch_rule_created_at_id", "created_at", "id"),)

    name: Mapped[str] = mapped_column(search_text(NAME_LENGTH), unique=True, info={"label": "Rule", "search": True})

    def __str__(self) -> str:
        return self.name


_IS_ACTIVE, _IS_DRAFT = text("status = 'ACTIVE'"), text("status = 'DRAFT'")


class WatchVersion(Row, Audited, Base):
    """What a rule asks, and what it does when that holds. One version of a rule is on, and one may be a draft.

    Attributes:
        most_a_day: notes that it raises on one day; beyond that it only counts, and people are told once.
        blocks: whether it blocks the payment too. Switching on such a version takes a second person, always.
    """

    machine: ClassVar[Machine[WatchStatus]] = WATCH_MACHINE

    __tablename__ = "watch_version"
    __table_args__ = (
        UniqueConstraint("rule_id", "number"),
        CheckConstraint(f"most_a_day BETWEEN 1 AND {MOST_A_DAY}", name="most_a_day_in_range"),
        CheckConstraint("status <> 'DRAFT' OR activated_at IS NULL", name="draft_was_never_on"),
        CheckConstraint("status <> 'ACTIVE' OR activated_at IS NOT NULL", name="on_since"),
        Index("uq_watch_version_active", "rule_id", unique=True, sqlite_where=_IS_ACTIVE, postgresql_where=_IS_ACTIVE),
        Index("uq_watch_version_draft", "rule_id", unique=True, sqlite_where=_IS_DRAFT, postgresql_where=_IS_DRAFT),
    )

    rule_id: Mapped[int] = mapped_column(ForeignKey("watch_rule.id"), info={"label": "Rule"})
    number: Mapped[int] = mapped_column(info={"label": "Version"})
    conditions: Mapped[list[dict[str, Any]]] = mapped_column(Json, default=list, info={"label": "Conditions"})
    most_a_day: Mapped[int] = mapped_column(default=100, info={"label": "Notes a day at most"})
    blocks: Mapped[bool] = mapped_column(default=False, info={"label": "Blocks the payment"})
    status: Mapped[WatchStatus] = enum_column(WatchStatus, default=WatchStatus.DRAFT, info={"label": "Status"})
    author_id: Mapped[int | None] = mapped_column(ForeignKey("staff_user.id"), index=True, info={"label": "Author"})
    activated_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"label": "Switched on"})
    activated_by: Mapped[str | None] = mapped_column(String(100), info={"label": "Switched on by", "search": False})
    archived_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"label": "Archived"})

    rule: Mapped[WatchRule] = relationship(lazy="raise_on_sql")
    author: Mapped[StaffUser | None] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return _("Version %(number)s", number=self.number)

    @validates("status")
    def _only_allowed_moves(self, _key: str, after: WatchStatus) -> WatchStatus:
        found: WatchStatus = allowed(WATCH_MACHINE, self.status, after)
        return found


class WatchTrial(Row, Base):
    """The payments of some past days, asked by a draft: what it would have raised. None of them is touched.

    Attributes:
        as_of: the version of the row that was tried: a draft that changes meanwhile must be tried again.
        found: the first payments that it would have raised, to be looked at.
    """

    machine: ClassVar[Machine[TrialStatus]] = TRIAL_MACHINE

    __tablename__ = "watch_trial"
    __table_args__ = (
        CheckConstraint("days BETWEEN 1 AND 366", name="days_in_range"),
        CheckConstraint("raised BETWEEN 0 AND rows_done", name="counts_add_up"),
        Index("ix_watch_trial_version_id_id", "version_id", "id"),
    )

    version_id: Mapped[int] = mapped_column(ForeignKey("watch_version.id"), info={"label": "Version"})
    as_of: Mapped[int] = mapped_column(info={"label": "As of change"})
    days: Mapped[int] = mapped_column(info={"label": "Days"})
    since: Mapped[dt.datetime] = mapped_column(UtcDateTime)
    until: Mapped[dt.datetime] = mapped_column(UtcDateTime)
    status: Mapped[TrialStatus] = enum_column(TrialStatus, default=TrialStatus.RUNNING, info={"label": "Status"})
    rows_done: Mapped[int] = mapped_column(default=0, info={"label": "Payments asked"})
    raised: Mapped[int] = mapped_column(default=0, info={"label": "Would be raised"})
    most_on_a_day: Mapped[int] = mapped_column(default=0, info={"label": "Most on one day"})
    by_day: Mapped[dict[str, int]] = mapped_column(Json, default=dict, info={"secret": True})
    found: Mapped[list[int]] = mapped_column(Json, default=list, info={"secret": True})
    cursor_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"secret": True})
    cursor_id: Mapped[int] = mapped_column(BigId, default=0, info={"secret": True})
    requester_id: Mapped[int | None] = mapped_column(ForeignKey("staff_user.id"), index=True)
    done_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"label": "Finished"})

    def __str__(self) -> str:
        return _("Replay %(number)s", number=self.id)

    @validates("status")
    def _only_allowed_moves(self, _key: str, after: TrialStatus) -> TrialStatus:
        found: TrialStatus = allowed(TRIAL_MACHINE, self.status, after)
        return found


class WatchNote(Row, Audited, Base):
    """What a rule raised about a payment: once for each rule and payment, whoever asks how often."""

    machine: ClassVar[Machine[NoteStatus]] = NOTE_MACHINE

    __tablename__ = "watch_note"
    __table_args__ = (
        UniqueConstraint("rule_id", "payment_id"),
        CheckConstraint("(status = 'OPEN') = (decided_at IS NULL)", name="decided_or_open"),
        Index("ix_watch_note_created_at_id", "created_at", "id"),
        Index("ix_watch_note_status_created_at_id", "status", "created_at", "id"),
        Index("ix_watch_note_payment_id_id", "payment_id", "id"),
        Index("ix_watch_note_customer_id_id", "customer_id", "id"),
        Index("ix_watch_note_rule_id_created_at_id", "rule_id", "created_at", "id"),
    )

    rule_id: Mapped[int] = mapped_column(ForeignKey("watch_rule.id"), info={"label": "Rule"})
    version_id: Mapped[int] = mapped_column(
        ForeignKey("watch_version.id"), index=True, info={"label": "Version", "list": False, "filter": False}
    )
    payment_id: Mapped[int] = mapped_column(ForeignKey("payment.id"), info={"label": "Payment"})
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"), info={"label": "Customer"})
    amount_minor: Mapped[int] = minor_column("Amount")
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"), info={"label": "Currency", "list": False})
    facts: Mapped[dict[str, Any]] = mapped_column(Json, default=dict, info={"secret": True})
    status: Mapped[NoteStatus] = enum_column(NoteStatus, default=NoteStatus.OPEN, info={"label": "Status"})
    decided_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"label": "Decided", "list": False})
    decided_by: Mapped[str | None] = mapped_column(
        String(100), info={"label": "Decided by", "list": False, "search": False}
    )
    words: Mapped[str | None] = mapped_column(String(NOTE_LENGTH), info={"label": "In words", "list": False})

    rule: Mapped[WatchRule] = relationship(lazy="raise_on_sql")
    payment: Mapped[Payment] = relationship(lazy="raise_on_sql")
    customer: Mapped[Customer] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return _("Note no. %(number)s", number=self.id)

    @validates("status")
    def _only_allowed_moves(self, _key: str, after: NoteStatus) -> NoteStatus:
        found: NoteStatus = allowed(NOTE_MACHINE, self.status, after)
        return found


class WatchDay(Base):
    """How much a rule has raised on one business day, and what it only counted beyond its cap."""

    __tablename__ = "watch_day"

    rule_id: Mapped[int] = mapped_column(ForeignKey("watch_rule.id"), primary_key=True)
    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    raised: Mapped[int] = mapped_column(default=0)
    beyond: Mapped[int] = mapped_column(default=0)


class WatchItem(Base):
    """A payment that is still to be asked about, written by triggers in the transaction that makes or changes it.

    It is deleted in the transaction that writes what the rules raised, so nothing is lost and nothing asked twice.
    While no rule is on, nothing is written.

    Attributes:
        failures: how often asking about it went wrong.
        failed_at: since when it is set aside, so that the others go on; a person tries it again or leaves it out.
        error: what went wrong the last time, in English.
    """

    __tablename__ = "watch_item"
    __table_args__ = (
        Index(
            "ix_watch_item_failed_at_id",
            "failed_at",
            "id",
            sqlite_where=text("failed_at IS NOT NULL"),
            postgresql_where=text("failed_at IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    payment_id: Mapped[int] = mapped_column(BigId)
    failures: Mapped[int] = mapped_column(default=0, server_default="0")
    failed_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)
    error: Mapped[str | None] = mapped_column(String(SENTENCE_LENGTH))


# --- the journal of what is to be asked about -------------------------------------------------------------------------

_ON = "EXISTS (SELECT 1 FROM watch_version WHERE status = 'ACTIVE')"
_INTO = "INSERT INTO watch_item (payment_id)"
TRIGGERS: Final[dict[str, tuple[str, ...]]] = {
    "sqlite": (
        f"CREATE TRIGGER payment_watched AFTER INSERT ON payment WHEN {_ON} BEGIN {_INTO} VALUES (NEW.id); END",  # noqa: S608 - our own names
        (
            f"CREATE TRIGGER payment_watched_again AFTER UPDATE ON payment "
            f"WHEN OLD.status IS NOT NEW.status AND {_ON} BEGIN {_INTO} VALUES (NEW.id); END"
        ),
    ),
    "postgresql": (
        (
            "CREATE FUNCTION watch_payment() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN IF {_ON} THEN {_INTO} VALUES (NEW.id); END IF; RETURN NULL; END $$"
        ),
        "CREATE TRIGGER payment_watched AFTER INSERT ON payment FOR EACH ROW EXECUTE FUNCTION watch_payment()",
        (
            "CREATE TRIGGER payment_watched_again AFTER UPDATE ON payment FOR EACH ROW "
            "WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION watch_payment()"
        ),
    ),
}


def _listen() -> None:
    for dialect, statements in TRIGGERS.items():
        for statement in statements:
            ddl = DDL(statement.replace("%", "%%"))  # type: ignore[no-untyped-call]
            # After all tables: a trigger may name its journal only when that is there.
            event.listen(Payment.metadata, "after_create", ddl.execute_if(dialect=dialect))


_listen()
