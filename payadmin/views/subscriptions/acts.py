"""What staff do to one subscription: when each act is possible, what it would honestly do, and doing it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from payadmin.actions import subscriptions as recurring
from payadmin.kernel.text import Listed, Text, _, _n, day_text
from payadmin.models.subscriptions import ENDED, Purpose, Subscription, SubscriptionStatus
from payadmin.queries.subscriptions import Plan
from payadmin.views import lists
from payadmin.views.columns import money_text, zone
from payadmin.views.security import current_actor
from payadmin.views.subscriptions.act_forms import ActForm, PolicyForm, ReasonForm, policy_id_of

S = SubscriptionStatus
MOST_NAMED = 5


# ---- what is possible, and what it would do --------------------------------------------------------------------------


def _cannot_become(status: SubscriptionStatus) -> Callable[[Any], str | None]:
    def why(row: Any) -> str | None:
        if row.status is status:
            return _("It is %(status)s already.", status=Text(status.value).lower())
        if not Subscription.machine.allows(row.status, status):
            return _(
                "A subscription that is %(status)s cannot become %(wanted)s.",
                status=Text(row.status.value).lower(),
                wanted=Text(status.value).lower(),
            )
        return None

    return why


def _has_ended(row: Any) -> str | None:
    return (
        _("It is %(status)s and cannot be changed any more.", status=Text(row.status.value).lower())
        if row.status in ENDED
        else None
    )


def has_no_card(row: Subscription) -> str | None:
    """Why a subscription can have no dates to charge on, or None."""
    if row.purpose is Purpose.RECURRING and not row.card_token:
        return "It has no stored card to charge. Change its type to Reminder, or register a new subscription."
    return None


def _never(_row: Any) -> str | None:
    return None


def _in_hand(plan: Plan) -> Iterator[str]:
    if not plan.in_hand:
        return
    named = Listed(
        _("%(number)s of %(day)s", number=row.invoice_number, day=day_text(row.due_date))
        for row in plan.in_hand[:MOST_NAMED]
    )
    if len(plan.in_hand) > MOST_NAMED:
        more = len(plan.in_hand) - MOST_NAMED
        yield _("Charges in hand will finish: %(charges)s and %(more)s more.", charges=named, more=more)
    elif len(plan.in_hand) > 1:
        yield _("Charges in hand will finish: %(charges)s.", charges=named)
    else:
        yield _("A charge is in hand and will finish: %(charge)s.", charge=named)


def _cancelling(row: Subscription, plan: Plan) -> Iterator[str]:
    if row.status in ENDED:
        return
    if plan.waiting:
        first = day_text(plan.upcoming[0].due_date)
        yield _n(
            "The execute date of %(first)s is cancelled. No further dates are planned.",
            "%(number)s execute dates, from %(first)s on, are cancelled. No further dates are planned.",
            plan.waiting,
            first=first,
        )
    else:
        yield _("No execute date is planned, so none is cancelled; no further dates are planned.")
    yield from _in_hand(plan)
    yield _("This cannot be undone. To charge this customer again, register a new subscription.")


def _deleting(row: Subscription, plan: Plan) -> Iterator[str]:
    yield _("It disappears from every list. Its payments and its audit trail stay.")
    if row.status in ENDED:
        yield _("This cannot be undone.")
    else:
        yield _("It is cancelled with it.")
    yield from _cancelling(row, plan)


def _inactivating(_row: Subscription, plan: Plan) -> Iterator[str]:
    yield _("It stays registered, but nothing is charged and nobody is reminded until it is activated again.")
    yield _("Execute dates that fall due meanwhile are skipped; activating does not charge them afterwards.")
    yield from _in_hand(plan)


def _activating(row: Subscription, plan: Plan) -> Iterator[str]:
    today = lists.today()
    yield _("It runs again from today, %(today)s, on. Dates that have passed are not charged.", today=day_text(today))
    coming = [charge for charge in plan.upcoming if charge.due_date >= today]
    if coming:
        yield _("The next execute date is %(day)s.", day=day_text(coming[0].due_date))
    if row.consecutive_failures:
        yield _n(
            "Its failed charge is forgotten: the count starts anew.",
            "Its %(number)s failed charges in a row are forgotten: the count starts anew.",
            row.consecutive_failures,
        )
    if row.purpose is Purpose.RECURRING and row.card_expires_on is not None and row.card_expires_on < today:
        yield _(
            "Its card expired on %(day)s, so its charges will probably be declined.", day=day_text(row.card_expires_on)
        )


def _changing_type(row: Subscription, plan: Plan) -> Iterator[str]:
    amount = money_text(row.amount_minor, row.unit)
    if row.purpose is Purpose.RECURRING:
        yield _("It is Recurring: %(amount)s are charged on each execute date.", amount=amount)
        yield _("As a Reminder it charges nothing: on each date the merchant is sent a message that payment is due.")
    else:
        yield _("It is a Reminder: the merchant is sent a message on each execute date, and nothing is charged.")
        if row.card_last4:
            yield _(
                "As Recurring it charges %(amount)s to the card ending in %(last4)s on each date.",
                amount=amount,
                last4=row.card_last4,
            )
        else:
            yield _("As Recurring it charges %(amount)s to the stored card on each date.", amount=amount)
    yield _("This holds from the next execute date on.")
    yield from _in_hand(plan)


def _choosing_policy(_row: Subscription, _plan: Plan) -> Iterator[str]:
    yield _("It says after how many days a declined charge is tried again, and what happens when no try is left.")


# ---- doing it --------------------------------------------------------------------------------------------------------


def _cancel(row: Subscription, form: Any) -> str:
    count = recurring.cancel_subscription(current_actor(), row.id, version=form.seen, reason=_reason(form))
    return _n(
        "The subscription is cancelled, with %(number)s execute date.",
        "The subscription is cancelled, with %(number)s execute dates.",
        count,
    )


def _delete(row: Subscription, form: Any) -> str:
    count = recurring.delete_subscription(current_actor(), row.id, version=form.seen, reason=_reason(form))
    if not count:
        return _("The subscription is deleted.")
    return _n(
        "The subscription is deleted, with %(number)s execute date.",
        "The subscription is deleted, with %(number)s execute dates.",
        count,
    )


def _inactivate(row: Subscription, form: Any) -> str:
    recurring.inactivate_subscription(current_actor(), row.id, version=form.seen, reason=_reason(form))
    return "The subscription is inactive: nothing is charged until it is activated again."


def _activate(row: Subscription, form: Any) -> str:
    actor = current_actor()
    recurring.activate_subscription(actor, row.id, version=form.seen, zone=zone(), reason=_reason(form))
    return "The subscription is active again."


def _change_type(row: Subscription, form: Any) -> str:
    other = Purpose.REMINDER if row.purpose is Purpose.RECURRING else Purpose.RECURRING
    recurring.change_purpose(current_actor(), row.id, version=form.seen, purpose=other)
    return _("The type is now %(type)s.", type=Text(other.value))


def _choose_policy(row: Subscription, form: Any) -> str:
    policy_id = policy_id_of(form.policy.data)
    recurring.choose_retry_policy(current_actor(), row.id, version=form.seen, retry_policy_id=policy_id)
    return "The retry policy is changed."


def _reason(form: ReasonForm) -> str | None:
    return (form.reason.data or "").strip() or None


@dataclass(frozen=True)
class Act:
    """One thing that staff do to a subscription.

    Attributes:
        name: its word in addresses.
        label: what menus say.
        title: the heading of its form.
        verb: what its button says.
        keep: what the way out says.
        why_not: a row → why it is not possible now, or None; reads only the status.
        effects: what it will do, one sentence each.
        send: does it and returns what to say then; None for the page of dates, which has a form of its own.
    """

    name: str
    label: str
    icon: str
    title: str
    verb: str
    why_not: Callable[[Any], str | None]
    effects: Callable[[Subscription, Plan], Iterator[str]] | None = None
    send: Callable[[Subscription, Any], str] | None = None
    form: type[ActForm] = ActForm
    keep: str = _("Back")
    danger: bool = False
    dialog: bool = True
    in_menu: bool = True


ACTS: tuple[Act, ...] = (
    Act("dates", _("Edit date…"), "calendar-event", _("Edit date"), _("Save dates"), _has_ended, dialog=False),
    Act(
        "inactivate",
        _("Inactivate…"),
        "player-pause",
        _("Inactivate subscription"),
        _("Inactivate"),
        _cannot_become(S.INACTIVE),
        _inactivating,
        _inactivate,
        ReasonForm,
    ),
    Act(
        "activate",
        _("Activate…"),
        "player-play",
        _("Activate subscription"),
        _("Activate"),
        _cannot_become(S.ACTIVE),
        _activating,
        _activate,
        ReasonForm,
    ),
    Act(
        "change-type",
        _("Change type…"),
        "arrows-exchange",
        _("Change type"),
        _("Change type"),
        _has_ended,
        _changing_type,
        _change_type,
    ),
    Act(
        "retry-policy",
        _("Change retry policy…"),
        "rotate",
        _("Retry policy"),
        _("Save"),
        _has_ended,
        _choosing_policy,
        _choose_policy,
        PolicyForm,
        in_menu=False,
    ),
    Act(
        "cancel",
        _("Cancel subscription…"),
        "ban",
        _("Cancel subscription"),
        _("Cancel subscription"),
        _cannot_become(S.CANCELLED),
        _cancelling,
        _cancel,
        ReasonForm,
        _("Keep subscription"),
        danger=True,
    ),
    Act(
        "delete",
        _("Delete…"),
        "trash",
        _("Delete subscription"),
        _("Delete subscription"),
        _never,
        _deleting,
        _delete,
        ReasonForm,
        _("Keep subscription"),
        danger=True,
    ),
)
NAMED = {act.name: act for act in ACTS}


def why_not(act: Act, row: Subscription) -> str | None:
    """Why an act is not possible for a subscription that was read as a whole, or None."""
    return act.why_not(row) or (has_no_card(row) if act.name == "dates" else None)


def reasons(row: Any) -> dict[str, str] | None:
    """Which acts are not possible for a row of a list, and why."""
    found = {act.name: why for act in ACTS if (why := act.why_not(row)) is not None}
    return found or None
