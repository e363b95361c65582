"""The API `/api/v1`: programs with a key, JSON in, JSON out. No session, no cookie, no form token."""

from payadmin.views.api import pages  # noqa: F401 - marks its page
from payadmin.views.api.endpoints import Call, api, endpoint, init_api

__all__ = ["Call", "api", "endpoint", "init_api"]
