"""The books' pages: Ledger health, accounts and their statements, the journal, trial balance, accounting periods."""

from payadmin.views.ledger import pages
from payadmin.views.ledger.health import init_health
from payadmin.views.ledger.trial import init_trial_balance

__all__ = ["init_health", "init_trial_balance", "pages"]
