"""When activating checkout rules needs a second person."""

from collections.abc import Mapping
from typing import Any

from payadmin.approvals import ApprovalGate, Ask, Target
from payadmin.kernel.text import _
from payadmin.models.checkout import CheckoutRuleset
from payadmin.work import Work


def _ruleset(arguments: Mapping[str, Any]) -> Target:
    return Target(CheckoutRuleset, arguments["ruleset_id"])


def _activation_asks(_work: Work, arguments: Mapping[str, Any]) -> Ask:
    title = _("Activate version %(number)s of the checkout rules", number=arguments["ruleset_id"])
    return Ask(title, {"checkout_rules": 0})


ACTIVATION_GATE = ApprovalGate("checkout_rules", _ruleset, _activation_asks)
