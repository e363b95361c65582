"""The rights of a PostgreSQL role for the application: it may add to the trail and change nothing in it."""

from payadmin.migrations.catalog import NOT_OURS
from payadmin.models.audit import APPEND_ONLY


def grants(role: str) -> list[str]:
    """The statements that give `role` what the application needs, run by the owner of the tables.

    The owner keeps migrating (`payadmin db upgrade`); the application then can neither change nor delete an act, a seal
    or a key of the trail, nor switch their triggers off.
    """
    name = '"' + role.replace('"', '""') + '"'
    protected = ", ".join((*APPEND_ONLY, NOT_OURS))
    return [
        f"GRANT USAGE ON SCHEMA public TO {name};",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name};",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {name};",
        f"REVOKE UPDATE, DELETE, TRUNCATE ON {protected} FROM {name};",
        f"REVOKE INSERT ON {NOT_OURS} FROM {name};",
        f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {name};",
        f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO {name};",
    ]
