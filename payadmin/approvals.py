"""Approvals: the one gate between an act and its effects when the policy table asks for a second person (G1, MC1-MC10).

A use case says `gate=ApprovalGate(…)`. Without a policy that is on, the gate is open. With one that applies, the act is
tried and undone, so that everything it would refuse is refused now and everything it would write is known; then it is
filed with its arguments, and `actions/approvals` applies it when somebody else approves. A new kind is one `Kind` here
and one `gate=` at its use case (docs/approvals.md).
"""

import datetime as dt
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import inspect as mapped
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from payadmin import audit
from payadmin.approval_notices import tell_deciders
from payadmin.audit import Event
from payadmin.kernel import payloads
from payadmin.kernel.errors import Conflict, Forbidden, NeedsApproval, NotFound
from payadmin.kernel.masks import mask_pan_in_text
from payadmin.kernel.money import Money
from payadmin.kernel.text import Text, _
from payadmin.models.access import StaffUser
from payadmin.models.approvals import ApprovalPolicy, ApprovalRequest, ApprovalStatus
from payadmin.models.payments import Unit
from payadmin.permissions import Permission
from payadmin.work import Actor, Waiting, Work, gated

# How long a request waits that no policy sends to a second person, but whose act always needs one.
STANDING_HOURS = 14 * 24
FREE_TEXT = frozenset({"note", "reason"})
TITLE_LENGTH = 300


@dataclass(frozen=True)
class Rule:
    """One question of the policy table.

    Attributes:
        name: what `approval_policy.rule` says.
        label: what pages call it.
        measured: whether it has a threshold in a unit; otherwise it is on or off.
    """

    name: str
    label: str
    measured: bool = False


@dataclass(frozen=True)
class Kind:
    """One kind of request: what may wait for a second person, who decides it, and which rules send it there.

    Attributes:
        page: the endpoint of the page where it is read and decided, and `read` what that page needs.
    """

    name: str
    label: str
    permission: Permission
    rules: tuple[Rule, ...]
    page: str = "approvals"
    read: Permission = Permission.APPROVALS_REQUEST_READ


P = Permission
KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "refund",
            "Refund",
            P.APPROVALS_REFUND_APPROVE,
            (
                Rule("refund", "A refund of at least", measured=True),
                Rule("refund_bulk", "A bulk run that refunds in all at least", measured=True),
                Rule("refund_again", "A further refund of the same payment"),
            ),
        ),
        Kind("void", "Void", P.APPROVALS_VOID_APPROVE, (Rule("void", "A void of at least", measured=True),)),
        Kind(
            "outcome",
            "Unknown outcome",
            P.APPROVALS_OUTCOME_APPROVE,
            (Rule("outcome", "Saying by hand what became of a charge, refund or void"),),
        ),
        Kind("access", "Roles and menus", P.APPROVALS_ACCESS_APPROVE, (Rule("access", "Giving roles or menus"),)),
        Kind(
            "retry_policy",
            "Retry policy",
            P.APPROVALS_RETRY_POLICY_APPROVE,
            (Rule("retry_policy", "Changing a retry policy"),),
        ),
        Kind(
            "checkout_rules",
            "Checkout rules",
            P.APPROVALS_CHECKOUT_RULES_APPROVE,
            (Rule("checkout_rules", "Activating a version of the checkout rules"),),
        ),
        Kind(
            "policy",
            "Approval policy",
            P.APPROVALS_POLICY_APPROVE,
            (Rule("policy", "Changing this table of approvals"),),
        ),
        Kind(
            "unblock",
            "Unblocking",
            P.APPROVALS_UNBLOCK_APPROVE,
            (
                Rule("unblock", "Lifting a block that sets free at least", measured=True),
                Rule("unblock_party", "Lifting a block of a customer or an organization"),
            ),
        ),
        # No rules: the table of policies has no say in these (`ApprovalGate.standing`).
        Kind("wallet", "Wallet", P.APPROVALS_WALLET_APPROVE, ()),
        Kind("watch_rule", "Watch rule", P.APPROVALS_WATCH_RULE_APPROVE, ()),
        Kind("contract", "Contract", P.CONTRACTS_REQUEST_DECIDE, (), "requests", P.CONTRACTS_REQUEST_READ),
        Kind("cashback", "Cashback profile", P.CONTRACTS_REQUEST_DECIDE, (), "requests", P.CONTRACTS_REQUEST_READ),
    )
}
RULES: dict[str, Rule] = {rule.name: rule for kind in KINDS.values() for rule in kind.rules}
KIND_OF_RULE: dict[str, Kind] = {rule.name: kind for kind in KINDS.values() for rule in kind.rules}


