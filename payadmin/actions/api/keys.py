"""Keys of the API: shown once, kept as a hash, for one organization and for what their scopes say."""

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import or_, update

from payadmin import guard, step_up
from payadmin.audit import Event
from payadmin.kernel.bearers import Bearer, new_bearer
from payadmin.kernel.errors import Conflict, Invalid, Refusal
from payadmin.kernel.masks import mask_pan_in_text
from payadmin.kernel.text import _, one_line
from payadmin.models.api import ApiKey, ApiKeyStatus
from payadmin.models.parties import Organization, OrganizationStatus
from payadmin.permissions import SCOPES, ApiScope, Permission
from payadmin.queries.blocks import count_stop
from payadmin.work import Actor, Work, use_case

KEY_ACT: Final = "api.make_key"
REVOKE_ACT: Final = "api.revoke_key"
NAME_LENGTH: Final = 80
MOST_DAYS: Final = 730
SEEN_EVERY: Final = dt.timedelta(minutes=1)
_LONGEST_ACTOR: Final = 100


class TooManyTries(Refusal):
    """This address has shown too many keys that are none."""

    code = "too_many"
    status = 429


def knocker(ip: str | None, request_id: str | None) -> Actor:
    """Whoever sends something to the API before its key is known: may try a key, and nothing else."""
    may = frozenset({Permission.API_KEY_USE})
    return Actor(staff_id=None, name="api", permissions=may, ip=ip, request_id=request_id)


def program_of(key: ApiKey, ip: str | None, request_id: str | None) -> Actor:
    """The program that showed `key`: it may do what the key's scopes say, for the key's organization."""
    scopes = [scope for scope in ApiScope if scope in key.scopes]  # a scope that is gone from the code gives nothing
    return Actor(
        staff_id=None,
        name=f"API key {key.prefix} ({key.name})"[:_LONGEST_ACTOR],
        permissions=frozenset({Permission.API_KEY_USE, *(SCOPES[scope] for scope in scopes)}),
        ip=ip,
        request_id=request_id,
        organization_id=key.organization_id,
    )


@use_case(Permission.API_KEY_MANAGE)
def make_api_key(
    work: Work, *, name: str, organization_id: int, scopes: Sequence[str], days: int, offer: str, code: str
) -> tuple[ApiKey, Bearer]:
    """Make a key for the programs of an organization, confirmed with a fresh code.

    Args:
        name: what the key is for, for people.
        organization_id: whose data the key reaches.
        scopes: what it may do (`ApiScope`), at least one.
        days: how long it works, 1 to 730.
        offer: `step_up.offer` of `KEY_ACT` for {"key": "new"}.
        code: the code that goes with it.

    Returns:
        The row, and the key itself, to be shown once: nobody can read it again.

    Raises:
        Invalid: a value that makes no sense, or a wrong code; `field` says which.
        Conflict: the organization is closed.
    """
    called = one_line(name)
    if not called or len(called) > NAME_LENGTH:
        raise Invalid(_("Enter a name of at most %(name_length)s characters.", name_length=NAME_LENGTH), field="name")
    if mask_pan_in_text(called) != called:
        raise Invalid("This holds a card number. Write its last four digits only.", field="name")
    chosen = sorted(set(scopes))
    if not chosen or not set(chosen) <= set(ApiScope):
        raise Invalid("Choose at least one thing that the key may do.", field="scopes")
    if not 1 <= days <= MOST_DAYS:
        raise Invalid(_("A key works for 1 to %(most_days)s days.", most_days=MOST_DAYS), field="days")
    organization = work.get(Organization, organization_id)
    if organization.status is not OrganizationStatus.ACTIVE:
        raise Conflict("This organization is closed, so it gets no key.", field="organization")
    step_up.spend(work, offer, code, KEY_ACT, {"key": "new"})
    bearer = new_bearer()
    key = work.add(
        ApiKey(
            name=called,
            organization_id=organization_id,
            prefix=bearer.prefix,
            secret_hash=bearer.secret_hash,
            scopes=chosen,
            created_at=work.now,
            expires_at=work.now + dt.timedelta(days=days),
            made_by=work.actor.name,
        )
    )
    after = {"name": called, "organization_id": organization_id, "scopes": chosen, "expires_at": key.expires_at}
    work.record(Event.API_KEY_MADE, key, after=after, api_key=key.prefix)
    return key, bearer


@use_case(Permission.API_KEY_MANAGE, about=ApiKey)
def revoke_api_key(work: Work, key_id: int, *, reason: str, offer: str, code: str) -> None:
    """Take a key back: from now on it opens nothing, for good.

    Args:
        reason: why, in the words of whoever does it.
        offer: `step_up.offer` of `REVOKE_ACT` for `revoke_subject(key_id)`.
        code: the code that goes with it.

    Raises:
        Invalid: no reason, or a wrong code.
        Conflict: it was revoked already.
    """
    if not reason.strip():
        raise Invalid("Say why.", field="reason")
    key = work.get(ApiKey, key_id)
    step_up.spend(work, offer, code, REVOKE_ACT, revoke_subject(key_id))
    values: dict[str, Any] = {
        "status": ApiKeyStatus.REVOKED,
        "revoked_at": work.now,
        "revoked_by": work.actor.name,
    }
    if not work.change(ApiKey, key_id, **values):
        raise Conflict("This key was revoked already. It opens nothing.")
    work.record(
        Event.API_KEY_REVOKED,
        key,
        before={"status": ApiKeyStatus.ACTIVE},
        after={"status": ApiKeyStatus.REVOKED},
        reason=reason.strip(),
        api_key=key.prefix,
    )


def revoke_subject(key_id: int) -> dict[str, int]:
    """What the confirmation of a revocation is about."""
    return {"key": key_id}


@use_case(Permission.API_KEY_USE)
def note_key_used(work: Work, key_id: int) -> None:
    """Note that a key was used, and from where; at most once a minute, so that requests that only ask stay reads."""
    long_ago = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < work.now - SEEN_EVERY)
    work.session.execute(
        update(ApiKey)
        .where(ApiKey.id == key_id, long_ago)
        .values(last_used_at=work.now, last_used_ip=work.actor.ip)
        .execution_options(synchronize_session=False, explained=True)
    )


@use_case(Permission.API_KEY_USE)
def note_blocked_call(work: Work, *, block_id: int | None, act: str, sentence: str) -> None:
    """Write down that a block stopped a program: a line of its block and an event an hour, with how often it tried.

    Args:
        act: what it asked for.
        sentence: why it was refused, for staff.
    """
    told = {"act": act, "actor_name": work.actor.name, "sentence": sentence}
    if block_id is None or count_stop(work.session, block_id, now=work.now, **told):
        work.record(Event.API_KEY_REFUSED, outcome="refused", reason=sentence, after={"act": act}, block_id=block_id)


def refused_counter(ip: str | None) -> str:
    """The counter of the wrong keys that come from an address."""
    return guard.guard_key("api key", ip)


@use_case(Permission.API_KEY_USE)
def note_refused_key(work: Work, *, prefix: str) -> bool:
    """Count a key that is none against the address it came from, and write it into the trail.

    Args:
        prefix: what the key begins with.

    Returns:
        Whether the address may try again; False: not before half an hour has passed, and nothing was written.
    """
    if not guard.reserve(work, refused_counter(work.actor.ip)):
        return False
    work.record(Event.API_KEY_REFUSED, outcome="failed", api_key=prefix)
    return True
