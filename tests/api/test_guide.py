"""What docs/api.md promises is what there is."""

import pytest
from flask import Flask

from payadmin.permissions import SCOPES, ApiScope
from payadmin.views.api.endpoints import ENDPOINTS
from payadmin.views.api.pages import SCOPE_WORDS
from tests.support.source import ROOT

pytestmark = pytest.mark.once
GUIDE = (ROOT / "docs" / "api.md").read_text()


def test_the_guide_names_every_endpoint_and_every_scope(app: Flask) -> None:
    for endpoint in ENDPOINTS:
        assert f"{endpoint.method} {endpoint.path}" in GUIDE
        assert endpoint.summary
    for scope in ApiScope:
        assert f"`{scope}`" in GUIDE


def test_every_scope_gives_one_permission_and_has_words() -> None:
    assert set(SCOPES) == set(ApiScope) == set(SCOPE_WORDS)
    assert len(set(SCOPES.values())) == len(SCOPES)
