"""Write migration 0001 anew from the models: `python -m payadmin.migrations.freeze`, until the first release.

After a release a migration is never edited again; then `payadmin db revision` writes the next one.
"""

import tempfile
from pathlib import Path

from alembic import command

from payadmin.migrations import FOLDER, VERSIONS, config
from payadmin.models import load_models

FIRST = VERSIONS / "0001_payments_and_staff.py"


def write_first(file: Path = FIRST) -> None:
    """Write the whole schema of the models, with CHECKs, indexes and triggers, as one migration to `file`."""
    load_models()
    with tempfile.TemporaryDirectory() as folder:
        settings = config(f"sqlite:///{folder}/empty.db")
        settings.set_main_option("version_locations", folder)
        made = command.revision(settings, "Payments, parties, staff, trail and promised work", True, rev_id="0001")
        assert made is not None
        assert not isinstance(made, list)
        text = Path(made.path).read_text()
    file.write_text(_with_triggers(text))


def _with_triggers(text: str) -> str:
    """Alembic sees no triggers: add the statements that the models' tables carry, word for word."""
    from payadmin.models.audit import TRIGGERS  # noqa: PLC0415 - mapped by load_models

    statements = "".join(
        f'    "{dialect}": (\n' + "".join(f"        {statement!r},\n" for statement in found) + "    ),\n"
        for dialect, found in TRIGGERS.items()
    )
    # An index goes with its table.
    lines = [line for line in text.splitlines() if "op.drop_index(" not in line and "# ###" not in line]
    made, _, undone = "\n".join(lines).partition("def downgrade() -> None:\n")
    head, _, body = made.partition("def upgrade() -> None:\n")
    return (
        f"{head}TRIGGERS = {{\n{statements}}}\n\n\n"
        f"def upgrade() -> None:\n{body.rstrip()}\n"
        "    for statement in TRIGGERS[op.get_bind().dialect.name]:\n"
        "        op.execute(statement)\n\n\n"
        f"def downgrade() -> None:\n{undone.rstrip()}\n"
        "    if op.get_bind().dialect.name == 'postgresql':\n"
        "        op.execute('DROP FUNCTION refuse_change()')\n"
    )


if __name__ == "__main__":
    write_first()
    print(f"{FIRST.relative_to(FOLDER)} says what the models say; run `ruff format {FIRST}` and `payadmin db check`.")  # noqa: T201
