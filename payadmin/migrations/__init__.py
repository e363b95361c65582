"""Schema changes: Alembic, configured in code, so that `payadmin db` works from any folder and any wheel."""

import argparse
import os
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

FOLDER = Path(__file__).parent
VERSIONS = FOLDER / "versions"


def config(url: str) -> Config:
    """Alembic's configuration for the database at `url`."""
    found = Config(cmd_opts=argparse.Namespace(quiet=True))
    found.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    found.set_main_option("path_separator", "os")
    found.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    found.attributes["url"] = url
    return found


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the schema at `url` to `revision`; a database that is already there is left alone."""
    command.upgrade(config(url), revision)


def downgrade(url: str, revision: str) -> None:
    """Take the schema at `url` back to `revision` ("base": nothing is left). What those tables held is lost."""
    command.downgrade(config(url), revision)


def head() -> str:
    """The newest revision that this code knows.

    Raises:
        CommandError: two migrations claim to be the newest.
    """
    return str(ScriptDirectory.from_config(config("")).get_current_head())


def revision(message: str, folder: Path = VERSIONS) -> tuple[Path, list[str]]:
    """Write the next migration into `folder`, from what the models say and the migrations so far do not.

    Alembic sees tables, columns, keys and indexes, but no CHECK, no trigger and no partial condition: the second
    result lists what is still missing, in sentences, to be written by hand.
    """
    from payadmin.migrations.check import compare, migrated_catalog, models_catalog, scratch  # noqa: PLC0415

    url = "sqlite:///"
    with scratch(url) as empty:
        upgrade(empty)
        number = f"{int(head()) + 1:04}"
        settings = config(empty)
        settings.set_main_option("version_locations", os.pathsep.join({str(VERSIONS), str(folder)}))
        made = command.revision(settings, message, autogenerate=True, rev_id=number, version_path=str(folder))
    assert made is not None
    assert not isinstance(made, list)
    left = compare(migrated_catalog(url), models_catalog(url), "the migrations make", "the models say")
    return Path(made.path), left
