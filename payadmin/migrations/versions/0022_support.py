"""Customer support: tickets, teams, codewords that were said, and what customers are looked up by."""

import sqlalchemy as sa
from alembic import op

from payadmin.kernel.phones import phone_key

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

# SQLite gives automatic ids only to INTEGER.
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
AT_ONCE = 5_000


def upgrade() -> None:
    op.create_table(
        "codeword_try",
        sa.Column("customer_id", INTEGER, nullable=False),
        sa.Column("staff_id", INTEGER, nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("is_right", sa.Boolean(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint("is_right OR until IS NULL", name=op.f("ck_codeword_try_until_if_right")),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_codeword_try_customer_id")),
        sa.ForeignKeyConstraint(["staff_id"], ["staff_user.id"], name=op.f("fk_codeword_try_staff_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_codeword_try")),
    )
    op.create_index("ix_codeword_try_customer_id_at", "codeword_try", ["customer_id", "at"], unique=False)
    op.create_index(
        "ix_codeword_try_staff_id_customer_id_until", "codeword_try", ["staff_id", "customer_id", "until"], unique=False
    )
    op.create_table(
        "support_team",
        sa.Column(
            "name", sa.String(length=80).with_variant(sa.String(length=80, collation="C"), "postgresql"), nullable=False
        ),
        sa.Column("manager_id", INTEGER, nullable=False),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.ForeignKeyConstraint(["manager_id"], ["staff_user.id"], name=op.f("fk_support_team_manager_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_support_team")),
        sa.UniqueConstraint("name", name=op.f("uq_support_team_name")),
    )
    op.create_index("ix_support_team_manager_id", "support_team", ["manager_id"], unique=False)
    op.create_table(
        "support_member",
        sa.Column("staff_id", INTEGER, nullable=False),
        sa.Column("team_id", INTEGER, nullable=False),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.ForeignKeyConstraint(["staff_id"], ["staff_user.id"], name=op.f("fk_support_member_staff_id")),
        sa.ForeignKeyConstraint(["team_id"], ["support_team.id"], name=op.f("fk_support_member_team_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_support_member")),
        sa.UniqueConstraint("staff_id", name=op.f("uq_support_member_staff_id")),
    )
    op.create_index(op.f("ix_support_member_team_id"), "support_member", ["team_id"], unique=False)
    op.create_table(
        "ticket",
        sa.Column(
            "number",
            sa.String(length=24).with_variant(sa.String(length=24, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("customer_id", INTEGER, nullable=False),
        sa.Column(
            "channel",
            sa.Enum(
                "PHONE",
                "EMAIL",
                "WEB",
                "CHAT",
                name="ticket_channel",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "OPEN",
                "IN_PROGRESS",
                "WAITING_CUSTOMER",
                "RESOLVED",
                "REOPENED",
                "CLOSED",
                name="ticket_status",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column(
            "priority",
            sa.Enum(
                "URGENT",
                "HIGH",
                "NORMAL",
                "LOW",
                name="ticket_priority",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("team_id", INTEGER, nullable=True),
        sa.Column("assignee_id", INTEGER, nullable=True),
        sa.Column("payment_id", INTEGER, nullable=True),
        sa.Column("merged_into_id", INTEGER, nullable=True),
        sa.Column("codeword_verified", sa.Boolean(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("first_answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("key", sa.String(length=64), nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint(
            "(status = 'WAITING_CUSTOMER') = (paused_at IS NOT NULL)", name=op.f("ck_ticket_paused_while_waiting")
        ),
        sa.CheckConstraint("merged_into_id IS NULL OR status = 'CLOSED'", name=op.f("ck_ticket_merged_is_closed")),
        sa.CheckConstraint("merged_into_id <> id", name=op.f("ck_ticket_merged_into_another")),
        sa.ForeignKeyConstraint(["assignee_id"], ["staff_user.id"], name=op.f("fk_ticket_assignee_id")),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_ticket_customer_id")),
        sa.ForeignKeyConstraint(["merged_into_id"], ["ticket.id"], name=op.f("fk_ticket_merged_into_id")),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_ticket_payment_id")),
        sa.ForeignKeyConstraint(["team_id"], ["support_team.id"], name=op.f("fk_ticket_team_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ticket")),
        sa.UniqueConstraint("key", name=op.f("uq_ticket_key")),
        sa.UniqueConstraint("number", name=op.f("uq_ticket_number")),
    )
    op.create_index("ix_ticket_assignee_id_created_at_id", "ticket", ["assignee_id", "created_at", "id"], unique=False)
    op.create_index("ix_ticket_created_at_id", "ticket", ["created_at", "id"], unique=False)
    op.create_index("ix_ticket_customer_id_created_at_id", "ticket", ["customer_id", "created_at", "id"], unique=False)
    op.create_index("ix_ticket_due_at_id", "ticket", ["due_at", "id"], unique=False)
    op.create_index("ix_ticket_merged_into_id", "ticket", ["merged_into_id"], unique=False)
    op.create_index("ix_ticket_payment_id", "ticket", ["payment_id"], unique=False)
    op.create_index("ix_ticket_priority_created_at_id", "ticket", ["priority", "created_at", "id"], unique=False)
    op.create_index("ix_ticket_status_created_at_id", "ticket", ["status", "created_at", "id"], unique=False)
    op.create_index("ix_ticket_status_due_at_id", "ticket", ["status", "due_at", "id"], unique=False)
    op.create_index("ix_ticket_team_id_created_at_id", "ticket", ["team_id", "created_at", "id"], unique=False)
    op.create_table(
        "ticket_message",
        sa.Column("ticket_id", INTEGER, nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "CUSTOMER", "ANSWER", "NOTE", name="message_kind", native_enum=False, create_constraint=True, length=24
            ),
            nullable=False,
        ),
        sa.Column("author", sa.String(length=100), nullable=False),
        sa.Column("author_id", INTEGER, nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column(
            "came_by",
            sa.Enum(
                "PHONE",
                "EMAIL",
                "WEB",
                "CHAT",
                name="ticket_channel",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=True,
        ),
        sa.Column("mail_key", sa.String(length=64), nullable=True),
        sa.Column("notification_id", INTEGER, nullable=True),
        sa.Column("key", sa.String(length=64), nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint(
            "kind = 'ANSWER' OR notification_id IS NULL", name=op.f("ck_ticket_message_only_answers_are_mailed")
        ),
        sa.ForeignKeyConstraint(["author_id"], ["staff_user.id"], name=op.f("fk_ticket_message_author_id")),
        sa.ForeignKeyConstraint(
            ["notification_id"], ["notification.id"], name=op.f("fk_ticket_message_notification_id")
        ),
        sa.ForeignKeyConstraint(["ticket_id"], ["ticket.id"], name=op.f("fk_ticket_message_ticket_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ticket_message")),
        sa.UniqueConstraint("key", name=op.f("uq_ticket_message_key")),
        sa.UniqueConstraint("ticket_id", "mail_key", name=op.f("uq_ticket_message_ticket_id_mail_key")),
    )
    op.create_index("ix_ticket_message_author_id", "ticket_message", ["author_id"], unique=False)
    op.create_index("ix_ticket_message_ticket_id_id", "ticket_message", ["ticket_id", "id"], unique=False)
    op.create_index("uq_ticket_message_notification_id", "ticket_message", ["notification_id"], unique=True)
    op.create_table(
        "ticket_file",
        sa.Column("ticket_id", INTEGER, nullable=False),
        sa.Column("message_id", INTEGER, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("media_type", sa.String(length=40), nullable=False),
        sa.Column("size", INTEGER, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("stored", sa.String(length=64), nullable=False),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint("size > 0", name=op.f("ck_ticket_file_not_empty")),
        sa.ForeignKeyConstraint(["message_id"], ["ticket_message.id"], name=op.f("fk_ticket_file_message_id")),
        sa.ForeignKeyConstraint(["ticket_id"], ["ticket.id"], name=op.f("fk_ticket_file_ticket_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ticket_file")),
        sa.UniqueConstraint("stored", name=op.f("uq_ticket_file_stored")),
    )
    op.create_index("ix_ticket_file_message_id", "ticket_file", ["message_id"], unique=False)
    op.create_index("ix_ticket_file_ticket_id_id", "ticket_file", ["ticket_id", "id"], unique=False)
    op.add_column(
        "customer",
        sa.Column(
            "phone_key",
            sa.String(length=32).with_variant(sa.String(length=32, collation="C"), "postgresql"),
            nullable=True,
        ),
    )
    op.add_column(
        "customer",
        sa.Column(
            "email_key",
            sa.String(length=254).with_variant(sa.String(length=254, collation="C"), "postgresql"),
            nullable=True,
        ),
    )
    op.add_column(
        "customer",
        sa.Column(
            "username_key",
            sa.String(length=254).with_variant(sa.String(length=254, collation="C"), "postgresql"),
            nullable=True,
        ),
    )
    _fill_keys()
    op.create_index(op.f("ix_customer_email_key"), "customer", ["email_key"], unique=False)
    op.create_index(op.f("ix_customer_phone_key"), "customer", ["phone_key"], unique=False)
    op.create_index(op.f("ix_customer_username_key"), "customer", ["username_key"], unique=False)


def _fill_keys() -> None:
    """Say of every customer what they are looked up by."""
    bind = op.get_bind()
    names = ("id", "phone", "email", "username", "phone_key", "email_key", "username_key")
    customer = sa.table("customer", *(sa.column(name) for name in names))
    of = customer.c
    last = 0
    while rows := bind.execute(
        sa.select(of.id, of.phone, of.email, of.username).where(of.id > last).order_by(of.id).limit(AT_ONCE)
    ).all():
        changed = sa.update(customer).where(of.id == sa.bindparam("row_id"))
        bind.execute(
            changed.values(
                phone_key=sa.bindparam("phone"), email_key=sa.bindparam("email"), username_key=sa.bindparam("username")
            ),
            [
                {
                    "row_id": row.id,
                    "phone": phone_key(row.phone),
                    "email": _folded(row.email),
                    "username": _folded(row.username),
                }
                for row in rows
            ],
        )
        last = rows[-1].id


def _folded(text: str | None) -> str | None:
    return text.strip().casefold()[:254] if text and text.strip() else None


def downgrade() -> None:
    op.drop_index(op.f("ix_customer_username_key"), table_name="customer")
    op.drop_index(op.f("ix_customer_phone_key"), table_name="customer")
    op.drop_index(op.f("ix_customer_email_key"), table_name="customer")
    op.drop_column("customer", "username_key")
    op.drop_column("customer", "email_key")
    op.drop_column("customer", "phone_key")
    op.drop_index("ix_ticket_file_ticket_id_id", table_name="ticket_file")
    op.drop_index("ix_ticket_file_message_id", table_name="ticket_file")
    op.drop_table("ticket_file")
    op.drop_index("uq_ticket_message_notification_id", table_name="ticket_message")
    op.drop_index("ix_ticket_message_ticket_id_id", table_name="ticket_message")
    op.drop_index("ix_ticket_message_author_id", table_name="ticket_message")
    op.drop_table("ticket_message")
    op.drop_index("ix_ticket_team_id_created_at_id", table_name="ticket")
    op.drop_index("ix_ticket_status_due_at_id", table_name="ticket")
    op.drop_index("ix_ticket_status_created_at_id", table_name="ticket")
    op.drop_index("ix_ticket_priority_created_at_id", table_name="ticket")
    op.drop_index("ix_ticket_payment_id", table_name="ticket")
    op.drop_index("ix_ticket_merged_into_id", table_name="ticket")
    op.drop_index("ix_ticket_due_at_id", table_name="ticket")
    op.drop_index("ix_ticket_customer_id_created_at_id", table_name="ticket")
    op.drop_index("ix_ticket_created_at_id", table_name="ticket")
    op.drop_index("ix_ticket_assignee_id_created_at_id", table_name="ticket")
    op.drop_table("ticket")
    op.drop_index(op.f("ix_support_member_team_id"), table_name="support_member")
    op.drop_table("support_member")
    op.drop_index("ix_support_team_manager_id", table_name="support_team")
    op.drop_table("support_team")
    op.drop_index("ix_codeword_try_staff_id_customer_id_until", table_name="codeword_try")
    op.drop_index("ix_codeword_try_customer_id_at", table_name="codeword_try")
    op.drop_table("codeword_try")
