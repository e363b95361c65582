"""The rights of a PostgreSQL role for the application: it adds to the trail and the books and changes nothing there."""

from payadmin.migrations.catalog import NOT_OURS
from payadmin.models.audit import APPEND_ONLY
from payadmin.models.ledger import ADDED_ONLY, READ_ONLY


def grants(role: str) -> list[str]:
    """The statements that give `role` what the application needs, run by the owner of the tables.

    The owner keeps migrating (`payadmin db upgrade`); the application then can neither change nor delete an act, a seal
    or a key of the trail, nor switch their triggers off. Of the books it may insert whole transactions and nothing
    else: entries, balances and turnovers are written by functions with the owner's rights, which refuse what does not
    balance.
    """
    name = '"' + role.replace('"', '""') + '"'
    protected = ", ".join((*APPEND_ONLY, *ADDED_ONLY, *READ_ONLY, NOT_OURS))
    written = ", ".join((*READ_ONLY, NOT_OURS))
    return [
        f"GRANT USAGE ON SCHEMA public TO {name};",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name};",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {name};",
        f"REVOKE UPDATE, DELETE, TRUNCATE ON {protected} FROM {name};",
        f"REVOKE INSERT ON {written} FROM {name};",
        f"REVOKE UPDATE, DELETE, TRUNCATE ON ledger_hold FROM {name};",
        f"GRANT UPDATE (ended_id) ON ledger_hold TO {name};",
        f"GRANT EXECUTE ON FUNCTION ledger_lock(bigint[]) TO {name};",
        f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {name};",
        f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO {name};",
    ]
