"""Who may in: the key in `Authorization: Bearer …`, its scope, and a limit for whoever only tries."""

import datetime as dt
import hashlib
from dataclasses import dataclass
from typing import ClassVar

from flask import request

from payadmin.actions import api as keys
from payadmin.db import db, utcnow
from payadmin.guard import is_paused
from payadmin.kernel.bearers import bearer_of
from payadmin.kernel.errors import Forbidden, Refusal
from payadmin.kernel.text import _
from payadmin.models.api import ApiKeyStatus
from payadmin.models.parties import OrganizationStatus
from payadmin.permissions import SCOPES, ApiScope
from payadmin.queries.api import key_by_prefix
from payadmin.queries.blocks import organization_block
from payadmin.views.security import request_id
from payadmin.work import Actor, record_refusal

SEEN_EVERY = dt.timedelta(minutes=1)


@dataclass(frozen=True)
class Program:
    """What is known of whoever showed a right key."""

    actor: Actor
    key_id: int
    name: str
    organization: str
    scopes: tuple[ApiScope, ...]
    expires_at: dt.datetime


class NoKey(Refusal):
    """Nothing that lets anybody in was shown."""

    code = "no_key"
    status = 401


class WrongKey(NoKey):
    """There is no such key; which part of it is wrong is not said."""

    code: ClassVar[str] = "wrong_key"


class DeadKey(NoKey):
    """The key was one, and is none any more. Whoever holds it may know."""

    code: ClassVar[str] = "dead_key"


def credential() -> str:
    """Whose requests are counted together: those with one key, or without any from one address.

    The whole key counts, not the part that finds the row: nobody uses up the requests of somebody else's key. How it is
    written around the key does not count: nobody has more requests for writing more blanks.
    """
    bearer = bearer_of(request.headers.get("Authorization", ""))
    if bearer is None:
        return f"api:{request.remote_addr}"
    return f"api:{hashlib.sha256(str(bearer).encode()).hexdigest()}"


def let_in(scope: ApiScope | None) -> Program:
    """The program that asks.

    A right key always works, also from an address that has shown wrong ones: guessing 256 random bits is hopeless, and
    a stranger behind the same address must not lock anybody out.

    Args:
        scope: what its key must be for; None: any key will do.

    Raises:
        NoKey: no key, a wrong one, or one that was revoked or has expired.
        TooManyTries: yet another wrong key from this address.
        Forbidden: the key is not for this.
    """
    ip = request.remote_addr
    bearer = bearer_of(request.headers.get("Authorization", ""))
    if bearer is None:
        raise NoKey("Send your key as Authorization: Bearer pak_…")
    key = key_by_prefix(db.session(), bearer.prefix)
    if not bearer.is_key_of(key.secret_hash if key is not None else None) or key is None:
        paused = is_paused(db.session(), keys.refused_counter(ip), utcnow())
        if paused or not keys.note_refused_key(keys.knocker(ip, request_id()), prefix=bearer.prefix):
            raise keys.TooManyTries("Too many wrong keys from this address. Wait 30 minutes, then try the right one.")
        raise WrongKey("This key is not known.")
    if key.status is not ApiKeyStatus.ACTIVE:
        raise DeadKey("This key was revoked. Ask an administrator for a new one.")
    if key.expires_at <= utcnow():
        raise DeadKey("This key has expired. Ask an administrator for a new one.")
    if key.organization.status is not OrganizationStatus.ACTIVE:
        raise DeadKey("The organization of this key is closed.")
    if (blocked := organization_block(db.session(), key.organization_id)) is not None:
        # Why is no business of a program; that it is so, and which block it was, is written down.
        keys.note_blocked_call(
            keys.program_of(key, ip, request_id()),
            block_id=blocked.block_id,
            act=request.endpoint or request.path,
            sentence=blocked.sentence,
        )
        raise DeadKey("The organization of this key is blocked.")
    program = Program(
        actor=keys.program_of(key, ip, request_id()),
        key_id=key.id,
        name=key.name,
        organization=key.organization.name,
        scopes=tuple(found for found in ApiScope if found in key.scopes),
        expires_at=key.expires_at,
    )
    if key.last_used_at is None or utcnow() - key.last_used_at > SEEN_EVERY:
        keys.note_key_used(program.actor, program.key_id)
    if scope is not None and not program.actor.may(SCOPES[scope]):
        refusal = Forbidden(_("This key is not for %(scope)s.", scope=scope))
        record_refusal(program.actor, refusal, place=request.endpoint or request.path)
        raise refusal
    return program
