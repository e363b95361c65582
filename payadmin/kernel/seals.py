"""What makes the trail's rows and seals provable: one way to write an event as bytes, its signature, its seal's MAC."""

import datetime as dt
import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

# What a signature covers; the number of the row is not known when it is signed, so only seals cover that.
SIGNED: Final = (
    "at", "actor_id", "actor_name", "roles", "ip", "request_id", "event", "outcome", "entity", "entity_id",
    "before", "after", "keys", "reason",
)  # fmt: skip
LEAF_BYTES: Final = 8
Range = tuple[int, int, int]


def seal_keys(master_keys: Sequence[bytes]) -> tuple[bytes, ...]:
    """The trail's own keys, derived from those that protect second factors: the first signs, all verify."""
    return tuple(hmac.digest(key, b"payadmin audit trail", "sha256") for key in master_keys)


def content(values: Mapping[str, Any]) -> bytes:
    """An event as bytes: the same before it is written and after it was read back from either database."""
    return _bytes([_plain(values.get(name)) for name in SIGNED])


def sign(key: bytes, written: bytes) -> str:
    """The signature of an event's `content`."""
    return hmac.digest(key, written, "sha256").hex()


def is_signed(keys: Sequence[bytes], written: bytes, signature: str | None) -> bool:
    """Whether one of `keys` signed `written`."""
    return signature is not None and any(hmac.compare_digest(sign(key, written), signature) for key in keys)


def leaf(event_id: int, signature: str | None, written: bytes) -> bytes:
    """What a seal holds of one event at its place."""
    return hashlib.sha256(b"%d|%s|" % (event_id, (signature or "").encode()) + written).digest()


def root(leaves: Iterable[bytes]) -> str:
    """One digest of many leaves, in their order."""
    found = hashlib.sha256()
    for each in leaves:
        found.update(each)
    return found.hexdigest()


@dataclass(frozen=True)
class Sealed:
    """What the MAC of a seal covers.

    Attributes:
        id: seals are numbered without gaps.
        at: when it was made.
        first_id, last_id: the events between two seals; some numbers in between may belong to nobody.
        late: events of earlier ranges whose transactions ended after their range was sealed.
        missing: (from, to, since) of numbers up to `last_id` that belong to nobody so far.
        leaves: the first bytes of each leaf, to say which event was touched.
        root: the digest of all leaves.
        adopted: its events were written before events were signed.
        previous: the MAC of the seal before.
    """

    id: int
    at: dt.datetime
    first_id: int
    last_id: int
    late: Sequence[int]
    missing: Sequence[Range]
    leaves: bytes
    root: str
    adopted: bool
    previous: str


def mac(key: bytes, seal: Sealed) -> str:
    """The MAC of a seal: who has no key can neither change it nor make another."""
    leaves = hashlib.sha256(seal.leaves).hexdigest()
    missing = [list(each) for each in seal.missing]
    parts = [seal.id, _plain(seal.at), seal.first_id, seal.last_id, list(seal.late), missing, leaves, seal.root,
             seal.adopted, seal.previous]  # fmt: skip
    return hmac.digest(key, _bytes(parts), "sha256").hex()


def is_sealed(keys: Sequence[bytes], seal: Sealed, found: str) -> bool:
    """Whether one of `keys` made the MAC `found` of `seal`."""
    return any(hmac.compare_digest(mac(key, seal), found) for key in keys)


def ranges(first: int, last: int, present: Iterable[int], since: int) -> list[Range]:
    """The numbers from `first` to `last` that are not among `present`, which is in order."""
    found: list[Range] = []
    place = first
    for each in present:
        if each > place:
            found.append((place, each - 1, since))
        place = each + 1
    if place <= last:
        found.append((place, last, since))
    return found


def present(first: int, last: int, missing: Iterable[Range]) -> Iterator[int]:
    """The numbers from `first` to `last` that are in none of the ranges, which are in order."""
    place = first
    for start, end, _ in missing:
        if first <= start <= last:
            yield from range(place, start)
            place = end + 1
    yield from range(place, last + 1)


def without(missing: Iterable[Range], taken: Sequence[int], *, older_than: int) -> list[Range]:
    """`missing` less the numbers `taken`, and less what has been missing since before `older_than`."""
    left: list[Range] = []
    for first, last, since in missing:
        if since >= older_than:
            left += ranges(first, last, [each for each in taken if first <= each <= last], since)
    return left


def _plain(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat(timespec="microseconds")
    return value


def _bytes(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
