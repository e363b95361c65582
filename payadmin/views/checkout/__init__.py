"""Adaptive checkout: the rules that decide, their versions, trying them out, and replays of payments."""

from payadmin.views.checkout import (
    api,  # noqa: F401 - declares its endpoint
    pairs,  # noqa: F401 - marks its page
    replays,  # noqa: F401 - marks its pages
    rules,  # noqa: F401 - marks its page
    versions,  # noqa: F401 - marks its page
)
