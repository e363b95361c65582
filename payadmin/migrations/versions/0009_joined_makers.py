"""A waiting request can be decided although its maker's account was joined to another person's meanwhile."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# The triggers call the function by its name, so replacing it is enough.
NOW = "CREATE OR REPLACE FUNCTION keep_approval_request() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF TG_OP IN ('DELETE', 'TRUNCATE') THEN RAISE EXCEPTION 'an approval request is written once, decided once and never deleted'; END IF; IF TG_OP = 'UPDATE' AND (OLD.status <> 'PENDING' OR NEW.kind IS DISTINCT FROM OLD.kind OR NEW.title IS DISTINCT FROM OLD.title OR NEW.amount_minor IS DISTINCT FROM OLD.amount_minor OR NEW.unit IS DISTINCT FROM OLD.unit OR NEW.use_case IS DISTINCT FROM OLD.use_case OR NEW.payload IS DISTINCT FROM OLD.payload OR NEW.payload_hash IS DISTINCT FROM OLD.payload_hash OR NEW.effects IS DISTINCT FROM OLD.effects OR NEW.reasons IS DISTINCT FROM OLD.reasons OR NEW.reason IS DISTINCT FROM OLD.reason OR NEW.key IS DISTINCT FROM OLD.key OR NEW.target_table IS DISTINCT FROM OLD.target_table OR NEW.target_id IS DISTINCT FROM OLD.target_id OR NEW.target_version IS DISTINCT FROM OLD.target_version OR NEW.target_key IS DISTINCT FROM OLD.target_key OR NEW.seen IS DISTINCT FROM OLD.seen OR NEW.maker_id IS DISTINCT FROM OLD.maker_id OR NEW.maker_person_id IS DISTINCT FROM OLD.maker_person_id OR NEW.maker_name IS DISTINCT FROM OLD.maker_name OR NEW.expires_at IS DISTINCT FROM OLD.expires_at OR NEW.created_at IS DISTINCT FROM OLD.created_at) THEN RAISE EXCEPTION 'an approval request is written once, decided once and never deleted'; END IF; IF (TG_OP = 'INSERT' AND NEW.maker_person_id <> (SELECT coalesce(person_id, id) FROM staff_user WHERE id = NEW.maker_id)) OR NEW.checker_person_id <> (SELECT coalesce(person_id, id) FROM staff_user WHERE id = NEW.checker_id) THEN RAISE EXCEPTION 'the person of an approval request is not the person of its account'; END IF; IF NEW.checker_person_id = (SELECT coalesce(person_id, id) FROM staff_user WHERE id = NEW.maker_id) THEN RAISE EXCEPTION 'nobody decides a request of their own, whichever of their accounts asked for it'; END IF; RETURN NEW; END $$"
BEFORE = "CREATE OR REPLACE FUNCTION keep_approval_request() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF TG_OP IN ('DELETE', 'TRUNCATE') THEN RAISE EXCEPTION 'an approval request is written once, decided once and never deleted'; END IF; IF TG_OP = 'UPDATE' AND (OLD.status <> 'PENDING' OR NEW.kind IS DISTINCT FROM OLD.kind OR NEW.title IS DISTINCT FROM OLD.title OR NEW.amount_minor IS DISTINCT FROM OLD.amount_minor OR NEW.unit IS DISTINCT FROM OLD.unit OR NEW.use_case IS DISTINCT FROM OLD.use_case OR NEW.payload IS DISTINCT FROM OLD.payload OR NEW.payload_hash IS DISTINCT FROM OLD.payload_hash OR NEW.effects IS DISTINCT FROM OLD.effects OR NEW.reasons IS DISTINCT FROM OLD.reasons OR NEW.reason IS DISTINCT FROM OLD.reason OR NEW.key IS DISTINCT FROM OLD.key OR NEW.target_table IS DISTINCT FROM OLD.target_table OR NEW.target_id IS DISTINCT FROM OLD.target_id OR NEW.target_version IS DISTINCT FROM OLD.target_version OR NEW.target_key IS DISTINCT FROM OLD.target_key OR NEW.seen IS DISTINCT FROM OLD.seen OR NEW.maker_id IS DISTINCT FROM OLD.maker_id OR NEW.maker_person_id IS DISTINCT FROM OLD.maker_person_id OR NEW.maker_name IS DISTINCT FROM OLD.maker_name OR NEW.expires_at IS DISTINCT FROM OLD.expires_at OR NEW.created_at IS DISTINCT FROM OLD.created_at) THEN RAISE EXCEPTION 'an approval request is written once, decided once and never deleted'; END IF; IF NEW.maker_person_id <> (SELECT coalesce(person_id, id) FROM staff_user WHERE id = NEW.maker_id) OR NEW.checker_person_id <> (SELECT coalesce(person_id, id) FROM staff_user WHERE id = NEW.checker_id) THEN RAISE EXCEPTION 'the person of an approval request is not the person of its account'; END IF; RETURN NEW; END $$"
OWN = "CREATE TRIGGER approval_request_own BEFORE UPDATE ON approval_request WHEN NEW.checker_person_id = (SELECT coalesce(person_id, id) FROM staff_user WHERE id = NEW.maker_id) BEGIN SELECT RAISE(ABORT, 'nobody decides a request of their own, whichever of their accounts asked for it'); END"


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(NOW)
    else:
        op.execute(OWN)


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(BEFORE)
    else:
        op.execute("DROP TRIGGER approval_request_own")
