"""People: secrets that are mailed to staff, address changes, whose SCC somebody is, and staff found by name."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# SQLite gives automatic ids only to INTEGER.
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

SEARCHED = (("username", 64), ("full_name", 120), ("email", 254), ("mobile", 32))
INDEXES = (("full_name",), ("mobile",), ("manager_id",), ("created_at", "id"))


def upgrade() -> None:
    _add_links()
    _add_link("notification", "account_link_id", "account_link")
    op.create_index("ix_notification_account_link_id", "notification", ["account_link_id"], unique=False)
    _add_link("staff_user", "manager_id", "staff_user")
    _collate("C")
    for columns in INDEXES:
        op.create_index(f"ix_staff_user_{'_'.join(columns)}", "staff_user", list(columns), unique=False)


def downgrade() -> None:
    for columns in INDEXES:
        op.drop_index(f"ix_staff_user_{'_'.join(columns)}", table_name="staff_user")
    _collate("default")
    _drop_link("staff_user", "manager_id")
    op.drop_index("ix_notification_account_link_id", table_name="notification")
    # The mails stay, as what was sent.
    _drop_link("notification", "account_link_id")
    op.drop_table("account_link")
    op.drop_table("email_change")


def _add_links() -> None:
    op.create_table(
        "email_change",
        sa.Column("staff_id", INTEGER, nullable=False),
        sa.Column("new_email", sa.String(length=254), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        *_usual_columns(),
        sa.ForeignKeyConstraint(["staff_id"], ["staff_user.id"], name=op.f("fk_email_change_staff_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_email_change")),
    )
    op.create_index("ix_email_change_staff_id", "email_change", ["staff_id"], unique=False)
    op.create_index(
        "uq_email_change_open",
        "email_change",
        ["staff_id"],
        unique=True,
        sqlite_where=sa.text("closed_at IS NULL"),
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_table(
        "account_link",
        sa.Column("staff_id", INTEGER, nullable=False),
        sa.Column(
            "purpose",
            sa.Enum(
                "CREDENTIALS",
                "PASSWORD",
                "OLD_ADDRESS",
                "NEW_ADDRESS",
                name="link_purpose",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("nonce", sa.String(length=22), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("email_change_id", INTEGER, nullable=True),
        *_usual_columns(),
        sa.CheckConstraint("used_at IS NULL OR ended_at IS NULL", name=op.f("ck_account_link_used_or_ended")),
        sa.ForeignKeyConstraint(["email_change_id"], ["email_change.id"], name=op.f("fk_account_link_email_change_id")),
        sa.ForeignKeyConstraint(["staff_id"], ["staff_user.id"], name=op.f("fk_account_link_staff_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account_link")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_account_link_token_hash")),
    )
    for column in ("email_change_id", "staff_id"):
        op.create_index(f"ix_account_link_{column}", "account_link", [column], unique=False)


def _usual_columns() -> tuple[sa.Column[object], ...]:
    return (
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
    )


def _add_link(table: str, column: str, target: str) -> None:
    """Add a column that refers to a table; SQLite takes its key only together with the column."""
    if op.get_bind().dialect.name == "sqlite":
        key = f"CONSTRAINT fk_{table}_{column} REFERENCES {target} (id)"
        op.execute(f"ALTER TABLE {table} ADD COLUMN {column} INTEGER {key}")
        return
    op.add_column(table, sa.Column(column, INTEGER, nullable=True))
    op.create_foreign_key(op.f(f"fk_{table}_{column}"), table, target, [column], ["id"])


def _drop_link(table: str, column: str) -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    else:
        op.drop_column(table, column)


def _collate(collation: str) -> None:
    """Compare what staff are looked up by as bytes, so that an index finds what begins with something."""
    if op.get_bind().dialect.name == "postgresql":
        for column, length in SEARCHED:
            op.alter_column("staff_user", column, type_=sa.String(length, collation=collation))
