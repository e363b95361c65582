"""Faults and settings: what goes wrong, drawn so that the same seed replays the same run."""

import hashlib
from dataclasses import dataclass, fields, replace
from typing import Any

from payadmin.simulator.wire import Refused

FAULTS = (
    "drop_before",  # closes the connection, does nothing
    "drop_after",  # acts, then closes the connection
    "err500_before",
    "err500_after",
    "slow",  # acts, then answers after slow_s
    "late",  # acts only after late_s, when the client has given up
    "err429",
    "decline",
    "pending",
    "double",  # moves the money twice
)
MODES = (
    "strict",  # the first answer is kept, a 500 included (Stripe v1)
    "no5xx",  # a 5xx is not kept: the same key is executed again (Checkout.com)
    "none",  # keys are ignored
)


@dataclass(frozen=True)
class Settings:
    """What `_ctl/config` reads and changes: the probability of each fault, and how the provider behaves."""

    seed: int = 0
    drop_before: float = 0.0
    drop_after: float = 0.0
    err500_before: float = 0.0
    err500_after: float = 0.0
    slow: float = 0.0
    late: float = 0.0
    err429: float = 0.0
    decline: float = 0.0
    pending: float = 0.0
    double: float = 0.0
    lookup_fail: float = 0.0
    visibility_lag_s: float = 0.0
    idempotency: str = "strict"
    idem_ttl_s: float = 86_400.0
    latency_s: float = 0.0
    slow_s: float = 5.0
    late_s: float = 5.0
    pending_s: float = 5.0
    settled_after_s: float = 86_400.0

    def changed(self, changes: dict[str, Any]) -> "Settings":
        for name, value in changes.items():
            if name not in SETTING_NAMES:
                raise Refused(400, "parameter_unknown", "There is no such setting.")
            if name == "idempotency":
                valid = value in MODES
            elif name == "seed":
                valid = type(value) is int
            else:
                top = 1 if name in FAULTS or name == "lookup_fail" else 10**9
                valid = type(value) in (int, float) and 0 <= value <= top
            if not valid:
                raise Refused(400, "parameter_invalid", f"{name} does not take that value.")
        settings = replace(self, **changes)
        if sum(getattr(settings, fault) for fault in FAULTS) > 1 + 1e-9:
            raise Refused(400, "parameter_invalid", "The probabilities of the faults exceed 1.")
        return settings

    def draw(self, reference: str, nth: int) -> str | None:
        """Return the fault of the nth request about a reference; the same arguments always draw the same fault."""
        point = chance(self.seed, reference, nth)
        for fault in FAULTS:
            point -= getattr(self, fault)
            if point < 0:
                return fault
        return None


SETTING_NAMES = frozenset(f.name for f in fields(Settings))


def chance(*parts: object) -> float:
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
