"""Subscriptions in the browser: lists, details, what staff do with one, registration, expiring cards."""

from payadmin.views.subscriptions import pages  # noqa: F401, I001 - first: links to subscriptions lead to its pages
from payadmin.views.subscriptions import expiring, links, registration  # noqa: F401 - mark their pages
from payadmin.views.subscriptions.hosted import init_hosted
from payadmin.views.subscriptions.manage import init_manage_recurring

__all__ = ["init_hosted", "init_manage_recurring"]
