"""Checkout: drafts of the rules, their activation, imports, and replays of payments."""

from payadmin.actions.checkout.replays import cancel_replay, replay_some, start_replay
from payadmin.actions.checkout.rules import copy_rule, delete_rule, move_rule, save_rule, switch_rule
from payadmin.actions.checkout.versions import (
    activate_ruleset,
    discard_draft,
    import_draft,
    rename_draft,
    start_draft,
)

__all__ = [
    "activate_ruleset",
    "cancel_replay",
    "copy_rule",
    "delete_rule",
    "discard_draft",
    "import_draft",
    "move_rule",
    "rename_draft",
    "replay_some",
    "save_rule",
    "start_draft",
    "start_replay",
    "switch_rule",
]
