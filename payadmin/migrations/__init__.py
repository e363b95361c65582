"""Schema changes: Alembic, configured in code, so that `payadmin db` works from any folder and any wheel."""

from pathlib import Path

from alembic import command
from alembic.config import Config


def config(url: str) -> Config:
    """Alembic's configuration for the database at `url`."""
    found = Config()
    found.set_main_option("script_location", str(Path(__file__).parent))
    found.attributes["url"] = url
    return found


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the schema at `url` to `revision`; a database that is already there is left alone."""
    command.upgrade(config(url), revision)