@dataclass(frozen=True)
class Target:
    """What an act is about: the row that must not change until it is decided, or a row that does not exist yet.

    Attributes:
        model: its mapped class.
        row_id: its id; None while there is no such row.
        name: how a row that does not exist yet is told from others; nobody asks twice for the same.
    """

    model: type[Any]
    row_id: int | None
    name: str = ""

    @property
    def key(self) -> str:
        """What the database keeps unique among waiting requests of a kind."""
        table = self.model.__tablename__
        return f"{table}:{self.row_id}" if self.row_id is not None else f"{table}:new:{self.name}"[:160]


@dataclass(frozen=True)
class Ask:
    """What an act comes to, as the policy table measures it.

    Attributes:
        title: the act in one line, such as "Refund 600.00 EUR of T-000001".
        rules: each rule that could apply → the minor units that it is measured by; anything for one that is not.
        amount_minor, unit: what moves, if money does.
    """

    title: str
    rules: Mapping[str, int]
    amount_minor: int | None = None
    unit: str | None = None


@dataclass(frozen=True)
class ApprovalGate:
    """The gate of one use case.

    Attributes:
        kind: the name of a `Kind`.
        target: arguments → what the act is about.
        ask: the work and the arguments → what it comes to; called with the target locked, before anything is tried.
        secret: parameters that are never stored: applying the act leaves them out, so they need a default or a body
            that does without (`step_up.spend` does).
        hold: sets aside what the act needs while it waits, in the transaction that files it (PY4).
        held: is told when the request that holds has its number.
        release: gives it back, in the transaction that decides it; it is told what the request becomes.
        hold_first: holds what others hold before the target, so that nobody waits in a circle.
        standing: why this actor needs a second person whatever the policy table says, or None for one who does not.
    """

    kind: str
    target: Callable[[Mapping[str, Any]], Target]
    ask: Callable[[Work, Mapping[str, Any]], Ask]
    secret: frozenset[str] = frozenset()
    hold: Callable[[Work, ApprovalRequest], None] | None = field(default=None)
    held: Callable[[Work, ApprovalRequest], None] | None = field(default=None)
    release: Callable[[Work, ApprovalRequest, ApprovalStatus], None] | None = field(default=None)
    hold_first: Callable[[Work, int], None] = field(default=lambda _work, _target_id: None)
    standing: Callable[[Actor], str | None] = field(default=lambda _actor: None)

    def enter(self, work: Work, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Do the act, or file it when a policy asks for a second person.

        Raises:
            Conflict: the same thing waits for approval already.
            Refusal: whatever the act itself refuses.
        """
        policies, standing = _policies(work, KINDS[self.kind]), self.standing(work.actor)
        arguments = _named(function, work, args, kwargs)
        if not policies and standing is None:
            return _filed_before(work, self.kind, arguments.get("key")) or function(work, *args, **kwargs)
        payload = self._payload(arguments)
        # What is tried and asked about is what is stored, so that applying it later is the same act.
        arguments |= payloads.decode(payload)
        target = self.target(arguments)
        if target.row_id is not None:
            # The target is held before the request, here and by whoever decides, so that nobody waits in a circle.
            self.hold_first(work, target.row_id)
            work.get(target.model, target.row_id, lock=True)
        if waiting := _filed_before(work, self.kind, arguments.get("key")):
            return waiting
        ask = self.ask(work, arguments)
        applying = [policy for policy in policies if _applies(policy, ask)]
        if not applying and standing is None:
            return function(work, **arguments)
        _refuse_competitor(work, self.kind, target)
        story = _try(work, function, arguments)
        if not story:
            # What changes nothing needs nobody, such as the same form sent again.
            return function(work, **arguments)
        reasons = [standing] if standing is not None else []
        reasons += [reason_of(work, policy) for policy in applying]
        hours = min((policy.expires_hours for policy in applying), default=STANDING_HOURS)
        return self._file(work, payload, target=target, ask=ask, reasons=reasons, hours=hours, story=story)

    def _payload(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in arguments.items() if name not in self.secret}
        return payloads.encode(_without_cards(kept))

    def _file(
        self,
        work: Work,
        payload: dict[str, Any],
        *,
        target: Target,
        ask: Ask,
        reasons: list[str],
        hours: int,
        story: list[dict[str, Any]],
    ) -> Waiting:
        maker = _maker(work)
        for confirm in list(work.confirmed):
            confirm()  # the trial was undone, and with it the step-up that it spent
        key = payload.get("key")
        request = ApprovalRequest(
            kind=self.kind,
            title=ask.title[:TITLE_LENGTH],
            amount_minor=ask.amount_minor,
            unit=ask.unit,
            use_case=work.name,
            payload=payload,
            payload_hash=payloads.digest(work.name, payload),
            effects=story,
            reasons=reasons,
            reason=next((payload[name] for name in ("note", "reason") if _is_text(payload.get(name))), None),
            key=f"{self.kind}:{key}"[:120] if key else None,
            target_table=target.model.__tablename__,
            target_id=target.row_id,
            target_key=target.key,
            maker_id=maker.id,
            maker_person_id=maker.person,
            maker_name=work.actor.name,
            expires_at=work.now + dt.timedelta(hours=hours),
        )
        if self.hold is not None:
            self.hold(work, request)
        also: list[object] = []
        if target.row_id is not None:
            row = work.get(target.model, target.row_id)
            request.target_version, request.seen = row.version, facts_of(row)
            also = [row]
        try:
            work.add(request)
        except IntegrityError as error:  # somebody asked for the same new thing at the same moment
            raise Conflict("Somebody asked for the same thing at this moment. Look at the approvals.") from error
        if self.held is not None:
            self.held(work, request)
        work.record(
            Event.APPROVAL_REQUESTED,
            request,
            also=also,
            after={"kind": self.kind, "title": request.title, "amount_minor": ask.amount_minor, "unit": ask.unit},
            reason=request.reason,
            request=request.id,
        )
        kind = KINDS[self.kind]
        tell_deciders(work, request, payload, needed=frozenset({kind.permission, kind.read}), page=kind.page)
        return waiting_for(request)


def waiting_for(request: ApprovalRequest) -> Waiting:
    """The answer to an act that waits for a second person."""
    refusal = NeedsApproval(
        _("Not done yet: request %(number)s waits for a second person's approval.", number=request.id),
        request_id=request.id,
        page=KINDS[request.kind].page,
    )
    refusal.is_recorded = True
    return Waiting(refusal)


def facts_of(row: Any) -> dict[str, Any]:
    """What a row says now, as the trail would show it: what a stale request is compared with."""
    columns = [each.key for each in mapped(type(row)).column_attrs if each.key not in {"id", "updated_at", "version"}]
    return audit.facts(type(row), {key: getattr(row, key) for key in columns})


def money_words(work: Work, minor: int, unit: str) -> str:
    """An amount as people read it."""
    scale = work.one(select(Unit.scale).where(Unit.code == unit))
    return str(Money(minor, unit, scale or 0))


def reason_of(work: Work, policy: ApprovalPolicy) -> str:
    """Why a policy asks for a second person, in words."""
    label = RULES[policy.rule].label
    if policy.threshold_minor is None or policy.unit is None:
        return label
    return f"{label} {money_words(work, policy.threshold_minor, policy.unit)}"


def person_of(work: Work, staff_id: int | None) -> int:
    """Which human being an account belongs to.

    Raises:
        Forbidden: it belongs to nobody: jobs and commands neither ask nor decide.
    """
    found = work.session.get(StaffUser, staff_id, populate_existing=True) if staff_id is not None else None
    if found is None:
        raise Forbidden("Only a person can ask for an approval or decide one.")
    return found.person


def actor_of(work: Work, staff_id: int) -> Actor:
    """A member of staff as they are now, for whom an approved act is done.

    Raises:
        NotFound: there is no such account.
        Forbidden: the account is shut.
    """
    staff = work.session.get(StaffUser, staff_id, populate_existing=True)
    if staff is None:
        raise NotFound("The account that asked for this does not exist any more.")
    if not staff.may_sign_in:
        raise Forbidden("The account that asked for this is shut, so nothing is done in its name.")
    return Actor(
        staff_id=staff.id,
        name=staff.username,
        roles=staff.roles,
        permissions=staff.permissions,
        organization_id=staff.organization_id,
        menu=frozenset(staff.menu_access),
    )


def gate_of(name: str) -> ApprovalGate:
    """The gate of the use case with this name."""
    act = gated(name)
    assert act is not None, f"{name} has no gate"
    assert isinstance(act.gate, ApprovalGate)
    return act.gate


def _maker(work: Work) -> StaffUser:
    person_of(work, work.actor.staff_id)
    return work.get(StaffUser, work.actor.staff_id)


def _policies(work: Work, kind: Kind) -> Sequence[ApprovalPolicy]:
    names = [rule.name for rule in kind.rules]
    wanted = select(ApprovalPolicy).where(ApprovalPolicy.rule.in_(names), ApprovalPolicy.is_on)
    return work.session.scalars(wanted.order_by(ApprovalPolicy.id)).all()


def _applies(policy: ApprovalPolicy, ask: Ask) -> bool:
    if policy.rule not in ask.rules:
        return False
    if policy.threshold_minor is None:
        return True
    return policy.unit == ask.unit and ask.rules[policy.rule] >= policy.threshold_minor


def _filed_before(work: Work, kind: str, key: object) -> Waiting | None:
    """The answer to a form that was sent before and filed then; None for one that was not, or that was done."""
    if not key:
        return None
    found: ApprovalRequest | None = work.one(
        select(ApprovalRequest).where(ApprovalRequest.key == f"{kind}:{key}"[:120])
    )
    if found is None or found.status is ApprovalStatus.APPLIED:
        return None
    if found.maker_id != work.actor.staff_id:
        raise Conflict("This form was already used by somebody else. Open it again.")
    if found.status is ApprovalStatus.PENDING:
        return waiting_for(found)
    raise Conflict(
        _(
            "This was asked for already as request %(number)s, which is %(status)s. Open it again.",
            number=found.id,
            status=Text(found.status.value).lower(),
        )
    )


def _refuse_competitor(work: Work, kind: str, target: Target) -> None:
    found: ApprovalRequest | None = work.one(
        select(ApprovalRequest).where(
            ApprovalRequest.kind == kind,
            ApprovalRequest.target_key == target.key,
            ApprovalRequest.status == ApprovalStatus.PENDING,
        )
    )
    if found is not None:
        raise Conflict(
            _(
                "Request %(number)s of %(maker)s waits for approval of the same thing. It has to be decided or "
                "cancelled first.",
                number=found.id,
                maker=found.maker_name,
            ),
            request_id=found.id,
        )


def _named(
    function: Callable[..., Any], work: Work, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Every argument by the name of its parameter: what is stored, and how the act is called again."""
    signature = inspect.signature(function)
    bound = signature.bind(work, *args, **kwargs)
    bound.apply_defaults()
    arguments: dict[str, Any] = {}
    for name, value in list(bound.arguments.items())[1:]:
        gathers = signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD
        arguments |= value if gathers else {name: value}
    return arguments


def _try(work: Work, function: Callable[..., Any], arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the act would write into the trail, all of it undone; a refusal comes through."""
    with audit.undoable(work.session) as savepoint:
        function(work, **arguments)
        work.session.flush()
        story, work.story, work.promised = work.story, [], False
        savepoint.rollback()
    return [each for each in story if each["event"] != str(Event.ACCESS_STEP_UP_SPENT)]


def _without_cards(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with what people wrote cleaned of card numbers, as the act itself would clean it."""
    cleaned = dict(arguments)
    for name, value in arguments.items():
        if isinstance(value, Mapping):
            cleaned[name] = _without_cards(value)
        elif name in FREE_TEXT and type(value) is str:
            cleaned[name] = mask_pan_in_text(value)
    return cleaned


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())
