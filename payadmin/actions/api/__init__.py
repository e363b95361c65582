"""The API's keys: made and revoked by administrators, recognised when programs show them."""

from payadmin.actions.api.keys import (
    KEY_ACT,
    MOST_DAYS,
    REVOKE_ACT,
    TooManyTries,
    knocker,
    make_api_key,
    note_blocked_call,
    note_key_used,
    note_refused_key,
    program_of,
    refused_counter,
    revoke_api_key,
    revoke_subject,
)

__all__ = [
    "KEY_ACT",
    "MOST_DAYS",
    "REVOKE_ACT",
    "TooManyTries",
    "knocker",
    "make_api_key",
    "note_blocked_call",
    "note_key_used",
    "note_refused_key",
    "program_of",
    "refused_counter",
    "revoke_api_key",
    "revoke_subject",
]
