"""Risk: blocks, set and lifted; and rules that watch payments, tried before they are switched on (S3:142-155)."""

from payadmin.actions.risk.blocks import block, end_block, lift_block
from payadmin.actions.risk.watching import (
    decide_note,
    discard_watch,
    leave_unwatched,
    save_watch,
    start_trial,
    switch_off_watch,
    switch_on_blocking_watch,
    switch_on_watch,
    try_some,
    watch_again,
    watch_some,
)

__all__ = [
    "block",
    "decide_note",
    "discard_watch",
    "end_block",
    "leave_unwatched",
    "lift_block",
    "save_watch",
    "start_trial",
    "switch_off_watch",
    "switch_on_blocking_watch",
    "switch_on_watch",
    "try_some",
    "watch_again",
    "watch_some",
]
