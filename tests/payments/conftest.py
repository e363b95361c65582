"""The payments room tests at the refund desk."""

from tests.support.desk_fixtures import desk, provider_process, simulator

__all__ = ["desk", "provider_process", "simulator"]
