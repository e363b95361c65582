"""Payments, parties, staff, trail and promised work."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# SQLite gives automatic ids only to INTEGER.
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


TRIGGERS = {
    "sqlite": (
        "CREATE TRIGGER audit_event_no_update BEFORE UPDATE ON audit_event BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END",
        "CREATE TRIGGER audit_event_no_delete BEFORE DELETE ON audit_event BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END",
    ),
    "postgresql": (
        "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$",
        "CREATE TRIGGER audit_event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_event FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()",
    ),
}


def upgrade() -> None:
    op.create_table(
        "action_run",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("token", sa.String(length=64), nullable=False),
        sa.Column("actor_id", INTEGER, nullable=False),
        sa.Column("actor_name", sa.String(length=100), nullable=False),
        sa.Column("page", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("handler", sa.String(length=80), nullable=False),
        sa.Column(
            "state",
            sa.Enum("DRAFT", "QUEUED", "DONE", name="run_state", native_enum=False, create_constraint=True, length=24),
            nullable=False,
        ),
        sa.Column("chosen", sa.String(length=2000), nullable=True),
        sa.Column("total", INTEGER, nullable=False),
        sa.Column("answers", JSON, nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_action_run")),
        sa.UniqueConstraint("token", name=op.f("uq_action_run_token")),
    )
    op.create_index("ix_action_run_actor_id_id", "action_run", ["actor_id", "id"], unique=False)
    op.create_table(
        "audit_event",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor_id", INTEGER, nullable=True),
        sa.Column("actor_name", sa.String(length=100), nullable=False),
        sa.Column("roles", sa.String(length=300), nullable=False),
        sa.Column("ip", sa.String(length=45), nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("event", sa.String(length=80), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("entity", sa.String(length=64), nullable=True),
        sa.Column("entity_id", sa.String(length=64), nullable=True),
        sa.Column("before", JSON, nullable=True),
        sa.Column("after", JSON, nullable=True),
        sa.Column("keys", JSON, nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_event")),
    )
    op.create_index("ix_audit_event_actor_name_id", "audit_event", ["actor_name", "id"], unique=False)
    op.create_index("ix_audit_event_at_id", "audit_event", ["at", "id"], unique=False)
    op.create_index("ix_audit_event_entity_entity_id_id", "audit_event", ["entity", "entity_id", "id"], unique=False)
    op.create_index("ix_audit_event_event_id", "audit_event", ["event", "id"], unique=False)
    op.create_table(
        "heartbeat",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_heartbeat")),
    )
    op.create_table(
        "import_file",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("layout", sa.String(length=40), nullable=False),
        sa.Column("rows", INTEGER, nullable=False),
        sa.Column("payments", INTEGER, nullable=False),
        sa.Column("refunds", INTEGER, nullable=False),
        sa.Column("left_out", INTEGER, nullable=False),
        sa.Column("imported_by", sa.String(length=100), nullable=False),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import_file")),
        sa.UniqueConstraint("content_hash", name=op.f("uq_import_file_content_hash")),
    )
    op.create_index("ix_import_file_created_at_id", "import_file", ["created_at", "id"], unique=False)
    op.create_table(
        "invoice_counter",
        sa.Column("year", INTEGER, autoincrement=False, nullable=False),
        sa.Column("last", INTEGER, nullable=False),
        sa.PrimaryKeyConstraint("year", name=op.f("pk_invoice_counter")),
    )
    op.create_table(
        "login_guard",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("fails", INTEGER, nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint("fails BETWEEN 0 AND 10", name=op.f("ck_login_guard_fails")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_login_guard")),
        sa.UniqueConstraint("key", name=op.f("uq_login_guard_key")),
    )
    op.create_index(op.f("ix_login_guard_until"), "login_guard", ["until"], unique=False)
    op.create_table(
        "organization",
        sa.Column(
            "name",
            sa.String(length=200).with_variant(sa.String(length=200, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "kind",
            sa.Enum(
                "SYSTEM",
                "MERCHANT",
                "INDIVIDUAL",
                "ISSUER",
                "PARTNER",
                "CASHIER",
                "PROVIDER",
                "EXCHANGE_OFFICE",
                "MASSPAY",
                name="organization_kind",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column(
            "status",
            sa.Enum(
                "ACTIVE", "CLOSED", name="organization_status", native_enum=False, create_constraint=True, length=24
            ),
            nullable=False,
        ),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organization")),
        sa.UniqueConstraint("name", name=op.f("uq_organization_name")),
    )
    op.create_index("ix_organization_created_at_id", "organization", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_organization_kind"), "organization", ["kind"], unique=False)
    op.create_table(
        "outbox_message",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("job", sa.String(length=64), nullable=False),
        sa.Column("args", JSON, nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "DUE",
                "RUNNING",
                "DONE",
                "DEAD",
                name="outbox_state",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("fence", INTEGER, nullable=False),
        sa.Column("failures", INTEGER, nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox_message")),
    )
    op.create_index(
        "ix_outbox_message_open",
        "outbox_message",
        ["due_at", "id"],
        unique=False,
        sqlite_where=sa.text("state IN ('DUE', 'RUNNING')"),
        postgresql_where=sa.text("state IN ('DUE', 'RUNNING')"),
    )
    op.create_table(
        "payment_method",
        sa.Column("code", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_method")),
        sa.UniqueConstraint("code", name=op.f("uq_payment_method_code")),
    )
    op.create_table(
        "unit",
        sa.Column("code", sa.String(length=12), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column(
            "kind",
            sa.Enum("FIAT", "E_MONEY", "BONUS", name="unit_kind", native_enum=False, create_constraint=True, length=24),
            nullable=False,
        ),
        sa.Column("scale", INTEGER, nullable=False),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint("scale BETWEEN 0 AND 8", name=op.f("ck_unit_scale_0_to_8")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_unit")),
        sa.UniqueConstraint("code", name=op.f("uq_unit_code")),
    )
    op.create_table(
        "user_preference",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("staff_id", INTEGER, nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("value", JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_preference")),
        sa.UniqueConstraint("staff_id", "name", name=op.f("uq_user_preference_staff_id_name")),
    )
    op.create_table(
        "action_item",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("run_id", INTEGER, nullable=False),
        sa.Column("row_id", INTEGER, nullable=False),
        sa.Column("label", sa.String(length=200), nullable=True),
        sa.Column(
            "state",
            sa.Enum(
                "WAITING",
                "RUNNING",
                "SUCCEEDED",
                "FAILED",
                "SKIPPED",
                name="item_state",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("attempt", INTEGER, nullable=False),
        sa.Column("answers", JSON, nullable=True),
        sa.Column("sentence", sa.String(length=300), nullable=True),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["action_run.id"], name=op.f("fk_action_item_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_action_item")),
        sa.UniqueConstraint("run_id", "row_id", name=op.f("uq_action_item_run_id_row_id")),
    )
    op.create_index("ix_action_item_run_id_state_id", "action_item", ["run_id", "state", "id"], unique=False)
    op.create_table(
        "customer",
        sa.Column(
            "external_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "kind",
            sa.Enum(
                "INDIVIDUAL", "MERCHANT", name="customer_kind", native_enum=False, create_constraint=True, length=24
            ),
            nullable=False,
        ),
        sa.Column("organization_id", INTEGER, nullable=True),
        sa.Column(
            "name",
            sa.String(length=200).with_variant(sa.String(length=200, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "username",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=True,
        ),
        sa.Column(
            "email",
            sa.String(length=254).with_variant(sa.String(length=254, collation="C"), "postgresql"),
            nullable=True,
        ),
        sa.Column(
            "phone", sa.String(length=32).with_variant(sa.String(length=32, collation="C"), "postgresql"), nullable=True
        ),
        sa.Column("notification_channels", JSON, nullable=False),
        sa.Column("locale", sa.String(length=16), nullable=False),
        sa.Column(
            "status",
            sa.Enum("ACTIVE", "BLOCKED", name="customer_status", native_enum=False, create_constraint=True, length=24),
            nullable=False,
        ),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.ForeignKeyConstraint(["organization_id"], ["organization.id"], name=op.f("fk_customer_organization_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customer")),
        sa.UniqueConstraint("external_id", name=op.f("uq_customer_external_id")),
        sa.UniqueConstraint("username", name=op.f("uq_customer_username")),
    )
    op.create_index("ix_customer_created_at_id", "customer", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_customer_email"), "customer", ["email"], unique=False)
    op.create_index(op.f("ix_customer_name"), "customer", ["name"], unique=False)
    op.create_index(op.f("ix_customer_organization_id"), "customer", ["organization_id"], unique=False)
    op.create_index(op.f("ix_customer_phone"), "customer", ["phone"], unique=False)
    op.create_table(
        "staff_user",
        sa.Column("username", sa.String(length=64), nullable=False),
        sa.Column("full_name", sa.String(length=120), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("mobile", sa.String(length=32), nullable=True),
        sa.Column("organization_id", INTEGER, nullable=True),
        sa.Column("parent_id", INTEGER, nullable=True),
        sa.Column(
            "status",
            sa.Enum(
                "INVITED",
                "ACTIVE",
                "LOCKED",
                "DISABLED",
                name="staff_status",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("menu_access", JSON, nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=True),
        sa.Column("must_change_password", sa.Boolean(), nullable=False),
        sa.Column("password_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("session_epoch", INTEGER, nullable=False),
        sa.Column("last_login_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint("session_epoch >= 1", name=op.f("ck_staff_user_session_epoch")),
        sa.CheckConstraint("username = lower(username)", name=op.f("ck_staff_user_username_lower")),
        sa.ForeignKeyConstraint(["organization_id"], ["organization.id"], name=op.f("fk_staff_user_organization_id")),
        sa.ForeignKeyConstraint(["parent_id"], ["staff_user.id"], name=op.f("fk_staff_user_parent_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff_user")),
        sa.UniqueConstraint("email", name=op.f("uq_staff_user_email")),
        sa.UniqueConstraint("username", name=op.f("uq_staff_user_username")),
    )
    op.create_index(op.f("ix_staff_user_organization_id"), "staff_user", ["organization_id"], unique=False)
    op.create_index(op.f("ix_staff_user_parent_id"), "staff_user", ["parent_id"], unique=False)
    op.create_index(op.f("ix_staff_user_status"), "staff_user", ["status"], unique=False)
    op.create_table(
        "password_history",
        sa.Column("staff_id", INTEGER, nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=False),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.ForeignKeyConstraint(["staff_id"], ["staff_user.id"], name=op.f("fk_password_history_staff_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_password_history")),
    )
    op.create_index(op.f("ix_password_history_staff_id"), "password_history", ["staff_id"], unique=False)
    op.create_table(
        "recovery_code",
        sa.Column("staff_id", INTEGER, nullable=False),
        sa.Column("code_hash", sa.String(length=64), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.ForeignKeyConstraint(["staff_id"], ["staff_user.id"], name=op.f("fk_recovery_code_staff_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recovery_code")),
        sa.UniqueConstraint("code_hash", name=op.f("uq_recovery_code_code_hash")),
    )
    op.create_index(op.f("ix_recovery_code_staff_id"), "recovery_code", ["staff_id"], unique=False)
    op.create_table(
        "second_factor",
        sa.Column("staff_id", INTEGER, nullable=False),
        sa.Column("sealed", sa.String(length=255), nullable=True),
        sa.Column("sealed_pending", sa.String(length=255), nullable=True),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_step", INTEGER, nullable=False),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.ForeignKeyConstraint(["staff_id"], ["staff_user.id"], name=op.f("fk_second_factor_staff_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_second_factor")),
        sa.UniqueConstraint("staff_id", name=op.f("uq_second_factor_staff_id")),
    )
    op.create_table(
        "spent_offer",
        sa.Column("nonce", sa.String(length=64), nullable=False),
        sa.Column("staff_id", INTEGER, nullable=False),
        sa.Column("act", sa.String(length=100), nullable=False),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.ForeignKeyConstraint(["staff_id"], ["staff_user.id"], name=op.f("fk_spent_offer_staff_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_spent_offer")),
        sa.UniqueConstraint("nonce", name=op.f("uq_spent_offer_nonce")),
    )
    op.create_index(op.f("ix_spent_offer_staff_id"), "spent_offer", ["staff_id"], unique=False)
    op.create_table(
        "staff_user_role",
        sa.Column("staff_id", INTEGER, nullable=False),
        sa.Column(
            "role",
            sa.Enum(
                "ADMIN",
                "CFO",
                "FINANCIAL_SPECIALIST",
                "ACCOUNTANT",
                "CASHIER",
                "COMPLIANCE",
                "ANTI_FRAUD",
                "SUPPORT_MANAGER",
                "SUPPORT_AGENT",
                "ISSUER",
                "PARTNER",
                "PAYMENTS_OPERATOR",
                name="role",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.ForeignKeyConstraint(["staff_id"], ["staff_user.id"], name=op.f("fk_staff_user_role_staff_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff_user_role")),
        sa.UniqueConstraint("staff_id", "role", name=op.f("uq_staff_user_role_staff_id_role")),
    )
    op.create_table(
        "subscription",
        sa.Column(
            "subscription_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "billing_number",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("customer_id", INTEGER, nullable=False),
        sa.Column("merchant_id", INTEGER, nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("method", sa.String(length=40), nullable=False),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_subscription_amount_positive")),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_subscription_customer_id")),
        sa.ForeignKeyConstraint(["merchant_id"], ["organization.id"], name=op.f("fk_subscription_merchant_id")),
        sa.ForeignKeyConstraint(["unit"], ["unit.code"], name=op.f("fk_subscription_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscription")),
        sa.UniqueConstraint("subscription_id", name=op.f("uq_subscription_subscription_id")),
    )
    op.create_index(op.f("ix_subscription_billing_number"), "subscription", ["billing_number"], unique=False)
    op.create_index("ix_subscription_created_at_id", "subscription", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_subscription_customer_id"), "subscription", ["customer_id"], unique=False)
    op.create_index("uq_subscription_merchant_billing", "subscription", ["merchant_id", "billing_number"], unique=True)
    op.create_table(
        "user_session",
        sa.Column("staff_id", INTEGER, nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("epoch", INTEGER, nullable=False),
        sa.Column("ip", sa.String(length=45), nullable=False),
        sa.Column("agent", sa.String(length=200), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "ended_because",
            sa.Enum(
                "SIGNED_OUT",
                "REVOKED",
                "ENDED_BY_MANAGER",
                "ACCOUNT_CHANGED",
                name="session_end",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=True,
        ),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.ForeignKeyConstraint(["staff_id"], ["staff_user.id"], name=op.f("fk_user_session_staff_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_session")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_user_session_token_hash")),
    )
    op.create_index(
        "ix_user_session_open", "user_session", ["staff_id"], unique=False, postgresql_where=sa.text("ended_at IS NULL")
    )
    op.create_table(
        "payment",
        sa.Column(
            "transaction_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "invoice_number",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "billing_number",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=True,
        ),
        sa.Column("merchant_id", INTEGER, nullable=False),
        sa.Column("customer_id", INTEGER, nullable=False),
        sa.Column("subscription_id", INTEGER, nullable=True),
        sa.Column(
            "type",
            sa.Enum(
                "DIRECT",
                "SUBSCRIPTION",
                "PAY_BY_LINK",
                name="payment_type",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column(
            "channel",
            sa.Enum(
                "WEB",
                "MOBILE_APP",
                "CALL_CENTRE",
                "POINT_OF_SALE",
                "API",
                name="channel",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("method", sa.String(length=40), nullable=False),
        sa.Column("description", sa.String(length=300), nullable=True),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("billed_amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("billed_unit", sa.String(length=12), nullable=True),
        sa.Column(
            "status",
            sa.Enum(
                "CREATED",
                "AUTHORIZED",
                "PENDING",
                "UNKNOWN",
                "PAID",
                "PARTIALLY_REFUNDED",
                "TOTALLY_REFUNDED",
                "FAILED",
                "CANCELLED",
                "VOIDED",
                "CHARGED_BACK",
                name="payment_status",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("captured_minor", sa.BigInteger(), nullable=False),
        sa.Column("reserved_minor", sa.BigInteger(), nullable=False),
        sa.Column("refunded_minor", sa.BigInteger(), nullable=False),
        sa.Column(
            "in_flight",
            sa.Enum("REFUND", "VOID", name="in_flight", native_enum=False, create_constraint=True, length=24),
            nullable=True,
        ),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("response_code", sa.String(length=40), nullable=True),
        sa.Column(
            "approval_code",
            sa.String(length=40).with_variant(sa.String(length=40, collation="C"), "postgresql"),
            nullable=True,
        ),
        sa.Column("error_code", sa.String(length=80), nullable=True),
        sa.Column("failure_message", sa.String(length=300), nullable=True),
        sa.Column("provider_payment_id", sa.String(length=128), nullable=True),
        sa.Column("card_token", sa.String(length=128), nullable=True),
        sa.Column("card_fingerprint", sa.String(length=64), nullable=True),
        sa.Column("card_first6", sa.String(length=6), nullable=True),
        sa.Column("card_last4", sa.String(length=4), nullable=True),
        sa.Column("card_issuer", sa.String(length=120), nullable=True),
        sa.Column("card_holder_name", sa.String(length=200), nullable=True),
        sa.Column("card_holder_phone", sa.String(length=32), nullable=True),
        sa.Column(
            "mode",
            sa.Enum("LIVE", "TEST", name="mode", native_enum=False, create_constraint=True, length=24),
            nullable=False,
        ),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_payment_amount_positive")),
        sa.CheckConstraint("captured_minor BETWEEN 0 AND amount_minor", name=op.f("ck_payment_captured_within_amount")),
        sa.CheckConstraint(
            "refunded_minor + reserved_minor <= captured_minor", name=op.f("ck_payment_refunded_within_captured")
        ),
        sa.CheckConstraint("refunded_minor >= 0", name=op.f("ck_payment_refunded_not_negative")),
        sa.CheckConstraint("reserved_minor >= 0", name=op.f("ck_payment_reserved_not_negative")),
        sa.ForeignKeyConstraint(["billed_unit"], ["unit.code"], name=op.f("fk_payment_billed_unit")),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_payment_customer_id")),
        sa.ForeignKeyConstraint(["merchant_id"], ["organization.id"], name=op.f("fk_payment_merchant_id")),
        sa.ForeignKeyConstraint(["method"], ["payment_method.code"], name=op.f("fk_payment_method")),
        sa.ForeignKeyConstraint(["subscription_id"], ["subscription.id"], name=op.f("fk_payment_subscription_id")),
        sa.ForeignKeyConstraint(["unit"], ["unit.code"], name=op.f("fk_payment_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment")),
        sa.UniqueConstraint("provider_payment_id", name=op.f("uq_payment_provider_payment_id")),
        sa.UniqueConstraint("transaction_id", name=op.f("uq_payment_transaction_id")),
    )
    op.create_index("ix_payment_approval_code_id", "payment", ["approval_code", "id"], unique=False)
    op.create_index("ix_payment_billing_number_id", "payment", ["billing_number", "id"], unique=False)
    op.create_index(op.f("ix_payment_card_fingerprint"), "payment", ["card_fingerprint"], unique=False)
    op.create_index("ix_payment_card_last4_id", "payment", ["card_last4", "id"], unique=False)
    op.create_index(
        "ix_payment_customer_id_created_at_id", "payment", ["customer_id", "created_at", "id"], unique=False
    )
    op.create_index("ix_payment_invoice_number_id", "payment", ["invoice_number", "id"], unique=False)
    op.create_index(
        "ix_payment_merchant_id_created_at_id", "payment", ["merchant_id", "created_at", "id"], unique=False
    )
    op.create_index("ix_payment_mode_created_at_id", "payment", ["mode", "created_at", "id"], unique=False)
    op.create_index(
        "ix_payment_mode_method_created_at_id", "payment", ["mode", "method", "created_at", "id"], unique=False
    )
    op.create_index(
        "ix_payment_mode_status_created_at_id", "payment", ["mode", "status", "created_at", "id"], unique=False
    )
    op.create_index("ix_payment_mode_type_created_at_id", "payment", ["mode", "type", "created_at", "id"], unique=False)
    op.create_index(
        "ix_payment_mode_unit_amount_minor_id", "payment", ["mode", "unit", "amount_minor", "id"], unique=False
    )
    op.create_index(
        "ix_payment_subscription_id_created_at_id", "payment", ["subscription_id", "created_at", "id"], unique=False
    )
    op.create_table(
        "invoice",
        sa.Column(
            "number",
            sa.String(length=32).with_variant(sa.String(length=32, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("payment_id", INTEGER, nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_invoice_payment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoice")),
        sa.UniqueConstraint("number", name=op.f("uq_invoice_number")),
        sa.UniqueConstraint("payment_id", name=op.f("uq_invoice_payment_id")),
    )
    op.create_table(
        "note",
        sa.Column("payment_id", INTEGER, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("author", sa.String(length=100), nullable=False),
        sa.Column("author_id", INTEGER, nullable=True),
        sa.Column("key", sa.String(length=64), nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_note_payment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_note")),
        sa.UniqueConstraint("key", name=op.f("uq_note_key")),
    )
    op.create_index(op.f("ix_note_payment_id"), "note", ["payment_id"], unique=False)
    op.create_table(
        "notification",
        sa.Column("payment_id", INTEGER, nullable=True),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column(
            "recipient",
            sa.String(length=254).with_variant(sa.String(length=254, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("message_id", sa.String(length=200), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "QUEUED",
                "SENT",
                "KEPT",
                "FAILED",
                name="notification_state",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.String(length=300), nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_notification_payment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notification")),
        sa.UniqueConstraint("message_id", name=op.f("uq_notification_message_id")),
    )
    op.create_index("ix_notification_created_at_id", "notification", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_notification_payment_id"), "notification", ["payment_id"], unique=False)
    op.create_index(op.f("ix_notification_recipient"), "notification", ["recipient"], unique=False)
    op.create_table(
        "payment_event",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("payment_id", INTEGER, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "CREATED",
                "AUTHORIZED",
                "PENDING",
                "UNKNOWN",
                "PAID",
                "PARTIALLY_REFUNDED",
                "TOTALLY_REFUNDED",
                "FAILED",
                "CANCELLED",
                "VOIDED",
                "CHARGED_BACK",
                name="payment_status",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("event", sa.String(length=80), nullable=False),
        sa.Column("refunded_minor", sa.BigInteger(), nullable=True),
        sa.Column("actor_name", sa.String(length=100), nullable=False),
        sa.Column("detail", sa.String(length=300), nullable=True),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_payment_event_payment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_event")),
    )
    op.create_index("ix_payment_event_payment_id_id", "payment_event", ["payment_id", "id"], unique=False)
    op.create_table(
        "refund",
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("key", sa.String(length=120), nullable=False),
        sa.Column("provider_key", sa.String(length=64), nullable=False),
        sa.Column(
            "reference",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "status",
            sa.Enum(
                "REQUESTED",
                "PENDING_APPROVAL",
                "STALE",
                "QUEUED",
                "SUBMITTED",
                "UNKNOWN",
                "SUCCEEDED",
                "FAILED",
                "REJECTED",
                "CANCELLED",
                "EXPIRED",
                name="order_status",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column(
            "reason",
            sa.Enum(
                "REQUESTED_BY_CUSTOMER",
                "DUPLICATE",
                "FRAUDULENT",
                "NOT_DELIVERED",
                "IMPORTED",
                "OTHER",
                name="refund_reason",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("requested_by_id", INTEGER, nullable=True),
        sa.Column("requested_by", sa.String(length=100), nullable=False),
        sa.Column("provider_id", sa.String(length=128), nullable=True),
        sa.Column("fence", INTEGER, nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("first_sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("checks", INTEGER, nullable=False),
        sa.Column("needs_staff", sa.Boolean(), nullable=False),
        sa.Column("code", sa.String(length=80), nullable=True),
        sa.Column("message", sa.String(length=300), nullable=True),
        sa.Column("payment_id", INTEGER, nullable=False),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_refund_amount_positive")),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_refund_payment_id")),
        sa.ForeignKeyConstraint(["unit"], ["unit.code"], name=op.f("fk_refund_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refund")),
        sa.UniqueConstraint("key", name=op.f("uq_refund_key")),
        sa.UniqueConstraint("provider_id", name=op.f("uq_refund_provider_id")),
        sa.UniqueConstraint("provider_key", name=op.f("uq_refund_provider_key")),
        sa.UniqueConstraint("reference", name=op.f("uq_refund_reference")),
    )
    op.create_index(op.f("ix_refund_payment_id"), "refund", ["payment_id"], unique=False)
    op.create_table(
        "void_request",
        sa.Column("key", sa.String(length=120), nullable=False),
        sa.Column("provider_key", sa.String(length=64), nullable=False),
        sa.Column(
            "reference",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "status",
            sa.Enum(
                "REQUESTED",
                "PENDING_APPROVAL",
                "STALE",
                "QUEUED",
                "SUBMITTED",
                "UNKNOWN",
                "SUCCEEDED",
                "FAILED",
                "REJECTED",
                "CANCELLED",
                "EXPIRED",
                name="order_status",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column(
            "reason",
            sa.Enum(
                "REQUESTED_BY_CUSTOMER",
                "DUPLICATE",
                "FRAUDULENT",
                "NOT_DELIVERED",
                "IMPORTED",
                "OTHER",
                name="refund_reason",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("requested_by_id", INTEGER, nullable=True),
        sa.Column("requested_by", sa.String(length=100), nullable=False),
        sa.Column("provider_id", sa.String(length=128), nullable=True),
        sa.Column("fence", INTEGER, nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("first_sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("checks", INTEGER, nullable=False),
        sa.Column("needs_staff", sa.Boolean(), nullable=False),
        sa.Column("code", sa.String(length=80), nullable=True),
        sa.Column("message", sa.String(length=300), nullable=True),
        sa.Column("payment_id", INTEGER, nullable=False),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_void_request_payment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_void_request")),
        sa.UniqueConstraint("key", name=op.f("uq_void_request_key")),
        sa.UniqueConstraint("provider_id", name=op.f("uq_void_request_provider_id")),
        sa.UniqueConstraint("provider_key", name=op.f("uq_void_request_provider_key")),
        sa.UniqueConstraint("reference", name=op.f("uq_void_request_reference")),
    )
    op.create_index(op.f("ix_void_request_payment_id"), "void_request", ["payment_id"], unique=False)
    op.create_index(
        "uq_void_request_alive",
        "void_request",
        ["payment_id"],
        unique=True,
        sqlite_where=sa.text("status NOT IN ('FAILED', 'REJECTED', 'CANCELLED', 'EXPIRED')"),
        postgresql_where=sa.text("status NOT IN ('FAILED', 'REJECTED', 'CANCELLED', 'EXPIRED')"),
    )
    for statement in TRIGGERS[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    op.drop_table("void_request")
    op.drop_table("refund")
    op.drop_table("payment_event")
    op.drop_table("notification")
    op.drop_table("note")
    op.drop_table("invoice")
    op.drop_table("payment")
    op.drop_table("user_session")
    op.drop_table("subscription")
    op.drop_table("staff_user_role")
    op.drop_table("spent_offer")
    op.drop_table("second_factor")
    op.drop_table("recovery_code")
    op.drop_table("password_history")
    op.drop_table("staff_user")
    op.drop_table("customer")
    op.drop_table("action_item")
    op.drop_table("user_preference")
    op.drop_table("unit")
    op.drop_table("payment_method")
    op.drop_table("outbox_message")
    op.drop_table("organization")
    op.drop_table("login_guard")
    op.drop_table("invoice_counter")
    op.drop_table("import_file")
    op.drop_table("heartbeat")
    op.drop_table("audit_event")
    op.drop_table("action_run")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_change()")
