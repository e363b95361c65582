"""Step-up: a dangerous act asks its actor for a fresh authenticator code, bound to that very act.

The form carries an offer: signed, for one person, one act, its ids and amounts, five minutes, one use. The act spends
it inside its own transaction, together with the code, so that either all of it happens or none.
"""

import datetime as dt
import functools
import hashlib
import json
import secrets
from typing import Any

from itsdangerous import BadSignature, SignatureExpired, URLSafeTimedSerializer
from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from payadmin.audit import Event
from payadmin.config import current_settings
from payadmin.kernel import totp, vault
from payadmin.kernel.errors import Forbidden, Invalid
from payadmin.models.access import SecondFactor, SpentOffer, StaffUser
from payadmin.models.audit import AuditEvent
from payadmin.work import Actor, Work

OFFER_SECONDS = 300
TRIES = 10
PAUSE = dt.timedelta(minutes=30)

WRONG_CODE = "That code is wrong or was already used, at sign-in for instance. Type the next one your app shows."
_STALE = "This confirmation is more than five minutes old. Open the form again and confirm once more."
_FOREIGN = "This confirmation does not belong to this form. Open the form again and confirm once more."
_USED = "This was already confirmed once. Look whether it is done before you try again."
_PAUSED = "Too many wrong codes. Wait 30 minutes, then open the form again."


def offer(actor: Actor, act: str, subject: object) -> str:
    """What a form carries so that `actor` can confirm `act` on `subject` within five minutes.

    Args:
        act: a stable name, such as "payments.refund".
        subject: everything the confirmation is about (ids, amounts), as JSON-ready values; the act must be spent with
            the very same.
    """
    return _signer().dumps(
        {"who": actor.staff_id, "act": act, "subject": _digest(subject), "nonce": secrets.token_urlsafe(16)}
    )


def spend(work: Work, offer: str, code: str, act: str, subject: object) -> None:
    """Accept the actor's confirmation, once, in the transaction of the act.

    Applying what somebody else approved asks nothing: its maker confirmed it when asking.

    Raises:
        Forbidden: the actor is no person with an authenticator.
        Invalid: a stale, foreign, changed or used offer, or a wrong or used code; `field` is "code".
    """
    if work.approved is not None:
        return  # its maker confirmed when asking, and what is applied is what was asked for
    if work.actor.staff_id is None:
        raise Forbidden("Only a person with an authenticator can confirm this.")
    work.confirmed.append(functools.partial(_spend, work, offer, code, act, subject))
    _spend(work, offer, code, act, subject)


def _spend(work: Work, offer: str, code: str, act: str, subject: object) -> None:
    assert work.actor.staff_id is not None
    content = _read(offer)
    if (content.get("who"), content.get("act"), content.get("subject")) != (
        work.actor.staff_id,
        act,
        _digest(subject),
    ):
        raise Invalid(_FOREIGN, field="code")
    _refuse_guessing(work)
    factor = work.session.scalar(select(SecondFactor).where(SecondFactor.staff_id == work.actor.staff_id))
    if not _burn(work, str(content["nonce"]), act):
        raise Invalid(_USED, field="code")
    if factor is None or not spend_code(work, factor, code):
        raise Invalid(WRONG_CODE, field="code")
    work.record(Event.ACCESS_STEP_UP_SPENT, work.get(StaffUser, work.actor.staff_id), act=act)


def prove(work: Work, code: str) -> bool:
    """Accept a code of the actor's authenticator, once, where the form itself is the act (own account).

    Raises:
        Invalid: too many wrong codes lately; `field` is "code".
    """
    _refuse_guessing(work)
    factor = work.session.scalar(select(SecondFactor).where(SecondFactor.staff_id == work.actor.staff_id))
    return factor is not None and spend_code(work, factor, code)


def spend_code(work: Work, factor: SecondFactor, code: str) -> bool:
    """Accept `code` once. Parallel uses, and every older code, are refused by the one statement that moves the step."""
    if factor.sealed is None:
        return False
    step = totp.step_of(unseal(factor.staff_id, factor.sealed), code, work.now)
    if step is None:
        return False
    return move_factor(
        work, factor, SecondFactor.last_step < step, SecondFactor.sealed == factor.sealed, last_step=step
    )


def move_factor(work: Work, factor: SecondFactor, *when: Any, **values: Any) -> bool:
    """Change a second factor by one conditional UPDATE; whether this caller won."""
    statement = update(SecondFactor).where(SecondFactor.id == factor.id, *when).values(**values)
    result = work.session.execute(statement.execution_options(synchronize_session=False))
    if result.rowcount != 1:  # type: ignore[attr-defined]
        return False
    work.session.refresh(factor)
    return True


def seal(staff_id: int, secret: str) -> str:
    """An authenticator's secret, encrypted for its owner's row only."""
    return vault.seal(current_settings().totp_keys, f"totp:{staff_id}", secret)


def unseal(staff_id: int, sealed: str) -> str:
    """What `seal` hid.

    Raises:
        Unreadable: the row was swapped or changed, or its key is no longer configured.
    """
    return vault.unseal(current_settings().totp_keys, f"totp:{staff_id}", sealed)


def resealed(staff_id: int, sealed: str) -> str | None:
    """The secret under the first key, if an older key still protects it."""
    keys = current_settings().totp_keys
    if vault.is_current(keys, f"totp:{staff_id}", sealed):
        return None
    return seal(staff_id, unseal(staff_id, sealed))


def _read(offer: str) -> dict[str, Any]:
    try:
        content = _signer().loads(offer, max_age=OFFER_SECONDS)
    except SignatureExpired:
        raise Invalid(_STALE, field="code") from None
    except BadSignature:
        raise Invalid(_FOREIGN, field="code") from None
    assert isinstance(content, dict)
    return content


def _burn(work: Work, nonce: str, act: str) -> bool:
    make = postgresql.insert if work.session.get_bind().dialect.name == "postgresql" else sqlite.insert
    _forget_old(work)
    spent = make(SpentOffer).values(nonce=nonce, staff_id=work.actor.staff_id, act=act[:100])
    once = spent.on_conflict_do_nothing(index_elements=["nonce"]).returning(SpentOffer.id)
    return work.session.scalar(once) is not None


def _forget_old(work: Work) -> None:
    # Their offers expired long ago. Rows that another act is just deleting are left to it: waiting could deadlock.
    old = select(SpentOffer.id).where(SpentOffer.created_at < work.now - PAUSE).with_for_update(skip_locked=True)
    statement = delete(SpentOffer).where(SpentOffer.id.in_(old))
    work.session.execute(statement.execution_options(synchronize_session=False))


def _refuse_guessing(work: Work) -> None:
    # A refused act is rolled back, and its counter with it; what remains is the trail, so the trail is the counter.
    wrong = work.session.scalar(
        select(func.count())
        .select_from(AuditEvent)
        .where(
            AuditEvent.at > work.now - PAUSE,
            AuditEvent.actor_id == work.actor.staff_id,
            AuditEvent.outcome == "refused",
            AuditEvent.reason == WRONG_CODE,
        )
    )
    if (wrong or 0) >= TRIES:
        raise Invalid(_PAUSED, field="code")


def _digest(subject: object) -> str:
    return hashlib.sha256(json.dumps(subject, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _signer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(current_settings().secret_key, salt="payadmin.step_up")
