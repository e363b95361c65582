CREATE TABLE account_link (
	staff_id INTEGER NOT NULL,
	purpose VARCHAR(24) NOT NULL,
	nonce VARCHAR(22) NOT NULL,
	token_hash VARCHAR(64) NOT NULL,
	expires_at DATETIME NOT NULL,
	used_at DATETIME,
	ended_at DATETIME,
	email_change_id INTEGER,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_account_link PRIMARY KEY (id),
	CONSTRAINT ck_account_link_used_or_ended CHECK (used_at IS NULL OR ended_at IS NULL),
	CONSTRAINT fk_account_link_email_change_id FOREIGN KEY(email_change_id) REFERENCES email_change (id),
	CONSTRAINT fk_account_link_staff_id FOREIGN KEY(staff_id) REFERENCES staff_user (id),
	CONSTRAINT uq_account_link_token_hash UNIQUE (token_hash),
	CONSTRAINT ck_account_link_link_purpose CHECK (purpose IN ('CREDENTIALS', 'PASSWORD', 'OLD_ADDRESS', 'NEW_ADDRESS'))
);
CREATE INDEX ix_account_link_email_change_id ON account_link (email_change_id);
CREATE INDEX ix_account_link_staff_id ON account_link (staff_id);
CREATE TABLE accounting_period (
	id INTEGER NOT NULL,
	first_day DATE NOT NULL,
	last_day DATE NOT NULL,
	closed_by VARCHAR(100) NOT NULL,
	closed_by_id INTEGER,
	reason VARCHAR(200) NOT NULL,
	transactions BIGINT NOT NULL,
	created_at DATETIME NOT NULL,
	CONSTRAINT pk_accounting_period PRIMARY KEY (id),
	CONSTRAINT ck_accounting_period_first_before_last CHECK (first_day <= last_day),
	CONSTRAINT uq_accounting_period_first_day UNIQUE (first_day),
	CONSTRAINT uq_accounting_period_last_day UNIQUE (last_day)
);
CREATE TRIGGER accounting_period_close BEFORE INSERT ON accounting_period BEGIN SELECT RAISE(ABORT, 'ledger: a closed period reaches into this one') WHERE EXISTS (SELECT 1 FROM accounting_period p WHERE p.last_day >= NEW.first_day); END;
CREATE TRIGGER accounting_period_no_delete BEFORE DELETE ON accounting_period BEGIN SELECT RAISE(ABORT, 'accounting_period is append-only'); END;
CREATE TRIGGER accounting_period_no_update BEFORE UPDATE ON accounting_period BEGIN SELECT RAISE(ABORT, 'accounting_period is append-only'); END;
CREATE INDEX ix_accounting_period_created_at_id ON accounting_period (created_at, id);
CREATE TABLE action_item (
	id INTEGER NOT NULL,
	run_id INTEGER NOT NULL,
	row_id INTEGER NOT NULL,
	label VARCHAR(200),
	state VARCHAR(24) NOT NULL,
	attempt INTEGER NOT NULL,
	answers JSON,
	sentence VARCHAR(300),
	done_at DATETIME, approval_id INTEGER CONSTRAINT fk_action_item_approval_id REFERENCES approval_request (id),
	CONSTRAINT pk_action_item PRIMARY KEY (id),
	CONSTRAINT fk_action_item_run_id FOREIGN KEY(run_id) REFERENCES action_run (id),
	CONSTRAINT uq_action_item_run_id_row_id UNIQUE (run_id, row_id),
	CONSTRAINT ck_action_item_item_state CHECK (state IN ('WAITING', 'RUNNING', 'SUCCEEDED', 'FAILED', 'SKIPPED'))
);
CREATE INDEX ix_action_item_approval_id ON action_item (approval_id);
CREATE INDEX ix_action_item_run_id_state_id ON action_item (run_id, state, id);
CREATE TABLE action_run (
	id INTEGER NOT NULL,
	token VARCHAR(64) NOT NULL,
	actor_id INTEGER NOT NULL,
	actor_name VARCHAR(100) NOT NULL,
	page VARCHAR(64) NOT NULL,
	action VARCHAR(64) NOT NULL,
	handler VARCHAR(80) NOT NULL,
	state VARCHAR(24) NOT NULL,
	chosen VARCHAR(2000),
	total INTEGER NOT NULL,
	answers JSON,
	created_at DATETIME NOT NULL,
	queued_at DATETIME,
	done_at DATETIME,
	CONSTRAINT pk_action_run PRIMARY KEY (id),
	CONSTRAINT uq_action_run_token UNIQUE (token),
	CONSTRAINT ck_action_run_run_state CHECK (state IN ('DRAFT', 'QUEUED', 'DONE'))
);
CREATE INDEX ix_action_run_actor_id_id ON action_run (actor_id, id);
CREATE TABLE api_answer (
	api_key_id INTEGER NOT NULL,
	"key" VARCHAR(64) NOT NULL,
	request_hash VARCHAR(64) NOT NULL,
	body JSON,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_api_answer PRIMARY KEY (id),
	CONSTRAINT fk_api_answer_api_key_id FOREIGN KEY(api_key_id) REFERENCES api_key (id),
	CONSTRAINT uq_api_answer_api_key_id_key UNIQUE (api_key_id, "key")
);
CREATE INDEX ix_api_answer_created_at ON api_answer (created_at);
CREATE TABLE api_key (
	name VARCHAR(80) NOT NULL,
	organization_id INTEGER NOT NULL,
	prefix VARCHAR(12) NOT NULL,
	secret_hash VARCHAR(64) NOT NULL,
	scopes JSON NOT NULL,
	status VARCHAR(24) DEFAULT 'ACTIVE' NOT NULL,
	expires_at DATETIME NOT NULL,
	last_used_at DATETIME,
	last_used_ip VARCHAR(45),
	made_by VARCHAR(100) NOT NULL,
	revoked_at DATETIME,
	revoked_by VARCHAR(100),
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_api_key PRIMARY KEY (id),
	CONSTRAINT ck_api_key_revoked_has_time CHECK ((status = 'REVOKED') = (revoked_at IS NOT NULL)),
	CONSTRAINT ck_api_key_expires_later CHECK (expires_at > created_at),
	CONSTRAINT fk_api_key_organization_id FOREIGN KEY(organization_id) REFERENCES organization (id),
	CONSTRAINT uq_api_key_prefix UNIQUE (prefix),
	CONSTRAINT ck_api_key_api_key_status CHECK (status IN ('ACTIVE', 'REVOKED'))
);
CREATE INDEX ix_api_key_created_at_id ON api_key (created_at, id);
CREATE INDEX ix_api_key_name ON api_key (name);
CREATE INDEX ix_api_key_organization_id ON api_key (organization_id);
CREATE INDEX ix_api_key_status ON api_key (status);
CREATE TABLE approval_policy (
	rule VARCHAR(40) NOT NULL,
	unit VARCHAR(12),
	threshold_minor BIGINT,
	is_on BOOLEAN NOT NULL,
	expires_hours INTEGER NOT NULL,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_approval_policy PRIMARY KEY (id),
	CONSTRAINT ck_approval_policy_threshold_has_unit CHECK ((unit IS NULL) = (threshold_minor IS NULL)),
	CONSTRAINT ck_approval_policy_expiry_in_range CHECK (expires_hours BETWEEN 1 AND 720),
	CONSTRAINT ck_approval_policy_threshold_not_negative CHECK (threshold_minor >= 0),
	CONSTRAINT fk_approval_policy_unit FOREIGN KEY(unit) REFERENCES unit (code),
	CONSTRAINT uq_approval_policy_rule_unit UNIQUE (rule, unit)
);
CREATE UNIQUE INDEX uq_approval_policy_rule_alone ON approval_policy (rule) WHERE unit IS NULL;
CREATE TABLE approval_request (
	kind VARCHAR(40) NOT NULL,
	title VARCHAR(300) NOT NULL,
	amount_minor BIGINT,
	unit VARCHAR(12),
	status VARCHAR(24) NOT NULL,
	use_case VARCHAR(80) NOT NULL,
	payload JSON NOT NULL,
	payload_hash VARCHAR(64) NOT NULL,
	effects JSON NOT NULL,
	reasons JSON NOT NULL,
	reason TEXT,
	"key" VARCHAR(120),
	target_table VARCHAR(64) NOT NULL,
	target_id INTEGER,
	target_version INTEGER,
	target_key VARCHAR(160) NOT NULL,
	seen JSON NOT NULL,
	maker_id INTEGER NOT NULL,
	maker_person_id BIGINT NOT NULL,
	maker_name VARCHAR(100) NOT NULL,
	expires_at DATETIME NOT NULL,
	checker_id INTEGER,
	checker_person_id BIGINT,
	decided_by VARCHAR(100),
	decided_at DATETIME,
	decision_reason TEXT,
	message VARCHAR(300),
	differences JSON,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_approval_request PRIMARY KEY (id),
	CONSTRAINT ck_approval_request_decided_by_somebody CHECK (status NOT IN ('APPLIED', 'REJECTED') OR checker_id IS NOT NULL),
	CONSTRAINT ck_approval_request_checker_has_person CHECK ((checker_id IS NULL) = (checker_person_id IS NULL)),
	CONSTRAINT ck_approval_request_target_has_version CHECK ((target_id IS NULL) = (target_version IS NULL)),
	CONSTRAINT ck_approval_request_amount_has_unit CHECK ((unit IS NULL) = (amount_minor IS NULL)),
	CONSTRAINT ck_approval_request_checker_is_another_person CHECK (checker_person_id <> maker_person_id),
	CONSTRAINT fk_approval_request_checker_id FOREIGN KEY(checker_id) REFERENCES staff_user (id),
	CONSTRAINT fk_approval_request_maker_id FOREIGN KEY(maker_id) REFERENCES staff_user (id),
	CONSTRAINT fk_approval_request_unit FOREIGN KEY(unit) REFERENCES unit (code),
	CONSTRAINT uq_approval_request_key UNIQUE ("key"),
	CONSTRAINT ck_approval_request_approval_status CHECK (status IN ('PENDING', 'APPLIED', 'REJECTED', 'CANCELLED', 'EXPIRED', 'STALE', 'FAILED'))
);
CREATE TRIGGER approval_request_checker BEFORE UPDATE ON approval_request WHEN NEW.checker_person_id <> (SELECT coalesce(person_id, id) FROM staff_user WHERE id = NEW.checker_id) BEGIN SELECT RAISE(ABORT, 'the person of an approval request is not the person of its account'); END;
CREATE TRIGGER approval_request_maker BEFORE INSERT ON approval_request WHEN NEW.maker_person_id <> (SELECT coalesce(person_id, id) FROM staff_user WHERE id = NEW.maker_id) BEGIN SELECT RAISE(ABORT, 'the person of an approval request is not the person of its account'); END;
CREATE TRIGGER approval_request_no_delete BEFORE DELETE ON approval_request WHEN 1 BEGIN SELECT RAISE(ABORT, 'an approval request is written once, decided once and never deleted'); END;
CREATE TRIGGER approval_request_own BEFORE UPDATE ON approval_request WHEN NEW.checker_person_id = (SELECT coalesce(person_id, id) FROM staff_user WHERE id = NEW.maker_id) BEGIN SELECT RAISE(ABORT, 'nobody decides a request of their own, whichever of their accounts asked for it'); END;
CREATE TRIGGER approval_request_written_once BEFORE UPDATE ON approval_request WHEN OLD.status <> 'PENDING' OR NEW.kind IS NOT OLD.kind OR NEW.title IS NOT OLD.title OR NEW.amount_minor IS NOT OLD.amount_minor OR NEW.unit IS NOT OLD.unit OR NEW.use_case IS NOT OLD.use_case OR NEW.payload IS NOT OLD.payload OR NEW.payload_hash IS NOT OLD.payload_hash OR NEW.effects IS NOT OLD.effects OR NEW.reasons IS NOT OLD.reasons OR NEW.reason IS NOT OLD.reason OR NEW.key IS NOT OLD.key OR NEW.target_table IS NOT OLD.target_table OR NEW.target_id IS NOT OLD.target_id OR NEW.target_version IS NOT OLD.target_version OR NEW.target_key IS NOT OLD.target_key OR NEW.seen IS NOT OLD.seen OR NEW.maker_id IS NOT OLD.maker_id OR NEW.maker_person_id IS NOT OLD.maker_person_id OR NEW.maker_name IS NOT OLD.maker_name OR NEW.expires_at IS NOT OLD.expires_at OR NEW.created_at IS NOT OLD.created_at BEGIN SELECT RAISE(ABORT, 'an approval request is written once, decided once and never deleted'); END;
CREATE INDEX ix_approval_request_checker_id_id ON approval_request (checker_id, id);
CREATE INDEX ix_approval_request_created_at_id ON approval_request (created_at, id);
CREATE INDEX ix_approval_request_kind_created_at_id ON approval_request (kind, created_at, id);
CREATE INDEX ix_approval_request_maker_id_created_at_id ON approval_request (maker_id, created_at, id);
CREATE INDEX ix_approval_request_maker_name_id ON approval_request (maker_name, id);
CREATE INDEX ix_approval_request_status_created_at_id ON approval_request (status, created_at, id);
CREATE INDEX ix_approval_request_target_table_target_id_id ON approval_request (target_table, target_id, id);
CREATE INDEX ix_approval_request_unit_amount_minor_id ON approval_request (unit, amount_minor, id);
CREATE UNIQUE INDEX uq_approval_request_waiting ON approval_request (kind, target_key) WHERE status = 'PENDING';
CREATE TABLE audit_check (
	id INTEGER NOT NULL,
	started_at DATETIME NOT NULL,
	done_at DATETIME,
	asked_by VARCHAR(100) NOT NULL,
	seal_id INTEGER NOT NULL,
	seal_mac VARCHAR(64) NOT NULL,
	last_id INTEGER NOT NULL,
	events INTEGER NOT NULL,
	unsealed INTEGER NOT NULL,
	adopted INTEGER NOT NULL,
	broken INTEGER NOT NULL,
	breaks JSON,
	CONSTRAINT pk_audit_check PRIMARY KEY (id)
);
CREATE TABLE audit_event (
	id INTEGER NOT NULL,
	at DATETIME NOT NULL,
	actor_id INTEGER,
	actor_name VARCHAR(100) NOT NULL,
	roles VARCHAR(300) NOT NULL,
	ip VARCHAR(45),
	request_id VARCHAR(64),
	event VARCHAR(80) NOT NULL,
	outcome VARCHAR(16) NOT NULL,
	entity VARCHAR(64),
	entity_id VARCHAR(64),
	"before" JSON,
	"after" JSON,
	keys JSON,
	reason TEXT, signature VARCHAR(64),
	CONSTRAINT pk_audit_event PRIMARY KEY (id)
);
CREATE TRIGGER audit_event_fill_keys AFTER INSERT ON audit_event WHEN NEW.keys IS NOT NULL BEGIN INSERT OR IGNORE INTO audit_key (value, event_id, name) SELECT CAST(k.value AS TEXT), NEW.id, k.key FROM json_each(NEW.keys) AS k WHERE k.type IN ('text', 'integer') AND length(k.value) BETWEEN 1 AND 100 AND length(k.key) <= 64; END;
CREATE TRIGGER audit_event_no_delete BEFORE DELETE ON audit_event BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER audit_event_no_update BEFORE UPDATE ON audit_event BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE INDEX ix_audit_event_actor_name_at_id ON audit_event (actor_name, at, id);
CREATE INDEX ix_audit_event_at_id ON audit_event (at, id);
CREATE INDEX ix_audit_event_by_people ON audit_event (at, id) WHERE actor_id IS NOT NULL;
CREATE INDEX ix_audit_event_entity_entity_id_id ON audit_event (entity, entity_id, id);
CREATE INDEX ix_audit_event_event_at_id ON audit_event (event, at, id);
CREATE INDEX ix_audit_event_not_done ON audit_event (at, id) WHERE outcome <> 'done';
CREATE TABLE audit_key (
	value VARCHAR(100) NOT NULL,
	event_id INTEGER NOT NULL,
	name VARCHAR(64) NOT NULL,
	CONSTRAINT pk_audit_key PRIMARY KEY (value, event_id, name)
);
CREATE TRIGGER audit_key_no_delete BEFORE DELETE ON audit_key BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER audit_key_no_update BEFORE UPDATE ON audit_key BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TABLE audit_seal (
	id INTEGER NOT NULL,
	at DATETIME NOT NULL,
	first_id INTEGER NOT NULL,
	last_id INTEGER NOT NULL,
	count INTEGER NOT NULL,
	late JSON,
	missing JSON,
	leaves BLOB NOT NULL,
	root VARCHAR(64) NOT NULL,
	adopted BOOLEAN NOT NULL,
	previous VARCHAR(64) NOT NULL,
	mac VARCHAR(64) NOT NULL,
	CONSTRAINT pk_audit_seal PRIMARY KEY (id)
);
CREATE TRIGGER audit_seal_no_delete BEFORE DELETE ON audit_seal BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER audit_seal_no_update BEFORE UPDATE ON audit_seal BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE INDEX ix_audit_seal_last_id ON audit_seal (last_id);
CREATE INDEX ix_audit_seal_late ON audit_seal (id) WHERE late IS NOT NULL;
CREATE TABLE backup (
	id INTEGER NOT NULL,
	at DATETIME NOT NULL,
	host VARCHAR(60) NOT NULL,
	file TEXT NOT NULL,
	size INTEGER NOT NULL,
	sha256 VARCHAR(64) NOT NULL,
	seconds INTEGER NOT NULL,
	head VARCHAR(100) NOT NULL,
	CONSTRAINT pk_backup PRIMARY KEY (id)
);
CREATE INDEX ix_backup_at_id ON backup (at, id);
CREATE TABLE bank_line (
	message_id INTEGER NOT NULL,
	account VARCHAR(34) NOT NULL,
	statement_id VARCHAR(35) NOT NULL,
	number INTEGER NOT NULL,
	reference VARCHAR(35),
	bank_reference VARCHAR(35),
	is_credit BOOLEAN NOT NULL,
	unit VARCHAR(12) NOT NULL,
	amount_minor BIGINT NOT NULL,
	booked_on DATE NOT NULL,
	value_date DATE NOT NULL,
	code VARCHAR(10),
	party VARCHAR(140),
	status VARCHAR(24) NOT NULL,
	mismatch VARCHAR(24),
	problem VARCHAR(300),
	payment_line_id INTEGER,
	decided_at DATETIME,
	decided_by_id INTEGER,
	note VARCHAR(200),
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_bank_line PRIMARY KEY (id),
	CONSTRAINT ck_bank_line_matched_to_a_payment CHECK ((status = 'MATCHED') = (payment_line_id IS NOT NULL)),
	CONSTRAINT ck_bank_line_ignored_by_somebody CHECK (status <> 'IGNORED' OR (note IS NOT NULL AND decided_by_id IS NOT NULL)),
	CONSTRAINT ck_bank_line_unmatched_for_a_reason CHECK (status <> 'UNMATCHED' OR mismatch IS NOT NULL),
	CONSTRAINT ck_bank_line_amount_not_negative CHECK (amount_minor >= 0),
	CONSTRAINT fk_bank_line_decided_by_id FOREIGN KEY(decided_by_id) REFERENCES staff_user (id),
	CONSTRAINT fk_bank_line_message_id FOREIGN KEY(message_id) REFERENCES bank_message (id),
	CONSTRAINT fk_bank_line_payment_line_id FOREIGN KEY(payment_line_id) REFERENCES payment_file_line (id),
	CONSTRAINT uq_bank_line_account_statement_id_number UNIQUE (account, statement_id, number),
	CONSTRAINT ck_bank_line_line_status CHECK (status IN ('NEW', 'UNMATCHED', 'MATCHED', 'IGNORED')),
	CONSTRAINT ck_bank_line_mismatch CHECK (mismatch IN ('NO_REFERENCE', 'NOTHING', 'NOT_RELEASED', 'TWICE', 'RETURNED_TWICE', 'AFTER_REJECTION', 'NOT_PAID', 'OTHER_AMOUNT', 'OTHER_UNIT', 'REFUSED'))
);
CREATE INDEX ix_bank_line_booked_on_id ON bank_line (booked_on, id);
CREATE INDEX ix_bank_line_created_at_id ON bank_line (created_at, id);
CREATE INDEX ix_bank_line_decided_by_id ON bank_line (decided_by_id);
CREATE INDEX ix_bank_line_message_id ON bank_line (message_id);
CREATE INDEX ix_bank_line_payment_line_id_id ON bank_line (payment_line_id, id);
CREATE INDEX ix_bank_line_reference ON bank_line (reference);
CREATE INDEX ix_bank_line_statement_id ON bank_line (statement_id);
CREATE INDEX ix_bank_line_status_id ON bank_line (status, id);
CREATE INDEX ix_bank_line_unit_amount_minor_id ON bank_line (unit, amount_minor, id);
CREATE UNIQUE INDEX uq_bank_line_payment_line_id_is_credit ON bank_line (payment_line_id, is_credit) WHERE status = 'MATCHED';
CREATE TABLE bank_message (
	kind VARCHAR(24) NOT NULL,
	bank_id VARCHAR(35) NOT NULL,
	sha256 VARCHAR(64) NOT NULL,
	content_sealed TEXT NOT NULL,
	received_at DATETIME NOT NULL,
	uploaded_by_id INTEGER,
	file_id INTEGER,
	problem VARCHAR(300),
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_bank_message PRIMARY KEY (id),
	CONSTRAINT fk_bank_message_file_id FOREIGN KEY(file_id) REFERENCES payment_file (id),
	CONSTRAINT fk_bank_message_uploaded_by_id FOREIGN KEY(uploaded_by_id) REFERENCES staff_user (id),
	CONSTRAINT uq_bank_message_kind_bank_id_sha256 UNIQUE (kind, bank_id, sha256),
	CONSTRAINT ck_bank_message_message_kind CHECK (kind IN ('STATUS_REPORT', 'STATEMENT'))
);
CREATE INDEX ix_bank_message_created_at_id ON bank_message (created_at, id);
CREATE INDEX ix_bank_message_file_id ON bank_message (file_id);
CREATE INDEX ix_bank_message_sha256 ON bank_message (sha256);
CREATE INDEX ix_bank_message_uploaded_by_id ON bank_message (uploaded_by_id);
CREATE TABLE batch (
	kind VARCHAR(24) NOT NULL,
	file_name VARCHAR(200) NOT NULL,
	format VARCHAR(8) NOT NULL,
	content_hash VARCHAR(64) NOT NULL,
	status VARCHAR(24) NOT NULL,
	merchant_id INTEGER NOT NULL,
	method VARCHAR(40),
	provider VARCHAR(40),
	uploaded_by VARCHAR(100) NOT NULL,
	columns JSON NOT NULL,
	problems JSON,
	notes JSON NOT NULL,
	totals JSON NOT NULL,
	rows_total INTEGER NOT NULL,
	rows_checked INTEGER NOT NULL,
	rows_valid INTEGER NOT NULL,
	rows_invalid INTEGER NOT NULL,
	rows_done INTEGER NOT NULL,
	rows_refused INTEGER NOT NULL,
	checked_through INTEGER NOT NULL,
	checked_at DATETIME,
	processed_by VARCHAR(100),
	confirmed_at DATETIME,
	processed_at DATETIME,
	replaced_by_id INTEGER,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_batch PRIMARY KEY (id),
	CONSTRAINT ck_batch_payments_all_or_nothing CHECK (kind = 'REGISTRATION' OR status NOT IN ('PROCESSING', 'PROCESSED') OR rows_invalid = 0),
	CONSTRAINT ck_batch_ready_without_errors CHECK (status != 'READY' OR (rows_invalid = 0 AND problems IS NULL)),
	CONSTRAINT ck_batch_processed_within_valid CHECK (rows_done + rows_refused <= rows_valid),
	CONSTRAINT ck_batch_checked_within_total CHECK (rows_valid + rows_invalid <= rows_total),
	CONSTRAINT ck_batch_counts_not_negative CHECK (rows_valid >= 0 AND rows_invalid >= 0),
	CONSTRAINT fk_batch_merchant_id FOREIGN KEY(merchant_id) REFERENCES organization (id),
	CONSTRAINT fk_batch_method FOREIGN KEY(method) REFERENCES payment_method (code),
	CONSTRAINT fk_batch_replaced_by_id FOREIGN KEY(replaced_by_id) REFERENCES batch (id),
	CONSTRAINT uq_batch_replaced_by_id UNIQUE (replaced_by_id),
	CONSTRAINT ck_batch_batch_kind CHECK (kind IN ('REGISTRATION', 'SINGLE_PAYMENT', 'MASS_PAYMENT')), CONSTRAINT ck_batch_method_unless_wallets CHECK ((kind = 'MASS_PAYMENT') = (method IS NULL)), CONSTRAINT ck_batch_provider_unless_wallets CHECK ((kind = 'MASS_PAYMENT') = (provider IS NULL)),
	CONSTRAINT ck_batch_batch_status CHECK (status IN ('UPLOADED', 'VALIDATING', 'READY', 'HAS_ERRORS', 'PROCESSING', 'PROCESSED', 'DISCARDED', 'REPLACED'))
);
CREATE INDEX ix_batch_created_at_id ON batch (created_at, id);
CREATE INDEX ix_batch_file_name ON batch (file_name);
CREATE INDEX ix_batch_kind_created_at_id ON batch (kind, created_at, id);
CREATE UNIQUE INDEX uq_batch_content_alive ON batch (merchant_id, kind, content_hash) WHERE status NOT IN ('DISCARDED', 'REPLACED');
CREATE TABLE batch_part (
	id INTEGER NOT NULL,
	batch_id INTEGER NOT NULL,
	number INTEGER NOT NULL,
	rows JSON NOT NULL,
	CONSTRAINT pk_batch_part PRIMARY KEY (id),
	CONSTRAINT fk_batch_part_batch_id FOREIGN KEY(batch_id) REFERENCES batch (id),
	CONSTRAINT uq_batch_part_batch_id_number UNIQUE (batch_id, number)
);
CREATE TABLE batch_row (
	id INTEGER NOT NULL,
	batch_id INTEGER NOT NULL,
	row_number INTEGER NOT NULL,
	status VARCHAR(24) NOT NULL,
	cells JSON NOT NULL,
	errors JSON,
	masked JSON,
	repeats_row INTEGER,
	message VARCHAR(300),
	customer_id INTEGER,
	billing_number VARCHAR(64),
	invoice_number VARCHAR(64),
	amount_minor BIGINT,
	unit VARCHAR(12),
	card_token VARCHAR(128),
	card_fingerprint VARCHAR(64),
	card_first6 VARCHAR(6),
	card_last4 VARCHAR(4),
	card_holder_name VARCHAR(200),
	card_holder_phone VARCHAR(32),
	execute_date DATE,
	description VARCHAR(300),
	purpose VARCHAR(24),
	schedule JSON,
	start_date DATE,
	end_date DATE, reference VARCHAR(60), payee_wallet_id INTEGER CONSTRAINT fk_batch_row_payee_wallet_id REFERENCES wallet (id), paid_minor BIGINT, transaction_id INTEGER CONSTRAINT fk_batch_row_transaction_id REFERENCES wallet_transaction (id) CONSTRAINT ck_batch_row_mass_payment_is_complete CHECK (status NOT IN ('VALID', 'DONE') OR payee_wallet_id IS NULL OR (reference IS NOT NULL AND paid_minor IS NOT NULL)) CONSTRAINT ck_batch_row_paid_with_commission CHECK (paid_minor >= amount_minor) CONSTRAINT ck_batch_row_paid_is_done CHECK (payee_wallet_id IS NULL OR (status = 'DONE') = (transaction_id IS NOT NULL)),
	CONSTRAINT pk_batch_row PRIMARY KEY (id),
	CONSTRAINT ck_batch_row_invalid_says_why CHECK (status != 'INVALID' OR errors IS NOT NULL),
	CONSTRAINT ck_batch_row_valid_is_complete CHECK (status NOT IN ('VALID', 'DONE') OR (errors IS NULL AND unit IS NOT NULL AND amount_minor IS NOT NULL AND (payee_wallet_id IS NOT NULL OR customer_id IS NOT NULL AND billing_number IS NOT NULL))),
	CONSTRAINT ck_batch_row_amount_positive CHECK (amount_minor > 0),
	CONSTRAINT fk_batch_row_batch_id FOREIGN KEY(batch_id) REFERENCES batch (id),
	CONSTRAINT fk_batch_row_customer_id FOREIGN KEY(customer_id) REFERENCES customer (id),
	CONSTRAINT fk_batch_row_unit FOREIGN KEY(unit) REFERENCES unit (code),
	CONSTRAINT uq_batch_row_batch_id_row_number UNIQUE (batch_id, row_number),
	CONSTRAINT ck_batch_row_row_status CHECK (status IN ('WAITING', 'VALID', 'INVALID', 'DONE', 'SKIPPED', 'REFUSED')),
	CONSTRAINT ck_batch_row_purpose CHECK (purpose IN ('RECURRING', 'REMINDER'))
);
CREATE INDEX ix_batch_row_batch_id_status_row_number ON batch_row (batch_id, status, row_number);
CREATE INDEX ix_batch_row_billing_number ON batch_row (billing_number);
CREATE INDEX ix_batch_row_customer_id ON batch_row (customer_id);
CREATE INDEX ix_batch_row_invoice_number ON batch_row (invoice_number);
CREATE INDEX ix_batch_row_payee_wallet_id ON batch_row (payee_wallet_id);
CREATE UNIQUE INDEX uq_batch_row_transaction_id ON batch_row (transaction_id);
CREATE TABLE billing_period (
	mode VARCHAR(24) NOT NULL,
	unit VARCHAR(12) NOT NULL,
	period VARCHAR(24) NOT NULL,
	first_day DATE NOT NULL,
	numbers BIGINT NOT NULL,
	CONSTRAINT pk_billing_period PRIMARY KEY (mode, unit, period, first_day)
);
CREATE TABLE block (
	target VARCHAR(24) NOT NULL,
	customer_id INTEGER,
	organization_id INTEGER,
	wallet_id INTEGER,
	payment_id INTEGER,
	wallet_transaction_id INTEGER,
	scope VARCHAR(24) NOT NULL,
	reason_code VARCHAR(24) NOT NULL,
	note VARCHAR(300) NOT NULL,
	until DATETIME,
	status VARCHAR(24) NOT NULL,
	is_by_rule BOOLEAN NOT NULL,
	blocked_by VARCHAR(100) NOT NULL,
	lifted_at DATETIME,
	lifted_by VARCHAR(100),
	lift_reason VARCHAR(300),
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_block PRIMARY KEY (id),
	CONSTRAINT ck_block_lifted_or_in_force CHECK ((status = 'ACTIVE') = (lifted_at IS NULL)),
	CONSTRAINT ck_block_about_customer_id CHECK ((target = 'CUSTOMER') = (customer_id IS NOT NULL)),
	CONSTRAINT ck_block_about_organization_id CHECK ((target = 'ORGANIZATION') = (organization_id IS NOT NULL)),
	CONSTRAINT ck_block_about_payment_id CHECK ((target = 'PAYMENT') = (payment_id IS NOT NULL)),
	CONSTRAINT ck_block_about_wallet_id CHECK ((target = 'WALLET') = (wallet_id IS NOT NULL)),
	CONSTRAINT ck_block_about_wallet_transaction_id CHECK ((target = 'WALLET_TRANSACTION') = (wallet_transaction_id IS NOT NULL)),
	CONSTRAINT ck_block_scope_of_a_wallet CHECK (scope = 'ALL' OR target = 'WALLET'),
	CONSTRAINT ck_block_ended_by_its_time CHECK (status <> 'ENDED' OR until IS NOT NULL),
	CONSTRAINT ck_block_lifted_for_a_reason CHECK (status <> 'LIFTED' OR lift_reason IS NOT NULL),
	CONSTRAINT fk_block_customer_id FOREIGN KEY(customer_id) REFERENCES customer (id),
	CONSTRAINT fk_block_organization_id FOREIGN KEY(organization_id) REFERENCES organization (id),
	CONSTRAINT fk_block_payment_id FOREIGN KEY(payment_id) REFERENCES payment (id),
	CONSTRAINT fk_block_wallet_id FOREIGN KEY(wallet_id) REFERENCES wallet (id),
	CONSTRAINT fk_block_wallet_transaction_id FOREIGN KEY(wallet_transaction_id) REFERENCES wallet_transaction (id),
	CONSTRAINT ck_block_block_target CHECK (target IN ('CUSTOMER', 'ORGANIZATION', 'WALLET', 'PAYMENT', 'WALLET_TRANSACTION')),
	CONSTRAINT ck_block_block_scope CHECK (scope IN ('ALL', 'DEBITS')),
	CONSTRAINT ck_block_block_reason CHECK (reason_code IN ('SUSPECTED_FRAUD', 'STOLEN_CARD', 'TAKEN_OVER', 'SANCTIONS', 'AUTHORITY', 'OWNER_ASKED', 'WATCH_RULE', 'OTHER')),
	CONSTRAINT ck_block_block_status CHECK (status IN ('ACTIVE', 'LIFTED', 'ENDED'))
);
CREATE INDEX ix_block_created_at_id ON block (created_at, id);
CREATE INDEX ix_block_customer_id_id ON block (customer_id, id);
CREATE INDEX ix_block_organization_id_id ON block (organization_id, id);
CREATE INDEX ix_block_payment_id_id ON block (payment_id, id);
CREATE INDEX ix_block_reason_code_created_at_id ON block (reason_code, created_at, id);
CREATE INDEX ix_block_status_created_at_id ON block (status, created_at, id);
CREATE INDEX ix_block_target_created_at_id ON block (target, created_at, id);
CREATE INDEX ix_block_until_active ON block (until) WHERE status = 'ACTIVE';
CREATE INDEX ix_block_wallet_id_id ON block (wallet_id, id);
CREATE INDEX ix_block_wallet_transaction_id_id ON block (wallet_transaction_id, id);
CREATE UNIQUE INDEX uq_block_customer_id_scope_active ON block (customer_id, scope) WHERE status = 'ACTIVE';
CREATE UNIQUE INDEX uq_block_organization_id_scope_active ON block (organization_id, scope) WHERE status = 'ACTIVE';
CREATE UNIQUE INDEX uq_block_payment_id_scope_active ON block (payment_id, scope) WHERE status = 'ACTIVE';
CREATE UNIQUE INDEX uq_block_wallet_id_scope_active ON block (wallet_id, scope) WHERE status = 'ACTIVE';
CREATE UNIQUE INDEX uq_block_wallet_transaction_id_scope_active ON block (wallet_transaction_id, scope) WHERE status = 'ACTIVE';
CREATE TABLE block_stop (
	id INTEGER NOT NULL,
	block_id INTEGER NOT NULL,
	at DATETIME NOT NULL,
	act VARCHAR(80) NOT NULL,
	actor_name VARCHAR(100) NOT NULL,
	sentence VARCHAR(300) NOT NULL, slot VARCHAR(128), times INTEGER DEFAULT '1' NOT NULL,
	CONSTRAINT pk_block_stop PRIMARY KEY (id),
	CONSTRAINT fk_block_stop_block_id FOREIGN KEY(block_id) REFERENCES block (id)
);
CREATE INDEX ix_block_stop_block_id_id ON block_stop (block_id, id);
CREATE UNIQUE INDEX uq_block_stop_block_id_slot ON block_stop (block_id, slot);
CREATE TABLE cash_day_unit (
	day_id INTEGER NOT NULL,
	unit VARCHAR(12) NOT NULL,
	opening_minor BIGINT NOT NULL,
	expected_minor BIGINT,
	counted_minor BIGINT,
	denominations JSON,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_cash_day_unit PRIMARY KEY (id),
	CONSTRAINT ck_cash_day_unit_counted_beside_expected CHECK ((expected_minor IS NULL) = (counted_minor IS NULL)),
	CONSTRAINT ck_cash_day_unit_counted_not_negative CHECK (counted_minor >= 0),
	CONSTRAINT ck_cash_day_unit_expected_not_negative CHECK (expected_minor >= 0),
	CONSTRAINT ck_cash_day_unit_opening_not_negative CHECK (opening_minor >= 0),
	CONSTRAINT fk_cash_day_unit_day_id FOREIGN KEY(day_id) REFERENCES cash_desk_day (id),
	CONSTRAINT fk_cash_day_unit_unit FOREIGN KEY(unit) REFERENCES unit (code),
	CONSTRAINT uq_cash_day_unit_day_id_unit UNIQUE (day_id, unit)
);
CREATE INDEX ix_cash_day_unit_unit ON cash_day_unit (unit);
CREATE TABLE cash_desk (
	code VARCHAR(24) NOT NULL,
	name VARCHAR(120) NOT NULL,
	organization_id INTEGER NOT NULL,
	status VARCHAR(24) NOT NULL,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_cash_desk PRIMARY KEY (id),
	CONSTRAINT fk_cash_desk_organization_id FOREIGN KEY(organization_id) REFERENCES organization (id),
	CONSTRAINT uq_cash_desk_code UNIQUE (code),
	CONSTRAINT uq_cash_desk_name UNIQUE (name),
	CONSTRAINT ck_cash_desk_desk_status CHECK (status IN ('ACTIVE', 'LOCKED', 'CLOSED'))
);
CREATE INDEX ix_cash_desk_created_at_id ON cash_desk (created_at, id);
CREATE INDEX ix_cash_desk_organization_id ON cash_desk (organization_id);
CREATE TABLE cash_desk_assignment (
	desk_id INTEGER NOT NULL,
	cashier_id INTEGER NOT NULL,
	begins_at DATETIME NOT NULL,
	ends_at DATETIME,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_cash_desk_assignment PRIMARY KEY (id),
	CONSTRAINT ck_cash_desk_assignment_ends_after_it_began CHECK (ends_at IS NULL OR ends_at >= begins_at),
	CONSTRAINT fk_cash_desk_assignment_cashier_id FOREIGN KEY(cashier_id) REFERENCES staff_user (id),
	CONSTRAINT fk_cash_desk_assignment_desk_id FOREIGN KEY(desk_id) REFERENCES cash_desk (id)
);
CREATE INDEX ix_cash_desk_assignment_cashier_id_id ON cash_desk_assignment (cashier_id, id);
CREATE INDEX ix_cash_desk_assignment_desk_id_id ON cash_desk_assignment (desk_id, id);
CREATE UNIQUE INDEX uq_cash_desk_assignment_cashier_id ON cash_desk_assignment (cashier_id) WHERE ends_at IS NULL;
CREATE TABLE cash_desk_day (
	desk_id INTEGER NOT NULL,
	business_date DATE NOT NULL,
	status VARCHAR(24) NOT NULL,
	opened_at DATETIME NOT NULL,
	opened_by_id INTEGER NOT NULL,
	last_receipt INTEGER NOT NULL,
	rounds INTEGER NOT NULL,
	close_requested_at DATETIME,
	close_requested_by_id INTEGER,
	note VARCHAR(300),
	decided_at DATETIME,
	decided_by_id INTEGER,
	decision VARCHAR(200),
	is_forced BOOLEAN NOT NULL,
	alerted_on DATE,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_cash_desk_day PRIMARY KEY (id),
	CONSTRAINT ck_cash_desk_day_requested_before_decided CHECK (status = 'OPEN' OR close_requested_at IS NOT NULL),
	CONSTRAINT ck_cash_desk_day_decided_by_somebody CHECK (status IN ('OPEN', 'CLOSE_REQUESTED') OR decided_at IS NOT NULL),
	CONSTRAINT ck_cash_desk_day_decided_by_another CHECK (decided_by_id IS NULL OR decided_by_id <> opened_by_id),
	CONSTRAINT ck_cash_desk_day_counts_up CHECK (last_receipt >= 0 AND rounds >= 0),
	CONSTRAINT fk_cash_desk_day_close_requested_by_id FOREIGN KEY(close_requested_by_id) REFERENCES staff_user (id),
	CONSTRAINT fk_cash_desk_day_decided_by_id FOREIGN KEY(decided_by_id) REFERENCES staff_user (id),
	CONSTRAINT fk_cash_desk_day_desk_id FOREIGN KEY(desk_id) REFERENCES cash_desk (id),
	CONSTRAINT fk_cash_desk_day_opened_by_id FOREIGN KEY(opened_by_id) REFERENCES staff_user (id),
	CONSTRAINT ck_cash_desk_day_day_status CHECK (status IN ('OPEN', 'CLOSE_REQUESTED', 'RETURNED', 'CLOSED'))
);
CREATE INDEX ix_cash_desk_day_business_date_id ON cash_desk_day (business_date, id);
CREATE INDEX ix_cash_desk_day_close_requested_by_id ON cash_desk_day (close_requested_by_id);
CREATE INDEX ix_cash_desk_day_created_at_id ON cash_desk_day (created_at, id);
CREATE INDEX ix_cash_desk_day_decided_by_id ON cash_desk_day (decided_by_id);
CREATE INDEX ix_cash_desk_day_desk_id_id ON cash_desk_day (desk_id, id);
CREATE INDEX ix_cash_desk_day_opened_by_id_id ON cash_desk_day (opened_by_id, id);
CREATE INDEX ix_cash_desk_day_status_id ON cash_desk_day (status, id);
CREATE UNIQUE INDEX uq_cash_desk_day_desk_id ON cash_desk_day (desk_id) WHERE status <> 'CLOSED';
CREATE TABLE cash_operation (
	"key" VARCHAR(120) NOT NULL,
	kind VARCHAR(24) NOT NULL,
	day_id INTEGER NOT NULL,
	receipt INTEGER NOT NULL,
	wallet_id INTEGER NOT NULL,
	unit VARCHAR(12) NOT NULL,
	amount_minor BIGINT NOT NULL,
	commission_minor BIGINT NOT NULL,
	cash_minor BIGINT NOT NULL,
	wallet_minor BIGINT NOT NULL,
	on_day DATE NOT NULL,
	contract_version_id INTEGER,
	redeem_request_id INTEGER,
	cashier_id INTEGER NOT NULL,
	note VARCHAR(300),
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_cash_operation PRIMARY KEY (id),
	CONSTRAINT ck_cash_operation_redeem_of_a_request CHECK ((kind = 'REDEEM') = (redeem_request_id IS NOT NULL)),
	CONSTRAINT ck_cash_operation_nothing_lost CHECK ((kind = 'TOP_UP' AND cash_minor = wallet_minor + commission_minor) OR (kind <> 'TOP_UP' AND wallet_minor = cash_minor + commission_minor)),
	CONSTRAINT ck_cash_operation_amount_positive CHECK (amount_minor > 0),
	CONSTRAINT ck_cash_operation_both_sides_positive CHECK (cash_minor > 0 AND wallet_minor > 0),
	CONSTRAINT ck_cash_operation_commission_not_negative CHECK (commission_minor >= 0),
	CONSTRAINT fk_cash_operation_cashier_id FOREIGN KEY(cashier_id) REFERENCES staff_user (id),
	CONSTRAINT fk_cash_operation_contract_version_id FOREIGN KEY(contract_version_id) REFERENCES contract_version (id),
	CONSTRAINT fk_cash_operation_day_id FOREIGN KEY(day_id) REFERENCES cash_desk_day (id),
	CONSTRAINT fk_cash_operation_redeem_request_id FOREIGN KEY(redeem_request_id) REFERENCES redeem_request (id),
	CONSTRAINT fk_cash_operation_unit FOREIGN KEY(unit) REFERENCES unit (code),
	CONSTRAINT fk_cash_operation_wallet_id FOREIGN KEY(wallet_id) REFERENCES wallet (id),
	CONSTRAINT uq_cash_operation_day_id_receipt UNIQUE (day_id, receipt),
	CONSTRAINT uq_cash_operation_key UNIQUE ("key"),
	CONSTRAINT uq_cash_operation_redeem_request_id UNIQUE (redeem_request_id),
	CONSTRAINT ck_cash_operation_cash_kind CHECK (kind IN ('TOP_UP', 'WITHDRAWAL', 'REDEEM'))
);
CREATE INDEX ix_cash_operation_cashier_id_id ON cash_operation (cashier_id, id);
CREATE INDEX ix_cash_operation_contract_version_id ON cash_operation (contract_version_id);
CREATE INDEX ix_cash_operation_counted ON cash_operation (wallet_id, kind, on_day);
CREATE INDEX ix_cash_operation_created_at_id ON cash_operation (created_at, id);
CREATE INDEX ix_cash_operation_day_id_id ON cash_operation (day_id, id);
CREATE INDEX ix_cash_operation_kind_id ON cash_operation (kind, id);
CREATE INDEX ix_cash_operation_unit_amount_minor_id ON cash_operation (unit, amount_minor, id);
CREATE INDEX ix_cash_operation_wallet_id_id ON cash_operation (wallet_id, id);
CREATE TABLE cashback_profile (
	name VARCHAR(120) NOT NULL,
	unit VARCHAR(12) NOT NULL,
	rate_ppm INTEGER NOT NULL,
	cap_minor BIGINT,
	cap_month_minor BIGINT,
	funded_by VARCHAR(24) NOT NULL,
	valid_from DATE NOT NULL,
	valid_to DATE,
	is_on BOOLEAN NOT NULL,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_cashback_profile PRIMARY KEY (id),
	CONSTRAINT ck_cashback_profile_begins_before_it_ends CHECK (valid_from <= valid_to),
	CONSTRAINT ck_cashback_profile_cap_month_positive CHECK (cap_month_minor > 0),
	CONSTRAINT ck_cashback_profile_cap_positive CHECK (cap_minor > 0),
	CONSTRAINT ck_cashback_profile_cap_within_month CHECK (cap_minor <= cap_month_minor),
	CONSTRAINT ck_cashback_profile_rate_in_range CHECK (rate_ppm BETWEEN 1 AND 1000000),
	CONSTRAINT fk_cashback_profile_unit FOREIGN KEY(unit) REFERENCES unit (code),
	CONSTRAINT uq_cashback_profile_name UNIQUE (name),
	CONSTRAINT ck_cashback_profile_funded_by CHECK (funded_by IN ('SYSTEM', 'MERCHANT'))
);
CREATE INDEX ix_cashback_profile_created_at_id ON cashback_profile (created_at, id);
CREATE INDEX ix_cashback_profile_unit ON cashback_profile (unit);
CREATE TABLE charge_attempt (
	id INTEGER NOT NULL,
	scheduled_charge_id INTEGER NOT NULL,
	seq INTEGER NOT NULL,
	provider VARCHAR(40) NOT NULL,
	provider_key VARCHAR(64) NOT NULL,
	reference VARCHAR(64) NOT NULL,
	state VARCHAR(24) NOT NULL,
	fence INTEGER NOT NULL,
	act_at DATETIME NOT NULL,
	first_sent_at DATETIME,
	last_sent_at DATETIME,
	checks INTEGER NOT NULL,
	provider_id VARCHAR(128),
	code VARCHAR(80),
	message VARCHAR(300),
	created_at DATETIME NOT NULL,
	done_at DATETIME,
	CONSTRAINT pk_charge_attempt PRIMARY KEY (id),
	CONSTRAINT ck_charge_attempt_succeeded_has_provider_id CHECK (state != 'SUCCEEDED' OR provider_id IS NOT NULL),
	CONSTRAINT fk_charge_attempt_scheduled_charge_id FOREIGN KEY(scheduled_charge_id) REFERENCES scheduled_charge (id),
	CONSTRAINT uq_charge_attempt_provider_id UNIQUE (provider_id),
	CONSTRAINT uq_charge_attempt_provider_key UNIQUE (provider_key),
	CONSTRAINT uq_charge_attempt_scheduled_charge_id_seq UNIQUE (scheduled_charge_id, seq),
	CONSTRAINT ck_charge_attempt_attempt_state CHECK (state IN ('DUE', 'SENDING', 'SUCCEEDED', 'DECLINED', 'UNKNOWN', 'MANUAL', 'CANCELLED'))
);
CREATE INDEX ix_charge_attempt_open ON charge_attempt (act_at, id) WHERE state IN ('DUE', 'SENDING', 'UNKNOWN');
CREATE INDEX ix_charge_attempt_reference ON charge_attempt (reference);
CREATE UNIQUE INDEX uq_charge_attempt_alive ON charge_attempt (scheduled_charge_id) WHERE state NOT IN ('DECLINED', 'CANCELLED');
CREATE TABLE checkout_change (
	replay_id INTEGER NOT NULL,
	payment_id INTEGER NOT NULL,
	amount_minor BIGINT NOT NULL,
	unit VARCHAR(12) NOT NULL,
	paid_by VARCHAR(90) NOT NULL,
	old_rule VARCHAR(64),
	new_rule VARCHAR(64),
	old_methods JSON NOT NULL,
	new_methods JSON NOT NULL,
	is_lost BOOLEAN NOT NULL,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_checkout_change PRIMARY KEY (id),
	CONSTRAINT fk_checkout_change_payment_id FOREIGN KEY(payment_id) REFERENCES payment (id),
	CONSTRAINT fk_checkout_change_replay_id FOREIGN KEY(replay_id) REFERENCES checkout_replay (id),
	CONSTRAINT fk_checkout_change_unit FOREIGN KEY(unit) REFERENCES unit (code),
	CONSTRAINT uq_checkout_change_replay_id_payment_id UNIQUE (replay_id, payment_id)
);
CREATE INDEX ix_checkout_change_payment_id ON checkout_change (payment_id);
CREATE INDEX ix_checkout_change_replay_id_id ON checkout_change (replay_id, id);
CREATE INDEX ix_checkout_change_replay_id_is_lost_id ON checkout_change (replay_id, is_lost, id);
CREATE TABLE checkout_replay (
	ruleset_id INTEGER NOT NULL,
	against_id INTEGER,
	ruleset_version INTEGER NOT NULL,
	mode VARCHAR(24) NOT NULL,
	days INTEGER NOT NULL,
	since DATETIME NOT NULL,
	until DATETIME NOT NULL,
	pairs JSON NOT NULL,
	status VARCHAR(24) NOT NULL,
	rows_total INTEGER,
	rows_done INTEGER NOT NULL,
	changed INTEGER NOT NULL,
	lost INTEGER NOT NULL,
	moves JSON NOT NULL,
	cursor_at DATETIME,
	cursor_id INTEGER NOT NULL,
	requester_id INTEGER,
	reason VARCHAR(300),
	done_at DATETIME,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_checkout_replay PRIMARY KEY (id),
	CONSTRAINT ck_checkout_replay_days_in_range CHECK (days BETWEEN 1 AND 3660),
	CONSTRAINT ck_checkout_replay_lost_is_changed CHECK (lost BETWEEN 0 AND changed),
	CONSTRAINT ck_checkout_replay_counts_add_up CHECK (rows_done >= 0 AND changed BETWEEN 0 AND rows_done),
	CONSTRAINT fk_checkout_replay_against_id FOREIGN KEY(against_id) REFERENCES checkout_ruleset (id),
	CONSTRAINT fk_checkout_replay_requester_id FOREIGN KEY(requester_id) REFERENCES staff_user (id),
	CONSTRAINT fk_checkout_replay_ruleset_id FOREIGN KEY(ruleset_id) REFERENCES checkout_ruleset (id),
	CONSTRAINT ck_checkout_replay_mode CHECK (mode IN ('LIVE', 'TEST')),
	CONSTRAINT ck_checkout_replay_replay_status CHECK (status IN ('QUEUED', 'RUNNING', 'DONE', 'CANCELLED', 'FAILED'))
);
CREATE INDEX ix_checkout_replay_against_id ON checkout_replay (against_id);
CREATE INDEX ix_checkout_replay_created_at_id ON checkout_replay (created_at, id);
CREATE INDEX ix_checkout_replay_requester_id ON checkout_replay (requester_id);
CREATE INDEX ix_checkout_replay_ruleset_id_id ON checkout_replay (ruleset_id, id);
CREATE TABLE checkout_rule (
	ruleset_id INTEGER NOT NULL,
	name VARCHAR(64) NOT NULL,
	priority INTEGER,
	conditions JSON NOT NULL,
	methods JSON NOT NULL,
	is_on BOOLEAN NOT NULL,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_checkout_rule PRIMARY KEY (id),
	CONSTRAINT ck_checkout_rule_only_default_has_none CHECK ((name = 'default') = (json_array_length(conditions) = 0)),
	CONSTRAINT ck_checkout_rule_default_is_last CHECK ((name = 'default') = (priority IS NULL)),
	CONSTRAINT ck_checkout_rule_priority_in_range CHECK (priority BETWEEN 1 AND 1999999),
	CONSTRAINT fk_checkout_rule_ruleset_id FOREIGN KEY(ruleset_id) REFERENCES checkout_ruleset (id),
	CONSTRAINT uq_checkout_rule_ruleset_id_name UNIQUE (ruleset_id, name),
	CONSTRAINT uq_checkout_rule_ruleset_id_priority UNIQUE (ruleset_id, priority)
);
CREATE TRIGGER checkout_rule_no_delete BEFORE DELETE ON checkout_rule WHEN (SELECT status FROM checkout_ruleset WHERE id = OLD.ruleset_id) <> 'DRAFT' BEGIN SELECT RAISE(ABORT, 'a version of the checkout rules that was active or archived is never changed'); END;
CREATE TRIGGER checkout_rule_no_insert BEFORE INSERT ON checkout_rule WHEN (SELECT status FROM checkout_ruleset WHERE id = NEW.ruleset_id) <> 'DRAFT' BEGIN SELECT RAISE(ABORT, 'a version of the checkout rules that was active or archived is never changed'); END;
CREATE TRIGGER checkout_rule_no_update BEFORE UPDATE ON checkout_rule WHEN (SELECT status FROM checkout_ruleset WHERE id = OLD.ruleset_id) <> 'DRAFT' OR (SELECT status FROM checkout_ruleset WHERE id = NEW.ruleset_id) <> 'DRAFT' BEGIN SELECT RAISE(ABORT, 'a version of the checkout rules that was active or archived is never changed'); END;
CREATE INDEX ix_checkout_rule_name_id ON checkout_rule (name, id);
CREATE TABLE checkout_ruleset (
	note VARCHAR(300),
	status VARCHAR(24) NOT NULL,
	based_on_id INTEGER,
	author_id INTEGER,
	activated_at DATETIME,
	activated_by VARCHAR(100),
	archived_at DATETIME,
	digest VARCHAR(64),
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_checkout_ruleset PRIMARY KEY (id),
	CONSTRAINT ck_checkout_ruleset_archived_since CHECK ((status = 'ARCHIVED') = (archived_at IS NOT NULL)),
	CONSTRAINT ck_checkout_ruleset_active_since CHECK (status <> 'ACTIVE' OR activated_at IS NOT NULL),
	CONSTRAINT ck_checkout_ruleset_draft_was_never_active CHECK (status <> 'DRAFT' OR activated_at IS NULL),
	CONSTRAINT ck_checkout_ruleset_activated_as_digest CHECK ((activated_at IS NULL) = (digest IS NULL)),
	CONSTRAINT ck_checkout_ruleset_not_based_on_itself CHECK (based_on_id <> id),
	CONSTRAINT fk_checkout_ruleset_author_id FOREIGN KEY(author_id) REFERENCES staff_user (id),
	CONSTRAINT fk_checkout_ruleset_based_on_id FOREIGN KEY(based_on_id) REFERENCES checkout_ruleset (id),
	CONSTRAINT ck_checkout_ruleset_ruleset_status CHECK (status IN ('DRAFT', 'ACTIVE', 'ARCHIVED'))
);
CREATE TRIGGER checkout_ruleset_kept BEFORE UPDATE ON checkout_ruleset WHEN OLD.status = 'ARCHIVED' OR (OLD.status = 'ACTIVE' AND (NEW.status = 'DRAFT' OR NEW.note IS NOT OLD.note OR NEW.based_on_id IS NOT OLD.based_on_id OR NEW.author_id IS NOT OLD.author_id OR NEW.created_at IS NOT OLD.created_at OR NEW.digest IS NOT OLD.digest OR NEW.activated_at IS NOT OLD.activated_at OR NEW.activated_by IS NOT OLD.activated_by)) BEGIN SELECT RAISE(ABORT, 'a version of the checkout rules that was active or archived is never changed'); END;
CREATE TRIGGER checkout_ruleset_no_delete BEFORE DELETE ON checkout_ruleset WHEN 1 BEGIN SELECT RAISE(ABORT, 'a version of the checkout rules that was active or archived is never changed'); END;
CREATE INDEX ix_checkout_ruleset_author_id ON checkout_ruleset (author_id);
CREATE INDEX ix_checkout_ruleset_based_on_id ON checkout_ruleset (based_on_id);
CREATE INDEX ix_checkout_ruleset_created_at_id ON checkout_ruleset (created_at, id);
CREATE INDEX ix_checkout_ruleset_status_created_at_id ON checkout_ruleset (status, created_at, id);
CREATE UNIQUE INDEX uq_checkout_ruleset_active ON checkout_ruleset (status) WHERE status = 'ACTIVE';
CREATE TABLE client_service (
	code VARCHAR(64) NOT NULL,
	name VARCHAR(200) NOT NULL,
	organization_id INTEGER NOT NULL,
	issuer_id INTEGER,
	status VARCHAR(24) NOT NULL,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_client_service PRIMARY KEY (id),
	CONSTRAINT fk_client_service_issuer_id FOREIGN KEY(issuer_id) REFERENCES organization (id),
	CONSTRAINT fk_client_service_organization_id FOREIGN KEY(organization_id) REFERENCES organization (id),
	CONSTRAINT uq_client_service_code UNIQUE (code),
	CONSTRAINT ck_client_service_client_service_status CHECK (status IN ('ACTIVE', 'INACTIVE', 'SUSPENDED'))
);
CREATE INDEX ix_client_service_created_at_id ON client_service (created_at, id);
CREATE INDEX ix_client_service_issuer_id_status ON client_service (issuer_id, status);
CREATE INDEX ix_client_service_name ON client_service (name);
CREATE INDEX ix_client_service_organization_id_status ON client_service (organization_id, status);
CREATE INDEX ix_client_service_status ON client_service (status);
CREATE TABLE codeword_try (
	customer_id INTEGER NOT NULL,
	staff_id INTEGER,
	at DATETIME NOT NULL,
	is_right BOOLEAN NOT NULL,
	until DATETIME,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_codeword_try PRIMARY KEY (id),
	CONSTRAINT ck_codeword_try_until_if_right CHECK (is_right OR until IS NULL),
	CONSTRAINT fk_codeword_try_customer_id FOREIGN KEY(customer_id) REFERENCES customer (id),
	CONSTRAINT fk_codeword_try_staff_id FOREIGN KEY(staff_id) REFERENCES staff_user (id)
);
CREATE INDEX ix_codeword_try_customer_id_at ON codeword_try (customer_id, at);
CREATE INDEX ix_codeword_try_staff_id_customer_id_until ON codeword_try (staff_id, customer_id, until);
CREATE TABLE contract (
	code VARCHAR(40) NOT NULL,
	name VARCHAR(120) NOT NULL,
	status VARCHAR(24) NOT NULL,
	last_number INTEGER NOT NULL,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_contract PRIMARY KEY (id),
	CONSTRAINT ck_contract_last_number_not_negative CHECK (last_number >= 0),
	CONSTRAINT uq_contract_code UNIQUE (code),
	CONSTRAINT ck_contract_contract_status CHECK (status IN ('ACTIVE', 'CLOSED'))
);
CREATE INDEX ix_contract_created_at_id ON contract (created_at, id);
CREATE INDEX ix_contract_name_id ON contract (name, id);
CREATE INDEX ix_contract_status ON contract (status);
CREATE TABLE contract_term (
	version_id INTEGER NOT NULL,
	transaction_type VARCHAR(24) NOT NULL,
	unit VARCHAR(12) NOT NULL,
	rate_ppm INTEGER NOT NULL,
	fixed_minor BIGINT NOT NULL,
	min_minor BIGINT,
	max_minor BIGINT,
	charged_to VARCHAR(24) NOT NULL,
	returns_commission BOOLEAN NOT NULL,
	limit_single_minor BIGINT,
	limit_day_minor BIGINT,
	limit_month_minor BIGINT,
	spread_ppm INTEGER NOT NULL,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_contract_term PRIMARY KEY (id),
	CONSTRAINT ck_contract_term_day_positive CHECK (limit_day_minor > 0),
	CONSTRAINT ck_contract_term_day_within_month CHECK (limit_day_minor <= limit_month_minor),
	CONSTRAINT ck_contract_term_fixed_not_negative CHECK (fixed_minor >= 0),
	CONSTRAINT ck_contract_term_max_not_negative CHECK (max_minor >= 0),
	CONSTRAINT ck_contract_term_min_not_negative CHECK (min_minor >= 0),
	CONSTRAINT ck_contract_term_min_within_max CHECK (min_minor <= max_minor),
	CONSTRAINT ck_contract_term_month_positive CHECK (limit_month_minor > 0),
	CONSTRAINT ck_contract_term_rate_in_range CHECK (rate_ppm BETWEEN 0 AND 1000000),
	CONSTRAINT ck_contract_term_spread_in_range CHECK (spread_ppm BETWEEN 0 AND 999999),
	CONSTRAINT ck_contract_term_spread_of_exchanges CHECK (spread_ppm = 0 OR transaction_type = 'EXCHANGE'),
	CONSTRAINT ck_contract_term_single_positive CHECK (limit_single_minor > 0),
	CONSTRAINT ck_contract_term_single_within_day CHECK (limit_single_minor <= limit_day_minor),
	CONSTRAINT ck_contract_term_single_within_month CHECK (limit_single_minor <= limit_month_minor),
	CONSTRAINT fk_contract_term_unit FOREIGN KEY(unit) REFERENCES unit (code),
	CONSTRAINT fk_contract_term_version_id FOREIGN KEY(version_id) REFERENCES contract_version (id),
	CONSTRAINT uq_contract_term_version_id_transaction_type_unit UNIQUE (version_id, transaction_type, unit),
	CONSTRAINT ck_contract_term_transaction_type CHECK (transaction_type IN ('PAYMENT', 'TOP_UP', 'CASH_WITHDRAWAL', 'BANK_WITHDRAWAL', 'TRANSFER', 'EXCHANGE', 'MASS_PAYMENT', 'SALE')),
	CONSTRAINT ck_contract_term_charged_to CHECK (charged_to IN ('PAYER', 'PAYEE'))
);
CREATE TRIGGER contract_term_no_delete BEFORE DELETE ON contract_term WHEN 1 BEGIN SELECT RAISE(ABORT, 'what was in force is never changed: contract_term is only added to'); END;
CREATE TRIGGER contract_term_no_update BEFORE UPDATE ON contract_term WHEN 1 BEGIN SELECT RAISE(ABORT, 'what was in force is never changed: contract_term is only added to'); END;
CREATE INDEX ix_contract_term_unit ON contract_term (unit);
CREATE TABLE contract_version (
	contract_id INTEGER NOT NULL,
	number INTEGER NOT NULL,
	valid_from DATETIME NOT NULL,
	note VARCHAR(300),
	author_id INTEGER,
	approved_by VARCHAR(100),
	withdrawn_at DATETIME,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_contract_version PRIMARY KEY (id),
	CONSTRAINT ck_contract_version_number_positive CHECK (number > 0),
	CONSTRAINT ck_contract_version_withdrawn_before_it_began CHECK (withdrawn_at < valid_from),
	CONSTRAINT fk_contract_version_author_id FOREIGN KEY(author_id) REFERENCES staff_user (id),
	CONSTRAINT fk_contract_version_contract_id FOREIGN KEY(contract_id) REFERENCES contract (id),
	CONSTRAINT uq_contract_version_contract_id_number UNIQUE (contract_id, number)
);
CREATE TRIGGER contract_version_no_delete BEFORE DELETE ON contract_version WHEN 1 BEGIN SELECT RAISE(ABORT, 'what was in force is never changed: contract_version is only added to'); END;
CREATE TRIGGER contract_version_no_update BEFORE UPDATE ON contract_version WHEN OLD.withdrawn_at IS NOT NULL OR NEW.contract_id IS NOT OLD.contract_id OR NEW.number IS NOT OLD.number OR NEW.valid_from IS NOT OLD.valid_from OR NEW.note IS NOT OLD.note OR NEW.author_id IS NOT OLD.author_id OR NEW.approved_by IS NOT OLD.approved_by OR NEW.created_at IS NOT OLD.created_at BEGIN SELECT RAISE(ABORT, 'what was in force is never changed: contract_version is only added to'); END;
CREATE INDEX ix_contract_version_author_id ON contract_version (author_id);
CREATE UNIQUE INDEX uq_contract_version_begins ON contract_version (contract_id, valid_from) WHERE withdrawn_at IS NULL;
CREATE TABLE customer (
	external_id VARCHAR(64) NOT NULL,
	kind VARCHAR(24) NOT NULL,
	organization_id INTEGER,
	name VARCHAR(200) NOT NULL,
	username VARCHAR(64),
	email VARCHAR(254),
	phone VARCHAR(32),
	notification_channels JSON NOT NULL,
	locale VARCHAR(16) NOT NULL,
	status VARCHAR(24) NOT NULL,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL, identification VARCHAR(24) DEFAULT 'UNIDENTIFIED' NOT NULL CONSTRAINT ck_customer_identification_status CHECK (identification IN ('UNIDENTIFIED', 'IN_REVIEW', 'IDENTIFIED', 'REJECTED')), codeword_digest VARCHAR(64), identification_since DATETIME DEFAULT '1970-01-01 00:00:00' NOT NULL, phone_key VARCHAR(32), email_key VARCHAR(254), username_key VARCHAR(254), codeword_by_id INTEGER CONSTRAINT fk_customer_codeword_by_id REFERENCES staff_user (id),
	CONSTRAINT pk_customer PRIMARY KEY (id),
	CONSTRAINT fk_customer_organization_id FOREIGN KEY(organization_id) REFERENCES organization (id),
	CONSTRAINT uq_customer_external_id UNIQUE (external_id),
	CONSTRAINT uq_customer_username UNIQUE (username),
	CONSTRAINT ck_customer_customer_kind CHECK (kind IN ('INDIVIDUAL', 'MERCHANT')),
	CONSTRAINT ck_customer_customer_status CHECK (status IN ('ACTIVE', 'BLOCKED'))
);
CREATE INDEX ix_customer_codeword_by_id ON customer (codeword_by_id);
CREATE INDEX ix_customer_codeword_digest ON customer (codeword_digest);
CREATE INDEX ix_customer_created_at_id ON customer (created_at, id);
CREATE INDEX ix_customer_email ON customer (email);
CREATE INDEX ix_customer_email_key ON customer (email_key);
CREATE INDEX ix_customer_identification_identification_since_id ON customer (identification, identification_since, id);
CREATE INDEX ix_customer_identification_since_id ON customer (identification_since, id);
CREATE INDEX ix_customer_name ON customer (name);
CREATE INDEX ix_customer_organization_id ON customer (organization_id);
CREATE INDEX ix_customer_phone ON customer (phone);
CREATE INDEX ix_customer_phone_key ON customer (phone_key);
CREATE INDEX ix_customer_username_key ON customer (username_key);
CREATE TABLE document_look (
	id INTEGER NOT NULL,
	document_id INTEGER NOT NULL,
	staff_id INTEGER NOT NULL,
	at DATETIME NOT NULL,
	CONSTRAINT pk_document_look PRIMARY KEY (id),
	CONSTRAINT fk_document_look_document_id FOREIGN KEY(document_id) REFERENCES identity_document (id),
	CONSTRAINT fk_document_look_staff_id FOREIGN KEY(staff_id) REFERENCES staff_user (id),
	CONSTRAINT uq_document_look_document_id_staff_id UNIQUE (document_id, staff_id)
);
CREATE INDEX ix_document_look_staff_id ON document_look (staff_id);
CREATE TABLE email_change (
	staff_id INTEGER NOT NULL,
	new_email VARCHAR(254) NOT NULL,
	expires_at DATETIME NOT NULL,
	closed_at DATETIME,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_email_change PRIMARY KEY (id),
	CONSTRAINT fk_email_change_staff_id FOREIGN KEY(staff_id) REFERENCES staff_user (id)
);
CREATE INDEX ix_email_change_staff_id ON email_change (staff_id);
CREATE UNIQUE INDEX uq_email_change_open ON email_change (staff_id) WHERE closed_at IS NULL;
CREATE TABLE exchange_rate (
	office_id INTEGER,
	base VARCHAR(12) NOT NULL,
	quote VARCHAR(12) NOT NULL,
	rate VARCHAR(40) NOT NULL,
	valid_from DATETIME NOT NULL,
	source VARCHAR(24) NOT NULL,
	author_id INTEGER,
	note VARCHAR(300),
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_exchange_rate PRIMARY KEY (id),
	CONSTRAINT ck_exchange_rate_rate_positive CHECK (CAST(rate AS NUMERIC) > 0),
	CONSTRAINT ck_exchange_rate_two_units CHECK (base <> quote),
	CONSTRAINT fk_exchange_rate_author_id FOREIGN KEY(author_id) REFERENCES staff_user (id),
	CONSTRAINT fk_exchange_rate_base FOREIGN KEY(base) REFERENCES unit (code),
	CONSTRAINT fk_exchange_rate_office_id FOREIGN KEY(office_id) REFERENCES organization (id),
	CONSTRAINT fk_exchange_rate_quote FOREIGN KEY(quote) REFERENCES unit (code),
	CONSTRAINT ck_exchange_rate_rate_source CHECK (source IN ('STAFF', 'ECB', 'OFFICE'))
);
CREATE TRIGGER exchange_rate_no_delete BEFORE DELETE ON exchange_rate WHEN 1 BEGIN SELECT RAISE(ABORT, 'what was in force is never changed: exchange_rate is only added to'); END;
CREATE TRIGGER exchange_rate_no_update BEFORE UPDATE ON exchange_rate WHEN 1 BEGIN SELECT RAISE(ABORT, 'what was in force is never changed: exchange_rate is only added to'); END;
CREATE INDEX ix_exchange_rate_author_id ON exchange_rate (author_id);
CREATE INDEX ix_exchange_rate_base_valid_from_id ON exchange_rate (base, valid_from, id);
CREATE INDEX ix_exchange_rate_created_at_id ON exchange_rate (created_at, id);
CREATE INDEX ix_exchange_rate_office_id_valid_from_id ON exchange_rate (office_id, valid_from, id);
CREATE INDEX ix_exchange_rate_quote_valid_from_id ON exchange_rate (quote, valid_from, id);
CREATE INDEX ix_exchange_rate_valid_from_id ON exchange_rate (valid_from, id);
CREATE UNIQUE INDEX uq_exchange_rate_office ON exchange_rate (office_id, base, quote, valid_from) WHERE office_id IS NOT NULL;
CREATE UNIQUE INDEX uq_exchange_rate_system ON exchange_rate (base, quote, valid_from) WHERE office_id IS NULL;
CREATE TABLE export (
	requester_id INTEGER NOT NULL,
	page VARCHAR(64) NOT NULL,
	page_title VARCHAR(80) NOT NULL,
	kind VARCHAR(24) NOT NULL,
	list_args TEXT NOT NULL,
	criteria JSON NOT NULL,
	columns JSON NOT NULL,
	needs JSON NOT NULL,
	mode VARCHAR(24) NOT NULL,
	schedule_id INTEGER,
	due_on DATE,
	status VARCHAR(24) NOT NULL,
	reason VARCHAR(300),
	attempt INTEGER NOT NULL,
	lease_until DATETIME,
	rows_done INTEGER NOT NULL,
	rows_total INTEGER,
	name VARCHAR(120) NOT NULL,
	file VARCHAR(80),
	bytes BIGINT,
	sha256 VARCHAR(64),
	is_personal BOOLEAN NOT NULL,
	started_at DATETIME,
	done_at DATETIME,
	expires_at DATETIME,
	downloads INTEGER NOT NULL,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_export PRIMARY KEY (id),
	CONSTRAINT ck_export_ready_has_a_file CHECK (status <> 'READY' OR (file IS NOT NULL AND sha256 IS NOT NULL AND expires_at IS NOT NULL)),
	CONSTRAINT ck_export_due_on_of_schedule CHECK ((schedule_id IS NULL) = (due_on IS NULL)),
	CONSTRAINT ck_export_rows_not_negative CHECK (rows_done >= 0),
	CONSTRAINT fk_export_requester_id FOREIGN KEY(requester_id) REFERENCES staff_user (id),
	CONSTRAINT fk_export_schedule_id FOREIGN KEY(schedule_id) REFERENCES export_schedule (id),
	CONSTRAINT ck_export_file_kind CHECK (kind IN ('CSV', 'XLSX', 'ODS', 'JSON')),
	CONSTRAINT ck_export_mode CHECK (mode IN ('LIVE', 'TEST')),
	CONSTRAINT ck_export_export_status CHECK (status IN ('QUEUED', 'RUNNING', 'READY', 'FAILED', 'CANCELLED', 'EXPIRED'))
);
CREATE INDEX ix_export_created_at_id ON export (created_at, id);
CREATE INDEX ix_export_name ON export (name);
CREATE INDEX ix_export_requester_id_created_at_id ON export (requester_id, created_at, id);
CREATE INDEX ix_export_status_created_at_id ON export (status, created_at, id);
CREATE INDEX ix_export_status_expires_at_id ON export (status, expires_at, id);
CREATE UNIQUE INDEX uq_export_schedule_id_due_on ON export (schedule_id, due_on);
CREATE TABLE export_reader (
	id INTEGER NOT NULL,
	schedule_id INTEGER NOT NULL,
	staff_id INTEGER NOT NULL,
	CONSTRAINT pk_export_reader PRIMARY KEY (id),
	CONSTRAINT fk_export_reader_schedule_id FOREIGN KEY(schedule_id) REFERENCES export_schedule (id),
	CONSTRAINT fk_export_reader_staff_id FOREIGN KEY(staff_id) REFERENCES staff_user (id),
	CONSTRAINT uq_export_reader_schedule_id_staff_id UNIQUE (schedule_id, staff_id)
);
CREATE INDEX ix_export_reader_staff_id ON export_reader (staff_id);
CREATE TABLE export_schedule (
	title VARCHAR(120) NOT NULL,
	owner_id INTEGER NOT NULL,
	page VARCHAR(64) NOT NULL,
	page_title VARCHAR(80) NOT NULL,
	kind VARCHAR(24) NOT NULL,
	list_args TEXT NOT NULL,
	criteria JSON NOT NULL,
	columns JSON NOT NULL,
	needs JSON NOT NULL,
	mode VARCHAR(24) NOT NULL,
	period_on VARCHAR(64),
	period VARCHAR(24),
	rhythm VARCHAR(24) NOT NULL,
	weekday INTEGER,
	day INTEGER,
	at_minute INTEGER NOT NULL,
	status VARCHAR(24) NOT NULL,
	next_at DATETIME,
	reason VARCHAR(300),
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_export_schedule PRIMARY KEY (id),
	CONSTRAINT ck_export_schedule_day_of_monthly CHECK ((rhythm = 'MONTHLY') = (day IS NOT NULL)),
	CONSTRAINT ck_export_schedule_weekday_of_weekly CHECK ((rhythm = 'WEEKLY') = (weekday IS NOT NULL)),
	CONSTRAINT ck_export_schedule_period_of_something CHECK ((period IS NULL) = (period_on IS NULL)),
	CONSTRAINT ck_export_schedule_minute_of_a_day CHECK (at_minute BETWEEN 0 AND 1439),
	CONSTRAINT ck_export_schedule_day_1_to_28 CHECK (day BETWEEN 1 AND 28),
	CONSTRAINT ck_export_schedule_weekday_1_to_7 CHECK (weekday BETWEEN 1 AND 7),
	CONSTRAINT fk_export_schedule_owner_id FOREIGN KEY(owner_id) REFERENCES staff_user (id),
	CONSTRAINT ck_export_schedule_file_kind CHECK (kind IN ('CSV', 'XLSX', 'ODS', 'JSON')),
	CONSTRAINT ck_export_schedule_mode CHECK (mode IN ('LIVE', 'TEST')),
	CONSTRAINT ck_export_schedule_period CHECK (period IN ('YESTERDAY', 'LAST_WEEK', 'LAST_MONTH')),
	CONSTRAINT ck_export_schedule_rhythm CHECK (rhythm IN ('DAILY', 'WEEKLY', 'MONTHLY')),
	CONSTRAINT ck_export_schedule_schedule_status CHECK (status IN ('ACTIVE', 'PAUSED', 'DELETED'))
);
CREATE INDEX ix_export_schedule_owner_id_id ON export_schedule (owner_id, id);
CREATE INDEX ix_export_schedule_status_next_at_id ON export_schedule (status, next_at, id);
CREATE TABLE heartbeat (
	name VARCHAR(100) NOT NULL,
	kind VARCHAR(24) NOT NULL,
	at DATETIME NOT NULL,
	CONSTRAINT pk_heartbeat PRIMARY KEY (name)
);
CREATE TABLE identity_document (
	customer_id INTEGER NOT NULL,
	kind VARCHAR(24) NOT NULL,
	status VARCHAR(24) NOT NULL,
	origin VARCHAR(24) NOT NULL,
	brought_by VARCHAR(100) NOT NULL,
	upload_link_id INTEGER,
	file_name VARCHAR(80) NOT NULL,
	media VARCHAR(24) NOT NULL,
	size_bytes INTEGER NOT NULL,
	pages INTEGER NOT NULL,
	sha256 VARCHAR(64) NOT NULL,
	file VARCHAR(64),
	decided_at DATETIME,
	decided_by VARCHAR(100),
	reason VARCHAR(500),
	ended_at DATETIME,
	erased_at DATETIME,
	erased_reason VARCHAR(500),
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_identity_document PRIMARY KEY (id),
	CONSTRAINT ck_identity_document_ended_has_time CHECK ((status IN ('REJECTED', 'REPLACED')) = (ended_at IS NOT NULL)),
	CONSTRAINT ck_identity_document_rejected_for_a_reason CHECK (status <> 'REJECTED' OR reason IS NOT NULL),
	CONSTRAINT ck_identity_document_erased_for_a_reason CHECK ((erased_at IS NULL) = (erased_reason IS NULL)),
	CONSTRAINT ck_identity_document_file_until_erased CHECK ((file IS NULL) = (erased_at IS NOT NULL)),
	CONSTRAINT ck_identity_document_pages_positive CHECK (pages > 0),
	CONSTRAINT ck_identity_document_size_positive CHECK (size_bytes > 0),
	CONSTRAINT fk_identity_document_customer_id FOREIGN KEY(customer_id) REFERENCES customer (id),
	CONSTRAINT fk_identity_document_upload_link_id FOREIGN KEY(upload_link_id) REFERENCES upload_link (id),
	CONSTRAINT uq_identity_document_file UNIQUE (file),
	CONSTRAINT ck_identity_document_document_kind CHECK (kind IN ('IDENTITY_CARD', 'PASSPORT', 'DRIVING_LICENCE', 'PROOF_OF_ADDRESS', 'REGISTRATION_EXTRACT', 'OWNERS_DECLARATION', 'OTHER')),
	CONSTRAINT ck_identity_document_document_status CHECK (status IN ('RECEIVED', 'ACCEPTED', 'REJECTED', 'REPLACED')),
	CONSTRAINT ck_identity_document_document_origin CHECK (origin IN ('STAFF', 'CUSTOMER')),
	CONSTRAINT ck_identity_document_paper_type CHECK (media IN ('PDF', 'JPEG', 'PNG'))
);
CREATE INDEX ix_identity_document_customer_id_id ON identity_document (customer_id, id);
CREATE INDEX ix_identity_document_ended_at ON identity_document (ended_at) WHERE erased_at IS NULL;
CREATE INDEX ix_identity_document_upload_link_id ON identity_document (upload_link_id);
CREATE UNIQUE INDEX uq_identity_document_live ON identity_document (customer_id, sha256) WHERE status IN ('RECEIVED', 'ACCEPTED') AND erased_at IS NULL;
CREATE TABLE import_file (
	name VARCHAR(200) NOT NULL,
	content_hash VARCHAR(64) NOT NULL,
	kind VARCHAR(8) NOT NULL,
	layout VARCHAR(40) NOT NULL,
	rows INTEGER NOT NULL,
	payments INTEGER NOT NULL,
	refunds INTEGER NOT NULL,
	left_out INTEGER NOT NULL,
	imported_by VARCHAR(100) NOT NULL,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_import_file PRIMARY KEY (id),
	CONSTRAINT uq_import_file_content_hash UNIQUE (content_hash)
);
CREATE INDEX ix_import_file_created_at_id ON import_file (created_at, id);
CREATE TABLE invoice (
	number VARCHAR(32) NOT NULL,
	payment_id INTEGER NOT NULL,
	issued_at DATETIME NOT NULL,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_invoice PRIMARY KEY (id),
	CONSTRAINT fk_invoice_payment_id FOREIGN KEY(payment_id) REFERENCES payment (id),
	CONSTRAINT uq_invoice_number UNIQUE (number),
	CONSTRAINT uq_invoice_payment_id UNIQUE (payment_id)
);
CREATE TABLE invoice_counter (
	year INTEGER NOT NULL,
	last INTEGER NOT NULL,
	CONSTRAINT pk_invoice_counter PRIMARY KEY (year)
);
CREATE TABLE ledger_account (
	id INTEGER NOT NULL,
	code VARCHAR(96) NOT NULL,
	number VARCHAR(4) NOT NULL,
	owner VARCHAR(64) NOT NULL,
	unit VARCHAR(12) NOT NULL,
	guard SMALLINT NOT NULL,
	created_at DATETIME NOT NULL,
	CONSTRAINT pk_ledger_account PRIMARY KEY (id),
	CONSTRAINT ck_ledger_account_guard_of_chart CHECK (guard = CASE WHEN number IN ('1110', '1120') THEN 1 WHEN number IN ('2010', '2020', '2110') THEN -1 ELSE 0 END),
	CONSTRAINT ck_ledger_account_number_in_chart CHECK (number IN ('1010', '1110', '1120', '1210', '1290', '2010', '2020', '2110', '2190', '3010', '4010', '4020', '4090', '5010', '5020', '5040', '5050', '9010', '9020')),
	CONSTRAINT fk_ledger_account_unit FOREIGN KEY(unit) REFERENCES unit (code),
	CONSTRAINT uq_ledger_account_code UNIQUE (code),
	CONSTRAINT uq_ledger_account_id_unit UNIQUE (id, unit),
	CONSTRAINT uq_ledger_account_number_owner_unit UNIQUE (number, owner, unit)
);
CREATE INDEX ix_ledger_account_created_at_id ON ledger_account (created_at, id);
CREATE INDEX ix_ledger_account_owner_id ON ledger_account (owner, id);
CREATE INDEX ix_ledger_account_unit_code ON ledger_account (unit, code);
CREATE TRIGGER ledger_account_no_delete BEFORE DELETE ON ledger_account BEGIN SELECT RAISE(ABORT, 'ledger_account is append-only'); END;
CREATE TRIGGER ledger_account_no_update BEFORE UPDATE ON ledger_account BEGIN SELECT RAISE(ABORT, 'ledger_account is append-only'); END;
CREATE TRIGGER ledger_account_open AFTER INSERT ON ledger_account BEGIN INSERT INTO ledger_balance (account_id, slot, guard, balance_minor, last_entry_id) VALUES (NEW.id, 0, NEW.guard, 0, 0); END;
CREATE TABLE ledger_balance (
	account_id INTEGER NOT NULL,
	slot SMALLINT NOT NULL,
	guard SMALLINT NOT NULL,
	balance_minor BIGINT NOT NULL,
	last_entry_id BIGINT NOT NULL,
	CONSTRAINT pk_ledger_balance PRIMARY KEY (account_id, slot),
	CONSTRAINT ck_ledger_balance_guarded CHECK (guard * balance_minor >= 0),
	CONSTRAINT ck_ledger_balance_slot_known CHECK (slot BETWEEN 0 AND 7),
	CONSTRAINT fk_ledger_balance_account_id FOREIGN KEY(account_id) REFERENCES ledger_account (id)
);
CREATE TRIGGER ledger_balance_move BEFORE UPDATE ON ledger_balance BEGIN SELECT RAISE(ABORT, 'ledger_balance is written by the books alone') WHERE NEW.account_id <> OLD.account_id OR NEW.slot <> OLD.slot OR NEW.guard <> OLD.guard OR NEW.last_entry_id <= OLD.last_entry_id OR NEW.balance_minor - OLD.balance_minor IS NOT (SELECT e.amount_minor FROM ledger_entry AS e WHERE e.id = NEW.last_entry_id AND e.account_id = NEW.account_id); END;
CREATE TRIGGER ledger_balance_no_delete BEFORE DELETE ON ledger_balance BEGIN SELECT RAISE(ABORT, 'ledger_balance is append-only'); END;
CREATE TRIGGER ledger_balance_open BEFORE INSERT ON ledger_balance BEGIN SELECT RAISE(ABORT, 'ledger_balance is written by the books alone') WHERE NEW.slot <> 0 OR NEW.balance_minor <> 0 OR NEW.last_entry_id <> 0 OR NOT EXISTS (SELECT 1 FROM ledger_account AS a WHERE a.id = NEW.account_id AND a.guard = NEW.guard); END;
CREATE TABLE ledger_check (
	id INTEGER NOT NULL,
	started_at DATETIME NOT NULL,
	done_at DATETIME,
	asked_by VARCHAR(100) NOT NULL,
	broken BIGINT NOT NULL,
	results JSON,
	CONSTRAINT pk_ledger_check PRIMARY KEY (id)
);
CREATE INDEX ix_ledger_check_done_at_id ON ledger_check (done_at, id);
CREATE TABLE ledger_closing (
	period_id INTEGER NOT NULL,
	account_id INTEGER NOT NULL,
	balance_minor BIGINT NOT NULL,
	CONSTRAINT pk_ledger_closing PRIMARY KEY (period_id, account_id),
	CONSTRAINT fk_ledger_closing_account_id FOREIGN KEY(account_id) REFERENCES ledger_account (id),
	CONSTRAINT fk_ledger_closing_period_id FOREIGN KEY(period_id) REFERENCES accounting_period (id)
);
CREATE INDEX ix_ledger_closing_account_id ON ledger_closing (account_id);
CREATE TRIGGER ledger_closing_no_delete BEFORE DELETE ON ledger_closing BEGIN SELECT RAISE(ABORT, 'ledger_closing is append-only'); END;
CREATE TRIGGER ledger_closing_no_update BEFORE UPDATE ON ledger_closing BEGIN SELECT RAISE(ABORT, 'ledger_closing is append-only'); END;
CREATE TABLE ledger_entry (
	id INTEGER NOT NULL,
	transaction_id INTEGER NOT NULL,
	leg SMALLINT NOT NULL,
	account_id INTEGER NOT NULL,
	unit VARCHAR(12) NOT NULL,
	amount_minor BIGINT NOT NULL,
	effective_on DATE NOT NULL,
	CONSTRAINT pk_ledger_entry PRIMARY KEY (id),
	CONSTRAINT ck_ledger_entry_amount_not_zero CHECK (amount_minor <> 0),
	CONSTRAINT fk_ledger_entry_account_id FOREIGN KEY(account_id, unit) REFERENCES ledger_account (id, unit),
	CONSTRAINT fk_ledger_entry_transaction_id FOREIGN KEY(transaction_id) REFERENCES ledger_transaction (id),
	CONSTRAINT uq_ledger_entry_transaction_id_leg UNIQUE (transaction_id, leg)
);
CREATE INDEX ix_ledger_entry_account_id_effective_on_id ON ledger_entry (account_id, effective_on, id);
CREATE TRIGGER ledger_entry_check BEFORE INSERT ON ledger_entry BEGIN SELECT RAISE(ABORT, 'ledger_entry is written by the books alone') WHERE NOT EXISTS (SELECT 1 FROM ledger_transaction AS t WHERE t.id = NEW.transaction_id AND t.effective_on = NEW.effective_on AND json_extract(t.legs, '$[' || (NEW.leg - 1) || '][0]') IS NEW.account_id AND json_extract(t.legs, '$[' || (NEW.leg - 1) || '][1]') IS NEW.unit AND json_extract(t.legs, '$[' || (NEW.leg - 1) || '][2]') IS NEW.amount_minor); END;
CREATE TRIGGER ledger_entry_count AFTER INSERT ON ledger_entry BEGIN UPDATE ledger_balance SET balance_minor = balance_minor + NEW.amount_minor, last_entry_id = NEW.id WHERE account_id = NEW.account_id AND slot = 0; INSERT INTO ledger_turnover (account_id, day, slot, debit_minor, credit_minor, entries, last_entry_id) VALUES (NEW.account_id, NEW.effective_on, 0, max(NEW.amount_minor, 0), max(- NEW.amount_minor, 0), 1, NEW.id) ON CONFLICT (account_id, day, slot) DO UPDATE SET debit_minor = debit_minor + excluded.debit_minor, credit_minor = credit_minor + excluded.credit_minor, entries = entries + 1, last_entry_id = excluded.last_entry_id; END;
CREATE TRIGGER ledger_entry_no_delete BEFORE DELETE ON ledger_entry BEGIN SELECT RAISE(ABORT, 'ledger_entry is append-only'); END;
CREATE TRIGGER ledger_entry_no_update BEFORE UPDATE ON ledger_entry BEGIN SELECT RAISE(ABORT, 'ledger_entry is append-only'); END;
CREATE TABLE ledger_hold (
	id INTEGER NOT NULL,
	account_id INTEGER NOT NULL,
	amount_minor BIGINT NOT NULL,
	placed_id INTEGER NOT NULL,
	ended_id INTEGER,
	CONSTRAINT pk_ledger_hold PRIMARY KEY (id),
	CONSTRAINT ck_ledger_hold_amount_positive CHECK (amount_minor > 0),
	CONSTRAINT ck_ledger_hold_ended_by_another CHECK (ended_id <> placed_id),
	CONSTRAINT fk_ledger_hold_account_id FOREIGN KEY(account_id) REFERENCES ledger_account (id),
	CONSTRAINT fk_ledger_hold_ended_id FOREIGN KEY(ended_id) REFERENCES ledger_transaction (id),
	CONSTRAINT fk_ledger_hold_placed_id FOREIGN KEY(placed_id) REFERENCES ledger_transaction (id),
	CONSTRAINT uq_ledger_hold_ended_id UNIQUE (ended_id),
	CONSTRAINT uq_ledger_hold_placed_id UNIQUE (placed_id)
);
CREATE INDEX ix_ledger_hold_account_id_id ON ledger_hold (account_id, id);
CREATE INDEX ix_ledger_hold_open ON ledger_hold (account_id) WHERE ended_id IS NULL;
CREATE TRIGGER ledger_hold_end BEFORE UPDATE ON ledger_hold BEGIN SELECT RAISE(ABORT, 'ledger: a hold is what its transactions moved') WHERE OLD.ended_id IS NOT NULL OR NEW.id <> OLD.id OR NEW.account_id <> OLD.account_id OR NEW.amount_minor <> OLD.amount_minor OR NEW.placed_id <> OLD.placed_id OR NOT EXISTS (SELECT 1 FROM ledger_entry AS e WHERE e.transaction_id = NEW.ended_id AND e.account_id = NEW.account_id AND e.amount_minor = NEW.amount_minor); END;
CREATE TRIGGER ledger_hold_no_delete BEFORE DELETE ON ledger_hold BEGIN SELECT RAISE(ABORT, 'ledger_hold is append-only'); END;
CREATE TRIGGER ledger_hold_place BEFORE INSERT ON ledger_hold BEGIN SELECT RAISE(ABORT, 'ledger: a hold is what its transactions moved') WHERE NEW.ended_id IS NOT NULL OR NOT EXISTS (SELECT 1 FROM ledger_entry AS e WHERE e.transaction_id = NEW.placed_id AND e.account_id = NEW.account_id AND e.amount_minor = - NEW.amount_minor); END;
CREATE TABLE ledger_transaction (
	id INTEGER NOT NULL,
	"key" VARCHAR(120) NOT NULL,
	template VARCHAR(3) NOT NULL,
	business VARCHAR(24) NOT NULL,
	business_id BIGINT NOT NULL,
	effective_on DATE NOT NULL,
	posted_at DATETIME NOT NULL,
	posted_by VARCHAR(100) NOT NULL,
	reverses_id INTEGER,
	memo VARCHAR(300),
	legs JSON NOT NULL,
	signature VARCHAR(64),
	CONSTRAINT pk_ledger_transaction PRIMARY KEY (id),
	CONSTRAINT ck_ledger_transaction_template_known CHECK (template IN ('J01', 'J02', 'J03', 'J04', 'J05', 'J06', 'J07', 'J08', 'J09', 'J10', 'J11', 'J12', 'J13', 'J14', 'J15', 'J16', 'J17', 'J18', 'J19', 'J20', 'J21', 'J22', 'J23', 'J24', 'J25', 'J26', 'J27', 'J28', 'J00')),
	CONSTRAINT ck_ledger_transaction_reverses_another CHECK (reverses_id <> id),
	CONSTRAINT fk_ledger_transaction_reverses_id FOREIGN KEY(reverses_id) REFERENCES ledger_transaction (id),
	CONSTRAINT uq_ledger_transaction_key UNIQUE ("key"),
	CONSTRAINT uq_ledger_transaction_reverses_id UNIQUE (reverses_id)
);
CREATE INDEX ix_ledger_transaction_business_business_id_id ON ledger_transaction (business, business_id, id);
CREATE INDEX ix_ledger_transaction_effective_on_id ON ledger_transaction (effective_on, id);
CREATE INDEX ix_ledger_transaction_template_effective_on_id ON ledger_transaction (template, effective_on, id);
CREATE TRIGGER ledger_transaction_check BEFORE INSERT ON ledger_transaction BEGIN SELECT RAISE(ABORT, 'ledger: the transaction falls into a closed period') WHERE EXISTS (SELECT 1 FROM accounting_period p WHERE p.last_day >= NEW.effective_on); SELECT RAISE(ABORT, 'ledger: the transaction does not balance') WHERE json_array_length(NEW.legs) < 2 OR EXISTS (SELECT 1 FROM json_each(NEW.legs) AS l WHERE json_type(l.value, '$[2]') <> 'integer') OR EXISTS (SELECT 1 FROM json_each(NEW.legs) AS l GROUP BY json_extract(l.value, '$[1]') HAVING sum(json_extract(l.value, '$[2]')) <> 0); SELECT RAISE(ABORT, 'ledger: the transaction is not the exact reversal') FROM ledger_transaction AS o WHERE o.id = NEW.reverses_id AND (o.reverses_id IS NOT NULL OR json_array_length(o.legs) <> json_array_length(NEW.legs) OR EXISTS (SELECT 1 FROM json_each(NEW.legs) AS l WHERE json_extract(l.value, '$[0]') IS NOT json_extract(o.legs, '$[' || l.key || '][0]') OR json_extract(l.value, '$[2]') IS NOT - json_extract(o.legs, '$[' || l.key || '][2]'))); END;
CREATE TRIGGER ledger_transaction_no_delete BEFORE DELETE ON ledger_transaction BEGIN SELECT RAISE(ABORT, 'ledger_transaction is append-only'); END;
CREATE TRIGGER ledger_transaction_no_update BEFORE UPDATE ON ledger_transaction BEGIN SELECT RAISE(ABORT, 'ledger_transaction is append-only'); END;
CREATE TRIGGER ledger_transaction_post AFTER INSERT ON ledger_transaction BEGIN INSERT INTO ledger_entry (transaction_id, leg, account_id, unit, amount_minor, effective_on) SELECT NEW.id, l.key + 1, json_extract(l.value, '$[0]'), json_extract(l.value, '$[1]'), json_extract(l.value, '$[2]'), NEW.effective_on FROM json_each(NEW.legs) AS l ORDER BY l.key; END;
CREATE TABLE ledger_turnover (
	account_id INTEGER NOT NULL,
	day DATE NOT NULL,
	slot SMALLINT NOT NULL,
	debit_minor BIGINT NOT NULL,
	credit_minor BIGINT NOT NULL,
	entries BIGINT NOT NULL,
	last_entry_id BIGINT NOT NULL,
	CONSTRAINT pk_ledger_turnover PRIMARY KEY (account_id, day, slot),
	CONSTRAINT fk_ledger_turnover_account_id FOREIGN KEY(account_id) REFERENCES ledger_account (id)
);
CREATE INDEX ix_ledger_turnover_day ON ledger_turnover (day);
CREATE TRIGGER ledger_turnover_move BEFORE UPDATE ON ledger_turnover BEGIN SELECT RAISE(ABORT, 'ledger_turnover is written by the books alone') WHERE NEW.account_id <> OLD.account_id OR NEW.day <> OLD.day OR NEW.slot <> OLD.slot OR NEW.entries <> OLD.entries + 1 OR NEW.last_entry_id <= OLD.last_entry_id OR (NEW.debit_minor - OLD.debit_minor) * (NEW.credit_minor - OLD.credit_minor) <> 0 OR NEW.debit_minor - OLD.debit_minor - NEW.credit_minor + OLD.credit_minor IS NOT (SELECT e.amount_minor FROM ledger_entry AS e WHERE e.id = NEW.last_entry_id AND e.account_id = NEW.account_id AND e.effective_on = NEW.day); END;
CREATE TRIGGER ledger_turnover_no_delete BEFORE DELETE ON ledger_turnover BEGIN SELECT RAISE(ABORT, 'ledger_turnover is append-only'); END;
CREATE TRIGGER ledger_turnover_open BEFORE INSERT ON ledger_turnover BEGIN SELECT RAISE(ABORT, 'ledger_turnover is written by the books alone') WHERE NEW.slot <> 0 OR NEW.entries <> 1 OR NEW.debit_minor * NEW.credit_minor <> 0 OR NEW.debit_minor - NEW.credit_minor IS NOT (SELECT e.amount_minor FROM ledger_entry AS e WHERE e.id = NEW.last_entry_id AND e.account_id = NEW.account_id AND e.effective_on = NEW.day); END;
CREATE TABLE limit_application (
	transaction_id INTEGER NOT NULL,
	rule VARCHAR(24) NOT NULL,
	unit VARCHAR(12) NOT NULL,
	limit_minor BIGINT NOT NULL,
	counted_minor BIGINT NOT NULL,
	actual_minor BIGINT NOT NULL,
	excess_minor BIGINT NOT NULL,
	status VARCHAR(24) NOT NULL,
	expires_at DATETIME NOT NULL,
	decided_at DATETIME,
	decided_by VARCHAR(100),
	reason VARCHAR(200),
	failure VARCHAR(300),
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_limit_application PRIMARY KEY (id),
	CONSTRAINT ck_limit_application_decided_or_waiting CHECK ((decided_at IS NULL) = (status = 'PENDING')),
	CONSTRAINT ck_limit_application_actual_is_over CHECK (actual_minor = limit_minor + excess_minor),
	CONSTRAINT ck_limit_application_counted_not_negative CHECK (counted_minor >= 0),
	CONSTRAINT ck_limit_application_excess_positive CHECK (excess_minor > 0),
	CONSTRAINT ck_limit_application_limit_positive CHECK (limit_minor > 0),
	CONSTRAINT fk_limit_application_transaction_id FOREIGN KEY(transaction_id) REFERENCES wallet_transaction (id),
	CONSTRAINT fk_limit_application_unit FOREIGN KEY(unit) REFERENCES unit (code),
	CONSTRAINT uq_limit_application_transaction_id UNIQUE (transaction_id),
	CONSTRAINT ck_limit_application_limit_rule CHECK (rule IN ('SINGLE', 'DAY', 'MONTH')),
	CONSTRAINT ck_limit_application_application_status CHECK (status IN ('PENDING', 'APPROVED', 'EXECUTED', 'EXECUTION_FAILED', 'REJECTED', 'EXPIRED', 'WITHDRAWN'))
);
CREATE INDEX ix_limit_application_created_at_id ON limit_application (created_at, id);
CREATE INDEX ix_limit_application_status_expires_at ON limit_application (status, expires_at);
CREATE INDEX ix_limit_application_unit ON limit_application (unit);
CREATE TABLE login_guard (
	"key" VARCHAR(64) NOT NULL,
	fails INTEGER NOT NULL,
	until DATETIME NOT NULL,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_login_guard PRIMARY KEY (id),
	CONSTRAINT ck_login_guard_fails CHECK (fails BETWEEN 0 AND 10),
	CONSTRAINT uq_login_guard_key UNIQUE ("key")
);
CREATE INDEX ix_login_guard_until ON login_guard (until);
CREATE TABLE monitor_sample (
	id INTEGER NOT NULL,
	host VARCHAR(60) NOT NULL,
	at DATETIME NOT NULL,
	cpu INTEGER NOT NULL,
	memory INTEGER NOT NULL,
	disk INTEGER NOT NULL,
	load INTEGER NOT NULL,
	database_bytes INTEGER NOT NULL,
	connections INTEGER NOT NULL,
	waiting INTEGER NOT NULL,
	overdue_seconds INTEGER NOT NULL,
	CONSTRAINT pk_monitor_sample PRIMARY KEY (id),
	CONSTRAINT uq_monitor_sample_host_at UNIQUE (host, at)
);
CREATE INDEX ix_monitor_sample_at_id ON monitor_sample (at, id);
CREATE TABLE note (
	payment_id INTEGER,
	body TEXT NOT NULL,
	author VARCHAR(100) NOT NULL,
	author_id INTEGER,
	"key" VARCHAR(64),
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL, entity VARCHAR(64), entity_id INTEGER CONSTRAINT ck_note_about_one_thing CHECK ((payment_id IS NULL) = (entity_id IS NOT NULL)) CONSTRAINT ck_note_entity_has_row CHECK ((entity IS NULL) = (entity_id IS NULL)),
	CONSTRAINT pk_note PRIMARY KEY (id),
	CONSTRAINT fk_note_payment_id FOREIGN KEY(payment_id) REFERENCES payment (id),
	CONSTRAINT uq_note_key UNIQUE ("key")
);
CREATE INDEX ix_note_entity_entity_id_id ON note (entity, entity_id, id);
CREATE INDEX ix_note_payment_id ON note (payment_id);
CREATE TABLE notification (
	payment_id INTEGER,
	channel VARCHAR(16) NOT NULL,
	recipient VARCHAR(254) NOT NULL,
	subject VARCHAR(200) NOT NULL,
	body TEXT NOT NULL,
	message_id VARCHAR(200) NOT NULL,
	state VARCHAR(24) NOT NULL,
	sent_at DATETIME,
	error VARCHAR(300),
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL, scheduled_charge_id INTEGER CONSTRAINT fk_notification_scheduled_charge_id REFERENCES scheduled_charge (id), registration_link_id INTEGER CONSTRAINT fk_notification_registration_link_id REFERENCES registration_link (id), account_link_id INTEGER CONSTRAINT fk_notification_account_link_id REFERENCES account_link (id), upload_link_id INTEGER CONSTRAINT fk_notification_upload_link_id REFERENCES upload_link (id),
	CONSTRAINT pk_notification PRIMARY KEY (id),
	CONSTRAINT fk_notification_payment_id FOREIGN KEY(payment_id) REFERENCES payment (id),
	CONSTRAINT uq_notification_message_id UNIQUE (message_id),
	CONSTRAINT ck_notification_notification_state CHECK (state IN ('QUEUED', 'SENT', 'KEPT', 'FAILED'))
);
CREATE INDEX ix_notification_account_link_id ON notification (account_link_id);
CREATE INDEX ix_notification_created_at_id ON notification (created_at, id);
CREATE INDEX ix_notification_payment_id ON notification (payment_id);
CREATE INDEX ix_notification_recipient ON notification (recipient);
CREATE INDEX ix_notification_registration_link_id ON notification (registration_link_id);
CREATE INDEX ix_notification_upload_link_id ON notification (upload_link_id);
CREATE UNIQUE INDEX uq_notification_scheduled_charge_id ON notification (scheduled_charge_id);
CREATE TABLE organization (
	name VARCHAR(200) NOT NULL,
	kind VARCHAR(24) NOT NULL,
	status VARCHAR(24) NOT NULL,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL, contract_id INTEGER CONSTRAINT fk_organization_contract_id REFERENCES contract (id), cashback_profile_id INTEGER CONSTRAINT fk_organization_cashback_profile_id REFERENCES cashback_profile (id),
	CONSTRAINT pk_organization PRIMARY KEY (id),
	CONSTRAINT uq_organization_name UNIQUE (name),
	CONSTRAINT ck_organization_organization_kind CHECK (kind IN ('SYSTEM', 'MERCHANT', 'INDIVIDUAL', 'ISSUER', 'PARTNER', 'CASHIER', 'PROVIDER', 'EXCHANGE_OFFICE', 'MASSPAY')),
	CONSTRAINT ck_organization_organization_status CHECK (status IN ('ACTIVE', 'CLOSED'))
);
CREATE INDEX ix_organization_cashback_profile_id ON organization (cashback_profile_id);
CREATE INDEX ix_organization_contract_id ON organization (contract_id);
CREATE INDEX ix_organization_created_at_id ON organization (created_at, id);
CREATE INDEX ix_organization_kind ON organization (kind);
CREATE TABLE outbox_message (
	id INTEGER NOT NULL,
	job VARCHAR(64) NOT NULL,
	args JSON NOT NULL,
	state VARCHAR(24) NOT NULL,
	due_at DATETIME NOT NULL,
	fence INTEGER NOT NULL,
	failures INTEGER NOT NULL,
	error TEXT,
	created_at DATETIME NOT NULL,
	done_at DATETIME,
	CONSTRAINT pk_outbox_message PRIMARY KEY (id),
	CONSTRAINT ck_outbox_message_outbox_state CHECK (state IN ('DUE', 'RUNNING', 'DONE', 'DEAD'))
);
CREATE INDEX ix_outbox_message_dead ON outbox_message (id) WHERE state = 'DEAD';
CREATE INDEX ix_outbox_message_open ON outbox_message (due_at, id) WHERE state IN ('DUE', 'RUNNING');
CREATE TABLE password_history (
	staff_id INTEGER NOT NULL,
	password_hash VARCHAR(255) NOT NULL,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_password_history PRIMARY KEY (id),
	CONSTRAINT fk_password_history_staff_id FOREIGN KEY(staff_id) REFERENCES staff_user (id)
);
CREATE INDEX ix_password_history_staff_id ON password_history (staff_id);
CREATE TABLE payment (
	transaction_id VARCHAR(64) NOT NULL,
	invoice_number VARCHAR(64) NOT NULL,
	billing_number VARCHAR(64),
	merchant_id INTEGER NOT NULL,
	customer_id INTEGER NOT NULL,
	subscription_id INTEGER,
	type VARCHAR(24) NOT NULL,
	channel VARCHAR(24) NOT NULL,
	provider VARCHAR(40) NOT NULL,
	method VARCHAR(40) NOT NULL,
	description VARCHAR(300),
	amount_minor BIGINT NOT NULL,
	unit VARCHAR(12) NOT NULL,
	billed_amount_minor BIGINT,
	billed_unit VARCHAR(12),
	status VARCHAR(24) NOT NULL,
	captured_minor BIGINT NOT NULL,
	reserved_minor BIGINT NOT NULL,
	refunded_minor BIGINT NOT NULL,
	in_flight VARCHAR(24),
	settled_at DATETIME,
	response_code VARCHAR(40),
	approval_code VARCHAR(40),
	error_code VARCHAR(80),
	failure_message VARCHAR(300),
	provider_payment_id VARCHAR(128),
	card_token VARCHAR(128),
	card_fingerprint VARCHAR(64),
	card_first6 VARCHAR(6),
	card_last4 VARCHAR(4),
	card_issuer VARCHAR(120),
	card_holder_name VARCHAR(200),
	card_holder_phone VARCHAR(32),
	mode VARCHAR(24) NOT NULL,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL, batch_id INTEGER CONSTRAINT fk_payment_batch_id REFERENCES batch (id),
	CONSTRAINT pk_payment PRIMARY KEY (id),
	CONSTRAINT ck_payment_amount_positive CHECK (amount_minor > 0),
	CONSTRAINT ck_payment_captured_within_amount CHECK (captured_minor BETWEEN 0 AND amount_minor),
	CONSTRAINT ck_payment_refunded_within_captured CHECK (refunded_minor + reserved_minor <= captured_minor),
	CONSTRAINT ck_payment_refunded_not_negative CHECK (refunded_minor >= 0),
	CONSTRAINT ck_payment_reserved_not_negative CHECK (reserved_minor >= 0),
	CONSTRAINT fk_payment_billed_unit FOREIGN KEY(billed_unit) REFERENCES unit (code),
	CONSTRAINT fk_payment_customer_id FOREIGN KEY(customer_id) REFERENCES customer (id),
	CONSTRAINT fk_payment_merchant_id FOREIGN KEY(merchant_id) REFERENCES organization (id),
	CONSTRAINT fk_payment_method FOREIGN KEY(method) REFERENCES payment_method (code),
	CONSTRAINT fk_payment_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscription (id),
	CONSTRAINT fk_payment_unit FOREIGN KEY(unit) REFERENCES unit (code),
	CONSTRAINT uq_payment_provider_payment_id UNIQUE (provider_payment_id),
	CONSTRAINT uq_payment_transaction_id UNIQUE (transaction_id),
	CONSTRAINT ck_payment_payment_type CHECK (type IN ('DIRECT', 'SUBSCRIPTION', 'PAY_BY_LINK')),
	CONSTRAINT ck_payment_channel CHECK (channel IN ('WEB', 'MOBILE_APP', 'CALL_CENTRE', 'POINT_OF_SALE', 'API')),
	CONSTRAINT ck_payment_payment_status CHECK (status IN ('CREATED', 'AUTHORIZED', 'PENDING', 'UNKNOWN', 'PAID', 'PARTIALLY_REFUNDED', 'TOTALLY_REFUNDED', 'FAILED', 'CANCELLED', 'VOIDED', 'CHARGED_BACK')),
	CONSTRAINT ck_payment_in_flight CHECK (in_flight IN ('REFUND', 'VOID')),
	CONSTRAINT ck_payment_mode CHECK (mode IN ('LIVE', 'TEST'))
);
CREATE INDEX ix_payment_approval_code_id ON payment (approval_code, id);
CREATE INDEX ix_payment_batch_id_created_at_id ON payment (batch_id, created_at, id);
CREATE INDEX ix_payment_billing_number_created_at_id ON payment (billing_number, created_at, id);
CREATE INDEX ix_payment_card_fingerprint ON payment (card_fingerprint);
CREATE INDEX ix_payment_card_holder_name_id ON payment (card_holder_name, id);
CREATE INDEX ix_payment_card_holder_phone_id ON payment (card_holder_phone, id);
CREATE INDEX ix_payment_card_last4_id ON payment (card_last4, id);
CREATE INDEX ix_payment_customer_id_created_at_id ON payment (customer_id, created_at, id);
CREATE INDEX ix_payment_invoice_number_id ON payment (invoice_number, id);
CREATE INDEX ix_payment_merchant_id_created_at_id ON payment (merchant_id, created_at, id);
CREATE INDEX ix_payment_mode_card_issuer_created_at_id ON payment (mode, card_issuer, created_at, id) WHERE card_issuer IS NOT NULL;
CREATE INDEX ix_payment_mode_created_at_id ON payment (mode, created_at, id);
CREATE INDEX ix_payment_mode_error_code_created_at_id ON payment (mode, error_code, created_at, id);
CREATE INDEX ix_payment_mode_failure_message_created_at_id ON payment (mode, failure_message, created_at, id) WHERE failure_message IS NOT NULL;
CREATE INDEX ix_payment_mode_method_created_at_id ON payment (mode, method, created_at, id);
CREATE INDEX ix_payment_mode_response_code_created_at_id ON payment (mode, response_code, created_at, id);
CREATE INDEX ix_payment_mode_status_created_at_id ON payment (mode, status, created_at, id);
CREATE INDEX ix_payment_mode_type_created_at_id ON payment (mode, type, created_at, id);
CREATE INDEX ix_payment_mode_unit_amount_minor_id ON payment (mode, unit, amount_minor, id);
CREATE INDEX ix_payment_subscription_id_created_at_id ON payment (subscription_id, created_at, id);
CREATE TRIGGER payment_added AFTER INSERT ON payment BEGIN INSERT INTO payment_change (at, mode, unit, status, method, channel, type, card_issuer, failure_message, billing_number, count, amount_minor, captured_minor, refunded_minor) VALUES (NEW.created_at, NEW.mode, NEW.unit, NEW.status, NEW.method, NEW.channel, NEW.type, NEW.card_issuer, NEW.failure_message, NEW.billing_number, 1, NEW.amount_minor, NEW.captured_minor, NEW.refunded_minor); END;
CREATE TRIGGER payment_changed AFTER UPDATE ON payment WHEN OLD.created_at IS NOT NEW.created_at OR OLD.mode IS NOT NEW.mode OR OLD.unit IS NOT NEW.unit OR OLD.status IS NOT NEW.status OR OLD.method IS NOT NEW.method OR OLD.channel IS NOT NEW.channel OR OLD.type IS NOT NEW.type OR OLD.card_issuer IS NOT NEW.card_issuer OR OLD.failure_message IS NOT NEW.failure_message OR OLD.billing_number IS NOT NEW.billing_number OR OLD.amount_minor IS NOT NEW.amount_minor OR OLD.captured_minor IS NOT NEW.captured_minor OR OLD.refunded_minor IS NOT NEW.refunded_minor BEGIN INSERT INTO payment_change (at, mode, unit, status, method, channel, type, card_issuer, failure_message, billing_number, count, amount_minor, captured_minor, refunded_minor) VALUES (OLD.created_at, OLD.mode, OLD.unit, OLD.status, OLD.method, OLD.channel, OLD.type, OLD.card_issuer, OLD.failure_message, OLD.billing_number, -1, -OLD.amount_minor, -OLD.captured_minor, -OLD.refunded_minor), (NEW.created_at, NEW.mode, NEW.unit, NEW.status, NEW.method, NEW.channel, NEW.type, NEW.card_issuer, NEW.failure_message, NEW.billing_number, 1, NEW.amount_minor, NEW.captured_minor, NEW.refunded_minor); END;
CREATE TRIGGER payment_deleted AFTER DELETE ON payment BEGIN INSERT INTO payment_change (at, mode, unit, status, method, channel, type, card_issuer, failure_message, billing_number, count, amount_minor, captured_minor, refunded_minor) VALUES (OLD.created_at, OLD.mode, OLD.unit, OLD.status, OLD.method, OLD.channel, OLD.type, OLD.card_issuer, OLD.failure_message, OLD.billing_number, -1, -OLD.amount_minor, -OLD.captured_minor, -OLD.refunded_minor); END;
CREATE TRIGGER payment_watched AFTER INSERT ON payment WHEN EXISTS (SELECT 1 FROM watch_version WHERE status = 'ACTIVE') BEGIN INSERT INTO watch_item (payment_id) VALUES (NEW.id); END;
CREATE TRIGGER payment_watched_again AFTER UPDATE ON payment WHEN OLD.status IS NOT NEW.status AND EXISTS (SELECT 1 FROM watch_version WHERE status = 'ACTIVE') BEGIN INSERT INTO watch_item (payment_id) VALUES (NEW.id); END;
CREATE TABLE payment_change (
	id INTEGER NOT NULL,
	at DATETIME NOT NULL,
	mode VARCHAR(24) NOT NULL,
	unit VARCHAR(12) NOT NULL,
	status VARCHAR(24) NOT NULL,
	method VARCHAR(40) NOT NULL,
	channel VARCHAR(24) NOT NULL,
	type VARCHAR(24) NOT NULL,
	card_issuer VARCHAR(120),
	failure_message VARCHAR(300),
	count BIGINT NOT NULL,
	amount_minor BIGINT NOT NULL,
	captured_minor BIGINT NOT NULL,
	refunded_minor BIGINT NOT NULL, billing_number VARCHAR(64),
	CONSTRAINT pk_payment_change PRIMARY KEY (id)
);
CREATE INDEX ix_payment_change_billing_number ON payment_change (billing_number) WHERE billing_number IS NOT NULL;
CREATE TABLE payment_day (
	mode VARCHAR(24) NOT NULL,
	slice VARCHAR(24) NOT NULL,
	unit VARCHAR(12) NOT NULL,
	day DATE NOT NULL,
	status VARCHAR(24) NOT NULL,
	"key" VARCHAR(300) NOT NULL,
	count BIGINT NOT NULL,
	amount_minor BIGINT NOT NULL,
	captured_minor BIGINT NOT NULL,
	refunded_minor BIGINT NOT NULL,
	CONSTRAINT pk_payment_day PRIMARY KEY (mode, slice, unit, day, status, "key")
);
CREATE TABLE payment_event (
	id INTEGER NOT NULL,
	payment_id INTEGER NOT NULL,
	at DATETIME NOT NULL,
	status VARCHAR(24) NOT NULL,
	event VARCHAR(80) NOT NULL,
	refunded_minor BIGINT,
	actor_name VARCHAR(100) NOT NULL,
	detail VARCHAR(300),
	CONSTRAINT pk_payment_event PRIMARY KEY (id),
	CONSTRAINT fk_payment_event_payment_id FOREIGN KEY(payment_id) REFERENCES payment (id),
	CONSTRAINT ck_payment_event_payment_status CHECK (status IN ('CREATED', 'AUTHORIZED', 'PENDING', 'UNKNOWN', 'PAID', 'PARTIALLY_REFUNDED', 'TOTALLY_REFUNDED', 'FAILED', 'CANCELLED', 'VOIDED', 'CHARGED_BACK'))
);
CREATE INDEX ix_payment_event_payment_id_id ON payment_event (payment_id, id);
CREATE TABLE payment_file (
	message_id VARCHAR(35) NOT NULL,
	unit VARCHAR(12) NOT NULL,
	amount_minor BIGINT NOT NULL,
	payments INTEGER NOT NULL,
	execute_on DATE NOT NULL,
	payer_account VARCHAR(34) NOT NULL,
	sha256 VARCHAR(64) NOT NULL,
	content_sealed TEXT NOT NULL,
	status VARCHAR(24) NOT NULL,
	made_by_id INTEGER NOT NULL,
	released_at DATETIME,
	released_by_id INTEGER,
	sent_at DATETIME,
	by_hand BOOLEAN NOT NULL,
	attempts INTEGER NOT NULL,
	problem VARCHAR(300),
	reason_code VARCHAR(10),
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL, held_at DATETIME,
	CONSTRAINT pk_payment_file PRIMARY KEY (id),
	CONSTRAINT ck_payment_file_released_by_somebody CHECK ((status IN ('DRAFT', 'DISCARDED')) = (released_at IS NULL) AND (released_at IS NULL) = (released_by_id IS NULL)),
	CONSTRAINT ck_payment_file_something_to_pay CHECK (amount_minor > 0 AND payments > 0),
	CONSTRAINT ck_payment_file_attempts_count_up CHECK (attempts >= 0),
	CONSTRAINT ck_payment_file_released_by_another CHECK (released_by_id IS NULL OR released_by_id <> made_by_id),
	CONSTRAINT fk_payment_file_made_by_id FOREIGN KEY(made_by_id) REFERENCES staff_user (id),
	CONSTRAINT fk_payment_file_released_by_id FOREIGN KEY(released_by_id) REFERENCES staff_user (id),
	CONSTRAINT fk_payment_file_unit FOREIGN KEY(unit) REFERENCES unit (code),
	CONSTRAINT uq_payment_file_message_id UNIQUE (message_id),
	CONSTRAINT ck_payment_file_file_status CHECK (status IN ('DRAFT', 'RELEASED', 'UNKNOWN', 'SENT', 'ACCEPTED', 'PARTLY_ACCEPTED', 'REJECTED', 'DISCARDED'))
);
CREATE INDEX ix_payment_file_created_at_id ON payment_file (created_at, id);
CREATE INDEX ix_payment_file_made_by_id ON payment_file (made_by_id);
CREATE INDEX ix_payment_file_released_by_id ON payment_file (released_by_id);
CREATE INDEX ix_payment_file_status_id ON payment_file (status, id);
CREATE INDEX ix_payment_file_unit_amount_minor_id ON payment_file (unit, amount_minor, id);
CREATE TABLE payment_file_line (
	file_id INTEGER NOT NULL,
	redeem_request_id INTEGER NOT NULL,
	end_to_end_id VARCHAR(35) NOT NULL,
	unit VARCHAR(12) NOT NULL,
	amount_minor BIGINT NOT NULL,
	status VARCHAR(24) NOT NULL,
	reason_code VARCHAR(10),
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_payment_file_line PRIMARY KEY (id),
	CONSTRAINT ck_payment_file_line_amount_positive CHECK (amount_minor > 0),
	CONSTRAINT fk_payment_file_line_file_id FOREIGN KEY(file_id) REFERENCES payment_file (id),
	CONSTRAINT fk_payment_file_line_redeem_request_id FOREIGN KEY(redeem_request_id) REFERENCES redeem_request (id),
	CONSTRAINT fk_payment_file_line_unit FOREIGN KEY(unit) REFERENCES unit (code),
	CONSTRAINT uq_payment_file_line_end_to_end_id UNIQUE (end_to_end_id),
	CONSTRAINT ck_payment_file_line_transfer_status CHECK (status IN ('WAITING', 'ACCEPTED', 'REJECTED', 'PAID', 'RETURNED', 'DISCARDED'))
);
CREATE INDEX ix_payment_file_line_file_id_id ON payment_file_line (file_id, id);
CREATE INDEX ix_payment_file_line_redeem_request_id_id ON payment_file_line (redeem_request_id, id);
CREATE UNIQUE INDEX uq_payment_file_line_redeem_request_id ON payment_file_line (redeem_request_id) WHERE status NOT IN ('REJECTED', 'DISCARDED');
CREATE TABLE payment_method (
	code VARCHAR(40) NOT NULL,
	name VARCHAR(80) NOT NULL,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_payment_method PRIMARY KEY (id),
	CONSTRAINT uq_payment_method_code UNIQUE (code)
);
CREATE TABLE payment_tariff (
	payment_id INTEGER NOT NULL,
	term_id INTEGER,
	commission_minor BIGINT NOT NULL,
	returns_commission BOOLEAN NOT NULL,
	profile_id INTEGER,
	customer_id INTEGER,
	cashback_minor BIGINT NOT NULL,
	funded_by VARCHAR(24),
	month_on DATE NOT NULL,
	CONSTRAINT pk_payment_tariff PRIMARY KEY (payment_id),
	CONSTRAINT ck_payment_tariff_says_something CHECK (term_id IS NOT NULL OR profile_id IS NOT NULL),
	CONSTRAINT ck_payment_tariff_cost_of_term CHECK (commission_minor >= 0 AND (term_id IS NOT NULL OR commission_minor = 0)),
	CONSTRAINT ck_payment_tariff_cashback_of_profile CHECK (cashback_minor >= 0 AND (profile_id IS NOT NULL OR cashback_minor = 0)),
	CONSTRAINT ck_payment_tariff_cashback_of_customer CHECK ((profile_id IS NULL) = (customer_id IS NULL)),
	CONSTRAINT fk_payment_tariff_payment_id FOREIGN KEY(payment_id) REFERENCES payment (id),
	CONSTRAINT fk_payment_tariff_term_id FOREIGN KEY(term_id) REFERENCES contract_term (id),
	CONSTRAINT fk_payment_tariff_profile_id FOREIGN KEY(profile_id) REFERENCES cashback_profile (id),
	CONSTRAINT fk_payment_tariff_customer_id FOREIGN KEY(customer_id) REFERENCES customer (id),
	CONSTRAINT ck_payment_tariff_funded_by CHECK (funded_by IN ('SYSTEM', 'MERCHANT'))
);
CREATE INDEX ix_payment_tariff_customer_id ON payment_tariff (customer_id);
CREATE INDEX ix_payment_tariff_profile_id_customer_id_month_on ON payment_tariff (profile_id, customer_id, month_on);
CREATE INDEX ix_payment_tariff_term_id ON payment_tariff (term_id);
CREATE TRIGGER payment_tariff_no_delete BEFORE DELETE ON payment_tariff WHEN 1 BEGIN SELECT RAISE(ABORT, 'what was in force is never changed: payment_tariff is only added to'); END;
CREATE TRIGGER payment_tariff_no_update BEFORE UPDATE ON payment_tariff WHEN 1 BEGIN SELECT RAISE(ABORT, 'what was in force is never changed: payment_tariff is only added to'); END;
CREATE TABLE product (
	code VARCHAR(40) NOT NULL,
	name VARCHAR(120) NOT NULL,
	provider_id INTEGER NOT NULL,
	unit VARCHAR(12) NOT NULL,
	price_minor BIGINT NOT NULL,
	status VARCHAR(24) NOT NULL,
	valid_from DATE NOT NULL,
	valid_to DATE,
	description VARCHAR(500),
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_product PRIMARY KEY (id),
	CONSTRAINT ck_product_price_positive CHECK (price_minor > 0),
	CONSTRAINT ck_product_ends_after_it_began CHECK (valid_to >= valid_from),
	CONSTRAINT fk_product_provider_id FOREIGN KEY(provider_id) REFERENCES organization (id),
	CONSTRAINT fk_product_unit FOREIGN KEY(unit) REFERENCES unit (code),
	CONSTRAINT uq_product_code UNIQUE (code),
	CONSTRAINT ck_product_product_status CHECK (status IN ('ACTIVE', 'INACTIVE'))
);
CREATE INDEX ix_product_created_at_id ON product (created_at, id);
CREATE INDEX ix_product_name_id ON product (name, id);
CREATE INDEX ix_product_provider_id_id ON product (provider_id, id);
CREATE INDEX ix_product_status ON product (status);
CREATE INDEX ix_product_unit_price_minor_id ON product (unit, price_minor, id);
CREATE TABLE product_sale (
	product_id INTEGER NOT NULL,
	wallet_id INTEGER NOT NULL,
	unit VARCHAR(12) NOT NULL,
	price_minor BIGINT NOT NULL,
	transaction_id INTEGER NOT NULL,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_product_sale PRIMARY KEY (id),
	CONSTRAINT ck_product_sale_price_positive CHECK (price_minor > 0),
	CONSTRAINT fk_product_sale_product_id FOREIGN KEY(product_id) REFERENCES product (id),
	CONSTRAINT fk_product_sale_transaction_id FOREIGN KEY(transaction_id) REFERENCES wallet_transaction (id),
	CONSTRAINT fk_product_sale_unit FOREIGN KEY(unit) REFERENCES unit (code),
	CONSTRAINT fk_product_sale_wallet_id FOREIGN KEY(wallet_id) REFERENCES wallet (id),
	CONSTRAINT uq_product_sale_transaction_id UNIQUE (transaction_id)
);
CREATE INDEX ix_product_sale_created_at_id ON product_sale (created_at, id);
CREATE INDEX ix_product_sale_product_id_id ON product_sale (product_id, id);
CREATE INDEX ix_product_sale_unit_price_minor_id ON product_sale (unit, price_minor, id);
CREATE INDEX ix_product_sale_wallet_id_id ON product_sale (wallet_id, id);
CREATE TABLE provider_breaker (
	provider VARCHAR(40) NOT NULL,
	failures INTEGER NOT NULL,
	open_until DATETIME,
	reconciled_on DATE,
	CONSTRAINT pk_provider_breaker PRIMARY KEY (provider)
);
CREATE TABLE provider_method (
	provider VARCHAR(40) NOT NULL,
	method VARCHAR(40) NOT NULL,
	is_enabled BOOLEAN NOT NULL,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_provider_method PRIMARY KEY (id),
	CONSTRAINT fk_provider_method_method FOREIGN KEY(method) REFERENCES payment_method (code),
	CONSTRAINT uq_provider_method_provider_method UNIQUE (provider, method)
);
CREATE INDEX ix_provider_method_method_id ON provider_method (method, id);
CREATE TABLE recovery_code (
	staff_id INTEGER NOT NULL,
	code_hash VARCHAR(64) NOT NULL,
	used_at DATETIME,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_recovery_code PRIMARY KEY (id),
	CONSTRAINT fk_recovery_code_staff_id FOREIGN KEY(staff_id) REFERENCES staff_user (id),
	CONSTRAINT uq_recovery_code_code_hash UNIQUE (code_hash)
);
CREATE INDEX ix_recovery_code_staff_id ON recovery_code (staff_id);
CREATE TABLE redeem_request (
	"key" VARCHAR(120) NOT NULL,
	wallet_id INTEGER NOT NULL,
	unit VARCHAR(12) NOT NULL,
	amount_minor BIGINT NOT NULL,
	commission_minor BIGINT NOT NULL,
	asked_minor BIGINT NOT NULL,
	channel VARCHAR(24) NOT NULL,
	holder_name VARCHAR(140),
	account_sealed VARCHAR(300),
	account_shown VARCHAR(40),
	bank_code VARCHAR(11),
	status VARCHAR(24) NOT NULL,
	on_day DATE NOT NULL,
	contract_version_id INTEGER,
	note VARCHAR(300),
	submitted_by_id INTEGER,
	decided_at DATETIME,
	decided_by_id INTEGER,
	reason VARCHAR(200),
	paid_at DATETIME,
	failure_code VARCHAR(10),
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_redeem_request PRIMARY KEY (id),
	CONSTRAINT ck_redeem_request_account_of_a_transfer CHECK ((channel = 'BANK_TRANSFER') = (account_sealed IS NOT NULL) AND (account_sealed IS NULL) = (account_shown IS NULL) AND (account_sealed IS NULL) = (holder_name IS NULL)),
	CONSTRAINT ck_redeem_request_paid_at_a_moment CHECK ((status IN ('PAID', 'RETURNED')) = (paid_at IS NOT NULL)),
	CONSTRAINT ck_redeem_request_decided_or_waiting CHECK (status = 'SUBMITTED' OR decided_at IS NOT NULL),
	CONSTRAINT ck_redeem_request_sent_to_a_bank CHECK (status NOT IN ('SENT', 'RETURNED') OR channel = 'BANK_TRANSFER'),
	CONSTRAINT ck_redeem_request_amount_positive CHECK (amount_minor > 0),
	CONSTRAINT ck_redeem_request_asked_for CHECK (asked_minor IN (amount_minor, amount_minor + commission_minor)),
	CONSTRAINT ck_redeem_request_commission_not_negative CHECK (commission_minor >= 0),
	CONSTRAINT fk_redeem_request_contract_version_id FOREIGN KEY(contract_version_id) REFERENCES contract_version (id),
	CONSTRAINT fk_redeem_request_decided_by_id FOREIGN KEY(decided_by_id) REFERENCES staff_user (id),
	CONSTRAINT fk_redeem_request_submitted_by_id FOREIGN KEY(submitted_by_id) REFERENCES staff_user (id),
	CONSTRAINT fk_redeem_request_unit FOREIGN KEY(unit) REFERENCES unit (code),
	CONSTRAINT fk_redeem_request_wallet_id FOREIGN KEY(wallet_id) REFERENCES wallet (id),
	CONSTRAINT uq_redeem_request_key UNIQUE ("key"),
	CONSTRAINT ck_redeem_request_redeem_channel CHECK (channel IN ('CASH_DESK', 'BANK_TRANSFER')),
	CONSTRAINT ck_redeem_request_redeem_status CHECK (status IN ('SUBMITTED', 'APPROVED', 'SENT', 'PAID', 'FAILED', 'RETURNED', 'CANCELLED'))
);
CREATE INDEX ix_redeem_request_channel_id ON redeem_request (channel, id);
CREATE INDEX ix_redeem_request_contract_version_id ON redeem_request (contract_version_id);
CREATE INDEX ix_redeem_request_counted ON redeem_request (wallet_id, channel, on_day);
CREATE INDEX ix_redeem_request_created_at_id ON redeem_request (created_at, id);
CREATE INDEX ix_redeem_request_decided_by_id ON redeem_request (decided_by_id);
CREATE INDEX ix_redeem_request_status_id ON redeem_request (status, id);
CREATE INDEX ix_redeem_request_submitted_by_id ON redeem_request (submitted_by_id);
CREATE INDEX ix_redeem_request_unit_amount_minor_id ON redeem_request (unit, amount_minor, id);
CREATE INDEX ix_redeem_request_wallet_id_id ON redeem_request (wallet_id, id);
CREATE TABLE refund (
	amount_minor BIGINT NOT NULL,
	unit VARCHAR(12) NOT NULL,
	"key" VARCHAR(120) NOT NULL,
	provider_key VARCHAR(64) NOT NULL,
	reference VARCHAR(64) NOT NULL,
	status VARCHAR(24) NOT NULL,
	reason VARCHAR(24) NOT NULL,
	note TEXT,
	requested_by_id INTEGER,
	requested_by VARCHAR(100) NOT NULL,
	provider_id VARCHAR(128),
	fence INTEGER NOT NULL,
	lease_until DATETIME,
	first_sent_at DATETIME,
	last_sent_at DATETIME,
	checks INTEGER NOT NULL,
	needs_staff BOOLEAN NOT NULL,
	code VARCHAR(80),
	message VARCHAR(300),
	payment_id INTEGER NOT NULL,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_refund PRIMARY KEY (id),
	CONSTRAINT ck_refund_amount_positive CHECK (amount_minor > 0),
	CONSTRAINT fk_refund_payment_id FOREIGN KEY(payment_id) REFERENCES payment (id),
	CONSTRAINT fk_refund_unit FOREIGN KEY(unit) REFERENCES unit (code),
	CONSTRAINT uq_refund_key UNIQUE ("key"),
	CONSTRAINT uq_refund_provider_id UNIQUE (provider_id),
	CONSTRAINT uq_refund_provider_key UNIQUE (provider_key),
	CONSTRAINT uq_refund_reference UNIQUE (reference),
	CONSTRAINT ck_refund_order_status CHECK (status IN ('REQUESTED', 'PENDING_APPROVAL', 'STALE', 'QUEUED', 'SUBMITTED', 'UNKNOWN', 'SUCCEEDED', 'FAILED', 'REJECTED', 'CANCELLED', 'EXPIRED')),
	CONSTRAINT ck_refund_refund_reason CHECK (reason IN ('REQUESTED_BY_CUSTOMER', 'DUPLICATE', 'FRAUDULENT', 'NOT_DELIVERED', 'IMPORTED', 'OTHER'))
);
CREATE INDEX ix_refund_payment_id ON refund (payment_id);
CREATE TABLE registration_link (
	status VARCHAR(24) DEFAULT 'OPEN' NOT NULL,
	merchant_id INTEGER NOT NULL,
	customer_id INTEGER,
	email VARCHAR(254),
	billing_number VARCHAR(64) NOT NULL,
	amount_minor BIGINT NOT NULL,
	unit VARCHAR(12) NOT NULL,
	method VARCHAR(40) NOT NULL,
	provider VARCHAR(40) NOT NULL,
	purpose VARCHAR(24) NOT NULL,
	schedule JSON NOT NULL,
	start_date DATE NOT NULL,
	expiration_date DATE,
	expires_at DATETIME NOT NULL,
	nonce VARCHAR(22) NOT NULL,
	token_hash VARCHAR(64) NOT NULL,
	invited_by VARCHAR(100) NOT NULL,
	mailed_at DATETIME,
	used_at DATETIME,
	payer_name VARCHAR(100),
	consent TEXT,
	subscription_id INTEGER,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_registration_link PRIMARY KEY (id),
	CONSTRAINT ck_registration_link_used_has_subscription CHECK ((status = 'USED') = (subscription_id IS NOT NULL)),
	CONSTRAINT ck_registration_link_used_has_time CHECK ((status = 'USED') = (used_at IS NOT NULL)),
	CONSTRAINT ck_registration_link_amount_positive CHECK (amount_minor > 0),
	CONSTRAINT ck_registration_link_meant_for_somebody CHECK (customer_id IS NOT NULL OR email IS NOT NULL),
	CONSTRAINT fk_registration_link_customer_id FOREIGN KEY(customer_id) REFERENCES customer (id),
	CONSTRAINT fk_registration_link_merchant_id FOREIGN KEY(merchant_id) REFERENCES organization (id),
	CONSTRAINT fk_registration_link_method FOREIGN KEY(method) REFERENCES payment_method (code),
	CONSTRAINT fk_registration_link_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscription (id),
	CONSTRAINT fk_registration_link_unit FOREIGN KEY(unit) REFERENCES unit (code),
	CONSTRAINT uq_registration_link_subscription_id UNIQUE (subscription_id),
	CONSTRAINT uq_registration_link_token_hash UNIQUE (token_hash),
	CONSTRAINT ck_registration_link_link_status CHECK (status IN ('OPEN', 'USED', 'REVOKED')),
	CONSTRAINT ck_registration_link_purpose CHECK (purpose IN ('RECURRING', 'REMINDER'))
);
CREATE INDEX ix_registration_link_billing_number ON registration_link (billing_number);
CREATE INDEX ix_registration_link_created_at_id ON registration_link (created_at, id);
CREATE INDEX ix_registration_link_customer_id ON registration_link (customer_id);
CREATE INDEX ix_registration_link_email ON registration_link (email);
CREATE INDEX ix_registration_link_merchant_id_billing_number ON registration_link (merchant_id, billing_number);
CREATE INDEX ix_registration_link_status_created_at_id ON registration_link (status, created_at, id);
CREATE INDEX ix_registration_link_status_expires_at_id ON registration_link (status, expires_at, id);
CREATE UNIQUE INDEX uq_registration_link_open ON registration_link (merchant_id, billing_number) WHERE status = 'OPEN';
CREATE TABLE retry_policy (
	name VARCHAR(80) NOT NULL,
	delays_days JSON NOT NULL,
	max_attempts INTEGER NOT NULL,
	retryable_codes JSON NOT NULL,
	on_exhausted VARCHAR(24) NOT NULL,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_retry_policy PRIMARY KEY (id),
	CONSTRAINT ck_retry_policy_max_attempts_1_to_20 CHECK (max_attempts BETWEEN 1 AND 20),
	CONSTRAINT uq_retry_policy_name UNIQUE (name),
	CONSTRAINT ck_retry_policy_on_exhausted CHECK (on_exhausted IN ('ON_HOLD', 'ABORTED'))
);
CREATE TABLE reveal (
	id INTEGER NOT NULL,
	staff_id INTEGER NOT NULL,
	entity VARCHAR(64) NOT NULL,
	entity_id INTEGER NOT NULL,
	reason VARCHAR(300) NOT NULL,
	at DATETIME NOT NULL,
	until DATETIME NOT NULL,
	CONSTRAINT pk_reveal PRIMARY KEY (id),
	CONSTRAINT fk_reveal_staff_id FOREIGN KEY(staff_id) REFERENCES staff_user (id)
);
CREATE INDEX ix_reveal_staff_id_at ON reveal (staff_id, at);
CREATE INDEX ix_reveal_staff_id_entity_entity_id ON reveal (staff_id, entity, entity_id);
CREATE TABLE rollup_state (
	id INTEGER NOT NULL,
	zone VARCHAR(64),
	building VARCHAR(64),
	next_day DATE,
	last_day DATE,
	CONSTRAINT pk_rollup_state PRIMARY KEY (id)
);
CREATE TABLE saved_view (
	owner_id INTEGER NOT NULL,
	page VARCHAR(64) NOT NULL,
	name VARCHAR(60) NOT NULL,
	"query" VARCHAR(2000) NOT NULL,
	columns JSON,
	shared_with VARCHAR(24),
	is_default BOOLEAN NOT NULL,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_saved_view PRIMARY KEY (id),
	CONSTRAINT ck_saved_view_default_of_a_role CHECK (NOT is_default OR shared_with IS NOT NULL),
	CONSTRAINT fk_saved_view_owner_id FOREIGN KEY(owner_id) REFERENCES staff_user (id),
	CONSTRAINT uq_saved_view_owner_id_page_name UNIQUE (owner_id, page, name),
	CONSTRAINT ck_saved_view_role CHECK (shared_with IN ('ADMIN', 'CFO', 'FINANCIAL_SPECIALIST', 'ACCOUNTANT', 'CASHIER', 'COMPLIANCE', 'ANTI_FRAUD', 'SUPPORT_MANAGER', 'SUPPORT_AGENT', 'ISSUER', 'PARTNER', 'PAYMENTS_OPERATOR'))
);
CREATE INDEX ix_saved_view_page_shared_with ON saved_view (page, shared_with);
CREATE UNIQUE INDEX uq_saved_view_default ON saved_view (page, shared_with) WHERE is_default;
CREATE TABLE scheduled_charge (
	subscription_id INTEGER,
	due_date DATE NOT NULL,
	invoice_number VARCHAR(64) NOT NULL,
	status VARCHAR(24) NOT NULL,
	amount_minor BIGINT NOT NULL,
	unit VARCHAR(12) NOT NULL,
	attempts INTEGER NOT NULL,
	next_attempt_at DATETIME,
	payment_id INTEGER,
	is_touched BOOLEAN NOT NULL,
	needs_staff BOOLEAN NOT NULL,
	message VARCHAR(300),
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL, batch_id INTEGER CONSTRAINT fk_scheduled_charge_batch_id REFERENCES batch (id), batch_row_id INTEGER CONSTRAINT fk_scheduled_charge_batch_row_id REFERENCES batch_row (id) CONSTRAINT ck_scheduled_charge_batch_of_its_row CHECK ((batch_id IS NULL) = (batch_row_id IS NULL)) CONSTRAINT ck_scheduled_charge_one_origin CHECK ((subscription_id IS NULL) != (batch_row_id IS NULL)),
	CONSTRAINT pk_scheduled_charge PRIMARY KEY (id),
	CONSTRAINT ck_scheduled_charge_succeeded_has_payment CHECK (status != 'SUCCEEDED' OR payment_id IS NOT NULL),
	CONSTRAINT ck_scheduled_charge_retry_has_time CHECK (status != 'RETRY_WAIT' OR next_attempt_at IS NOT NULL),
	CONSTRAINT ck_scheduled_charge_amount_positive CHECK (amount_minor > 0),
	CONSTRAINT ck_scheduled_charge_attempts_not_negative CHECK (attempts >= 0),
	CONSTRAINT fk_scheduled_charge_payment_id FOREIGN KEY(payment_id) REFERENCES payment (id),
	CONSTRAINT fk_scheduled_charge_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscription (id),
	CONSTRAINT fk_scheduled_charge_unit FOREIGN KEY(unit) REFERENCES unit (code),
	CONSTRAINT uq_scheduled_charge_invoice_number UNIQUE (invoice_number),
	CONSTRAINT uq_scheduled_charge_payment_id UNIQUE (payment_id),
	CONSTRAINT uq_scheduled_charge_subscription_id_due_date UNIQUE (subscription_id, due_date),
	CONSTRAINT ck_scheduled_charge_charge_status CHECK (status IN ('SCHEDULED', 'ENQUEUED', 'PROCESSING', 'SUCCEEDED', 'RETRY_WAIT', 'FAILED', 'UNKNOWN', 'NOTIFIED', 'CANCELLED', 'SKIPPED', 'MISSED'))
);
CREATE INDEX ix_scheduled_charge_batch_id_status_due_date ON scheduled_charge (batch_id, status, due_date);
CREATE INDEX ix_scheduled_charge_created_at_id ON scheduled_charge (created_at, id);
CREATE INDEX ix_scheduled_charge_due_date_id ON scheduled_charge (due_date, id);
CREATE INDEX ix_scheduled_charge_needs_staff ON scheduled_charge (due_date, id) WHERE needs_staff = 1;
CREATE INDEX ix_scheduled_charge_status_due_date_id ON scheduled_charge (status, due_date, id);
CREATE INDEX ix_scheduled_charge_to_retry ON scheduled_charge (next_attempt_at, id) WHERE status = 'RETRY_WAIT';
CREATE UNIQUE INDEX uq_scheduled_charge_batch_row_id ON scheduled_charge (batch_row_id);
CREATE TABLE second_factor (
	staff_id INTEGER NOT NULL,
	sealed VARCHAR(255),
	sealed_pending VARCHAR(255),
	confirmed_at DATETIME,
	last_step INTEGER NOT NULL,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_second_factor PRIMARY KEY (id),
	CONSTRAINT fk_second_factor_staff_id FOREIGN KEY(staff_id) REFERENCES staff_user (id),
	CONSTRAINT uq_second_factor_staff_id UNIQUE (staff_id)
);
CREATE TABLE spent_offer (
	nonce VARCHAR(64) NOT NULL,
	staff_id INTEGER NOT NULL,
	act VARCHAR(100) NOT NULL,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_spent_offer PRIMARY KEY (id),
	CONSTRAINT fk_spent_offer_staff_id FOREIGN KEY(staff_id) REFERENCES staff_user (id),
	CONSTRAINT uq_spent_offer_nonce UNIQUE (nonce)
);
CREATE INDEX ix_spent_offer_staff_id ON spent_offer (staff_id);
CREATE TABLE staff_notice (
	id INTEGER NOT NULL,
	staff_id INTEGER NOT NULL,
	kind VARCHAR(24) NOT NULL,
	title VARCHAR(200) NOT NULL,
	page VARCHAR(64),
	row_id INTEGER,
	"key" VARCHAR(120),
	created_at DATETIME NOT NULL,
	read_at DATETIME,
	CONSTRAINT pk_staff_notice PRIMARY KEY (id),
	CONSTRAINT fk_staff_notice_staff_id FOREIGN KEY(staff_id) REFERENCES staff_user (id),
	CONSTRAINT uq_staff_notice_staff_id_key UNIQUE (staff_id, "key"),
	CONSTRAINT ck_staff_notice_notice_kind CHECK (kind IN ('READY', 'DONE', 'FAILED', 'ATTENTION', 'APPROVAL'))
);
CREATE INDEX ix_staff_notice_staff_id_created_at_id ON staff_notice (staff_id, created_at, id);
CREATE INDEX ix_staff_notice_unread ON staff_notice (staff_id) WHERE read_at IS NULL;
CREATE TABLE staff_user (
	username VARCHAR(64) NOT NULL,
	full_name VARCHAR(120) NOT NULL,
	email VARCHAR(254) NOT NULL,
	mobile VARCHAR(32),
	organization_id INTEGER,
	parent_id INTEGER,
	status VARCHAR(24) NOT NULL,
	menu_access JSON NOT NULL,
	password_hash VARCHAR(255),
	must_change_password BOOLEAN NOT NULL,
	password_expires_at DATETIME,
	session_epoch INTEGER NOT NULL,
	last_login_at DATETIME,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL, manager_id INTEGER CONSTRAINT fk_staff_user_manager_id REFERENCES staff_user (id), person_id INTEGER CONSTRAINT fk_staff_user_person_id REFERENCES staff_user (id), language VARCHAR(8),
	CONSTRAINT pk_staff_user PRIMARY KEY (id),
	CONSTRAINT ck_staff_user_session_epoch CHECK (session_epoch >= 1),
	CONSTRAINT ck_staff_user_username_lower CHECK (username = lower(username)),
	CONSTRAINT fk_staff_user_organization_id FOREIGN KEY(organization_id) REFERENCES organization (id),
	CONSTRAINT fk_staff_user_parent_id FOREIGN KEY(parent_id) REFERENCES staff_user (id),
	CONSTRAINT uq_staff_user_email UNIQUE (email),
	CONSTRAINT uq_staff_user_username UNIQUE (username),
	CONSTRAINT ck_staff_user_staff_status CHECK (status IN ('INVITED', 'ACTIVE', 'LOCKED', 'DISABLED'))
);
CREATE INDEX ix_staff_user_created_at_id ON staff_user (created_at, id);
CREATE INDEX ix_staff_user_full_name ON staff_user (full_name);
CREATE INDEX ix_staff_user_manager_id ON staff_user (manager_id);
CREATE INDEX ix_staff_user_mobile ON staff_user (mobile);
CREATE INDEX ix_staff_user_organization_id ON staff_user (organization_id);
CREATE INDEX ix_staff_user_parent_id ON staff_user (parent_id);
CREATE INDEX ix_staff_user_person_id ON staff_user (person_id);
CREATE INDEX ix_staff_user_status ON staff_user (status);
CREATE TABLE staff_user_role (
	staff_id INTEGER NOT NULL,
	role VARCHAR(24) NOT NULL,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_staff_user_role PRIMARY KEY (id),
	CONSTRAINT fk_staff_user_role_staff_id FOREIGN KEY(staff_id) REFERENCES staff_user (id),
	CONSTRAINT uq_staff_user_role_staff_id_role UNIQUE (staff_id, role),
	CONSTRAINT ck_staff_user_role_role CHECK (role IN ('ADMIN', 'CFO', 'FINANCIAL_SPECIALIST', 'ACCOUNTANT', 'CASHIER', 'COMPLIANCE', 'ANTI_FRAUD', 'SUPPORT_MANAGER', 'SUPPORT_AGENT', 'ISSUER', 'PARTNER', 'PAYMENTS_OPERATOR'))
);
CREATE TABLE subscription (
	subscription_id VARCHAR(64) NOT NULL,
	billing_number VARCHAR(64) NOT NULL,
	customer_id INTEGER NOT NULL,
	merchant_id INTEGER NOT NULL,
	amount_minor BIGINT NOT NULL,
	unit VARCHAR(12) NOT NULL,
	method VARCHAR(40) NOT NULL,
	provider VARCHAR(40) NOT NULL,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL, status VARCHAR(24) DEFAULT 'CREATED' NOT NULL CONSTRAINT ck_subscription_subscription_status CHECK (status IN ('CREATED', 'ACTIVE', 'ON_HOLD', 'INACTIVE', 'CANCELLED', 'EXPIRED', 'ABORTED')), purpose VARCHAR(24) DEFAULT 'RECURRING' NOT NULL CONSTRAINT ck_subscription_purpose CHECK (purpose IN ('RECURRING', 'REMINDER')), origin VARCHAR(24) DEFAULT 'BACKOFFICE' NOT NULL CONSTRAINT ck_subscription_subscription_origin CHECK (origin IN ('HOSTED', 'BATCH', 'API', 'BACKOFFICE', 'IMPORTED')), card_token VARCHAR(128), card_last4 VARCHAR(4), card_expires_on DATE, schedule_kind VARCHAR(24) CONSTRAINT ck_subscription_schedule_kind CHECK (schedule_kind IN ('DAY', 'DATE', 'FULL_DATE', 'INTERVAL')), schedule_weekdays JSON, schedule_days JSON, schedule_months JSON, schedule_dates JSON, schedule_interval_unit VARCHAR(24) CONSTRAINT ck_subscription_interval_unit CHECK (schedule_interval_unit IN ('DAY', 'MONTH')), schedule_interval_count INTEGER, schedule_anchor DATE, start_date DATE CONSTRAINT ck_subscription_schedule_has_start CHECK (schedule_kind IS NULL OR start_date IS NOT NULL), expiration_date DATE CONSTRAINT ck_subscription_expires_after_start CHECK (expiration_date IS NULL OR start_date <= expiration_date), planned_until DATE, plan_failed_at DATETIME, consecutive_failures INTEGER DEFAULT '0' NOT NULL CONSTRAINT ck_subscription_failures_not_negative CHECK (consecutive_failures >= 0), retry_policy_id INTEGER CONSTRAINT fk_subscription_retry_policy_id REFERENCES retry_policy (id), deleted_at DATETIME, batch_row_id INTEGER CONSTRAINT fk_subscription_batch_row_id REFERENCES batch_row (id), inactivated_at DATETIME,
	CONSTRAINT pk_subscription PRIMARY KEY (id),
	CONSTRAINT ck_subscription_amount_positive CHECK (amount_minor > 0),
	CONSTRAINT fk_subscription_customer_id FOREIGN KEY(customer_id) REFERENCES customer (id),
	CONSTRAINT fk_subscription_merchant_id FOREIGN KEY(merchant_id) REFERENCES organization (id),
	CONSTRAINT fk_subscription_unit FOREIGN KEY(unit) REFERENCES unit (code),
	CONSTRAINT uq_subscription_subscription_id UNIQUE (subscription_id)
);
CREATE INDEX ix_subscription_billing_number ON subscription (billing_number);
CREATE INDEX ix_subscription_card_expires_on_id ON subscription (card_expires_on, id);
CREATE INDEX ix_subscription_created_at_id ON subscription (created_at, id);
CREATE INDEX ix_subscription_customer_id ON subscription (customer_id);
CREATE INDEX ix_subscription_inactivated_at_id ON subscription (inactivated_at, id) WHERE inactivated_at IS NOT NULL;
CREATE INDEX ix_subscription_origin_created_at_id ON subscription (origin, created_at, id);
CREATE INDEX ix_subscription_plan_failed ON subscription (created_at, id) WHERE plan_failed_at IS NOT NULL;
CREATE INDEX ix_subscription_provider_created_at_id ON subscription (provider, created_at, id);
CREATE INDEX ix_subscription_purpose_created_at_id ON subscription (purpose, created_at, id);
CREATE INDEX ix_subscription_retry_policy_id ON subscription (retry_policy_id);
CREATE INDEX ix_subscription_status_created_at_id ON subscription (status, created_at, id);
CREATE INDEX ix_subscription_to_expire ON subscription (expiration_date, id) WHERE status IN ('CREATED', 'ACTIVE', 'ON_HOLD', 'INACTIVE');
CREATE INDEX ix_subscription_to_plan ON subscription (planned_until, id) WHERE schedule_kind IS NOT NULL AND status IN ('ACTIVE', 'ON_HOLD', 'INACTIVE');
CREATE INDEX ix_subscription_unit_amount_minor_id ON subscription (unit, amount_minor, id);
CREATE INDEX ix_subscription_unplanned ON subscription (id) WHERE schedule_kind IS NOT NULL AND planned_until IS NULL AND status IN ('ACTIVE', 'ON_HOLD', 'INACTIVE');
CREATE UNIQUE INDEX uq_subscription_batch_row_id ON subscription (batch_row_id);
CREATE UNIQUE INDEX uq_subscription_merchant_billing ON subscription (merchant_id, billing_number);
CREATE TABLE support_member (
	staff_id INTEGER NOT NULL,
	team_id INTEGER NOT NULL,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_support_member PRIMARY KEY (id),
	CONSTRAINT fk_support_member_staff_id FOREIGN KEY(staff_id) REFERENCES staff_user (id),
	CONSTRAINT fk_support_member_team_id FOREIGN KEY(team_id) REFERENCES support_team (id),
	CONSTRAINT uq_support_member_staff_id UNIQUE (staff_id)
);
CREATE INDEX ix_support_member_team_id ON support_member (team_id);
CREATE TABLE support_team (
	name VARCHAR(80) NOT NULL,
	manager_id INTEGER NOT NULL,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_support_team PRIMARY KEY (id),
	CONSTRAINT fk_support_team_manager_id FOREIGN KEY(manager_id) REFERENCES staff_user (id),
	CONSTRAINT uq_support_team_name UNIQUE (name)
);
CREATE INDEX ix_support_team_manager_id ON support_team (manager_id);
CREATE TABLE system_operation (
	"key" VARCHAR(120) NOT NULL,
	kind VARCHAR(24) NOT NULL,
	source VARCHAR(24),
	desk_id INTEGER,
	day_id INTEGER,
	unit VARCHAR(12) NOT NULL,
	amount_minor BIGINT NOT NULL,
	status VARCHAR(24) NOT NULL,
	note VARCHAR(300),
	initiated_by_id INTEGER NOT NULL,
	decided_at DATETIME,
	decided_by_id INTEGER,
	reason VARCHAR(200),
	reverses_id INTEGER,
	acknowledged_at DATETIME,
	acknowledged_by_id INTEGER,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_system_operation PRIMARY KEY (id),
	CONSTRAINT ck_system_operation_desk_unless_input CHECK ((kind = 'CASH_INPUT') = (desk_id IS NULL)),
	CONSTRAINT ck_system_operation_source_of_an_input CHECK ((kind = 'CASH_INPUT') = (source IS NOT NULL)),
	CONSTRAINT ck_system_operation_decided_or_waiting CHECK (status = 'INITIATED' OR decided_at IS NOT NULL),
	CONSTRAINT ck_system_operation_decided_by_another CHECK (status NOT IN ('CONFIRMED', 'REJECTED', 'REVERSED') OR decided_by_id <> initiated_by_id),
	CONSTRAINT ck_system_operation_acknowledged_by_somebody CHECK ((acknowledged_at IS NULL) = (acknowledged_by_id IS NULL)),
	CONSTRAINT ck_system_operation_amount_positive CHECK (amount_minor > 0),
	CONSTRAINT fk_system_operation_acknowledged_by_id FOREIGN KEY(acknowledged_by_id) REFERENCES staff_user (id),
	CONSTRAINT fk_system_operation_day_id FOREIGN KEY(day_id) REFERENCES cash_desk_day (id),
	CONSTRAINT fk_system_operation_decided_by_id FOREIGN KEY(decided_by_id) REFERENCES staff_user (id),
	CONSTRAINT fk_system_operation_desk_id FOREIGN KEY(desk_id) REFERENCES cash_desk (id),
	CONSTRAINT fk_system_operation_initiated_by_id FOREIGN KEY(initiated_by_id) REFERENCES staff_user (id),
	CONSTRAINT fk_system_operation_reverses_id FOREIGN KEY(reverses_id) REFERENCES system_operation (id),
	CONSTRAINT fk_system_operation_unit FOREIGN KEY(unit) REFERENCES unit (code),
	CONSTRAINT uq_system_operation_key UNIQUE ("key"),
	CONSTRAINT ck_system_operation_system_kind CHECK (kind IN ('CASH_INPUT', 'CASH_COLLECTION', 'INVESTMENT')),
	CONSTRAINT ck_system_operation_cash_source CHECK (source IN ('BANK', 'OWNER')),
	CONSTRAINT ck_system_operation_system_status CHECK (status IN ('INITIATED', 'CONFIRMED', 'REJECTED', 'CANCELLED', 'STALE', 'REVERSED'))
);
CREATE INDEX ix_system_operation_acknowledged_by_id ON system_operation (acknowledged_by_id);
CREATE INDEX ix_system_operation_created_at_id ON system_operation (created_at, id);
CREATE INDEX ix_system_operation_day_id_id ON system_operation (day_id, id);
CREATE INDEX ix_system_operation_decided_by_id ON system_operation (decided_by_id);
CREATE INDEX ix_system_operation_desk_id_id ON system_operation (desk_id, id);
CREATE INDEX ix_system_operation_initiated_by_id ON system_operation (initiated_by_id);
CREATE INDEX ix_system_operation_kind_id ON system_operation (kind, id);
CREATE INDEX ix_system_operation_reverses_id ON system_operation (reverses_id);
CREATE INDEX ix_system_operation_status_id ON system_operation (status, id);
CREATE INDEX ix_system_operation_unit_amount_minor_id ON system_operation (unit, amount_minor, id);
CREATE UNIQUE INDEX uq_system_operation_reverses_id ON system_operation (reverses_id) WHERE status IN ('INITIATED', 'CONFIRMED');
CREATE TABLE ticket (
	number VARCHAR(24) NOT NULL,
	customer_id INTEGER NOT NULL,
	channel VARCHAR(24) NOT NULL,
	subject VARCHAR(200) NOT NULL,
	status VARCHAR(24) NOT NULL,
	priority VARCHAR(24) NOT NULL,
	team_id INTEGER,
	assignee_id INTEGER,
	payment_id INTEGER,
	merged_into_id INTEGER,
	codeword_verified BOOLEAN NOT NULL,
	due_at DATETIME NOT NULL,
	paused_at DATETIME,
	first_answered_at DATETIME,
	resolved_at DATETIME,
	"key" VARCHAR(64),
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_ticket PRIMARY KEY (id),
	CONSTRAINT ck_ticket_paused_while_waiting CHECK ((status = 'WAITING_CUSTOMER') = (paused_at IS NOT NULL)),
	CONSTRAINT ck_ticket_merged_is_closed CHECK (merged_into_id IS NULL OR status = 'CLOSED'),
	CONSTRAINT ck_ticket_merged_into_another CHECK (merged_into_id <> id),
	CONSTRAINT fk_ticket_assignee_id FOREIGN KEY(assignee_id) REFERENCES staff_user (id),
	CONSTRAINT fk_ticket_customer_id FOREIGN KEY(customer_id) REFERENCES customer (id),
	CONSTRAINT fk_ticket_merged_into_id FOREIGN KEY(merged_into_id) REFERENCES ticket (id),
	CONSTRAINT fk_ticket_payment_id FOREIGN KEY(payment_id) REFERENCES payment (id),
	CONSTRAINT fk_ticket_team_id FOREIGN KEY(team_id) REFERENCES support_team (id),
	CONSTRAINT uq_ticket_key UNIQUE ("key"),
	CONSTRAINT uq_ticket_number UNIQUE (number),
	CONSTRAINT ck_ticket_ticket_channel CHECK (channel IN ('PHONE', 'EMAIL', 'WEB', 'CHAT')),
	CONSTRAINT ck_ticket_ticket_status CHECK (status IN ('OPEN', 'IN_PROGRESS', 'WAITING_CUSTOMER', 'RESOLVED', 'REOPENED', 'CLOSED')),
	CONSTRAINT ck_ticket_ticket_priority CHECK (priority IN ('URGENT', 'HIGH', 'NORMAL', 'LOW'))
);
CREATE INDEX ix_ticket_assignee_id_created_at_id ON ticket (assignee_id, created_at, id);
CREATE INDEX ix_ticket_created_at_id ON ticket (created_at, id);
CREATE INDEX ix_ticket_customer_id_created_at_id ON ticket (customer_id, created_at, id);
CREATE INDEX ix_ticket_due_at_id ON ticket (due_at, id);
CREATE INDEX ix_ticket_merged_into_id ON ticket (merged_into_id);
CREATE INDEX ix_ticket_payment_id ON ticket (payment_id);
CREATE INDEX ix_ticket_priority_created_at_id ON ticket (priority, created_at, id);
CREATE INDEX ix_ticket_status_created_at_id ON ticket (status, created_at, id);
CREATE INDEX ix_ticket_status_due_at_id ON ticket (status, due_at, id);
CREATE INDEX ix_ticket_team_id_created_at_id ON ticket (team_id, created_at, id);
CREATE TABLE ticket_file (
	ticket_id INTEGER NOT NULL,
	message_id INTEGER NOT NULL,
	name VARCHAR(200) NOT NULL,
	media_type VARCHAR(40) NOT NULL,
	size INTEGER NOT NULL,
	sha256 VARCHAR(64) NOT NULL,
	stored VARCHAR(64) NOT NULL,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_ticket_file PRIMARY KEY (id),
	CONSTRAINT ck_ticket_file_not_empty CHECK (size > 0),
	CONSTRAINT fk_ticket_file_message_id FOREIGN KEY(message_id) REFERENCES ticket_message (id),
	CONSTRAINT fk_ticket_file_ticket_id FOREIGN KEY(ticket_id) REFERENCES ticket (id),
	CONSTRAINT uq_ticket_file_stored UNIQUE (stored)
);
CREATE INDEX ix_ticket_file_message_id ON ticket_file (message_id);
CREATE INDEX ix_ticket_file_ticket_id_id ON ticket_file (ticket_id, id);
CREATE TABLE ticket_message (
	ticket_id INTEGER NOT NULL,
	kind VARCHAR(24) NOT NULL,
	author VARCHAR(100) NOT NULL,
	author_id INTEGER,
	body TEXT NOT NULL,
	came_by VARCHAR(24),
	mail_key VARCHAR(64),
	notification_id INTEGER,
	"key" VARCHAR(64),
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_ticket_message PRIMARY KEY (id),
	CONSTRAINT ck_ticket_message_only_answers_are_mailed CHECK (kind = 'ANSWER' OR notification_id IS NULL),
	CONSTRAINT fk_ticket_message_author_id FOREIGN KEY(author_id) REFERENCES staff_user (id),
	CONSTRAINT fk_ticket_message_notification_id FOREIGN KEY(notification_id) REFERENCES notification (id),
	CONSTRAINT fk_ticket_message_ticket_id FOREIGN KEY(ticket_id) REFERENCES ticket (id),
	CONSTRAINT uq_ticket_message_key UNIQUE ("key"),
	CONSTRAINT uq_ticket_message_ticket_id_mail_key UNIQUE (ticket_id, mail_key),
	CONSTRAINT ck_ticket_message_message_kind CHECK (kind IN ('CUSTOMER', 'ANSWER', 'NOTE')),
	CONSTRAINT ck_ticket_message_ticket_channel CHECK (came_by IN ('PHONE', 'EMAIL', 'WEB', 'CHAT'))
);
CREATE INDEX ix_ticket_message_author_id ON ticket_message (author_id);
CREATE INDEX ix_ticket_message_ticket_id_id ON ticket_message (ticket_id, id);
CREATE UNIQUE INDEX uq_ticket_message_notification_id ON ticket_message (notification_id);
CREATE TABLE translation_override (
	language VARCHAR(8) NOT NULL,
	digest VARCHAR(64) NOT NULL,
	"key" TEXT NOT NULL,
	forms JSON,
	serial INTEGER NOT NULL,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_translation_override PRIMARY KEY (id),
	CONSTRAINT uq_translation_override_language_digest UNIQUE (language, digest),
	CONSTRAINT uq_translation_override_serial UNIQUE (serial)
);
CREATE TABLE unit (
	code VARCHAR(12) NOT NULL,
	name VARCHAR(100) NOT NULL,
	kind VARCHAR(24) NOT NULL,
	scale INTEGER NOT NULL,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL, reference_unit VARCHAR(12) CONSTRAINT fk_unit_reference_unit REFERENCES unit (code) CONSTRAINT ck_unit_refers_to_another CHECK (reference_unit <> code), status VARCHAR(24) DEFAULT 'ACTIVE' NOT NULL CONSTRAINT ck_unit_unit_status CHECK (status IN ('ACTIVE', 'RETIRED')),
	CONSTRAINT pk_unit PRIMARY KEY (id),
	CONSTRAINT ck_unit_scale_0_to_8 CHECK (scale BETWEEN 0 AND 8),
	CONSTRAINT uq_unit_code UNIQUE (code),
	CONSTRAINT ck_unit_unit_kind CHECK (kind IN ('FIAT', 'E_MONEY', 'BONUS'))
);
CREATE TABLE upload_link (
	customer_id INTEGER NOT NULL,
	status VARCHAR(24) NOT NULL,
	asked_for JSON NOT NULL,
	message VARCHAR(500),
	asked_by VARCHAR(100) NOT NULL,
	nonce VARCHAR(22) NOT NULL,
	token_hash VARCHAR(64) NOT NULL,
	expires_at DATETIME NOT NULL,
	mailed_at DATETIME,
	used_at DATETIME,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_upload_link PRIMARY KEY (id),
	CONSTRAINT ck_upload_link_used_has_time CHECK ((status = 'USED') = (used_at IS NOT NULL)),
	CONSTRAINT fk_upload_link_customer_id FOREIGN KEY(customer_id) REFERENCES customer (id),
	CONSTRAINT uq_upload_link_token_hash UNIQUE (token_hash),
	CONSTRAINT ck_upload_link_upload_link_status CHECK (status IN ('OPEN', 'USED', 'REVOKED'))
);
CREATE INDEX ix_upload_link_customer_id_id ON upload_link (customer_id, id);
CREATE UNIQUE INDEX uq_upload_link_open ON upload_link (customer_id) WHERE status = 'OPEN';
CREATE TABLE usage_daily (
	day DATE NOT NULL,
	client_service_id INTEGER NOT NULL,
	operation VARCHAR(64) NOT NULL,
	source VARCHAR(40) NOT NULL,
	operations BIGINT NOT NULL,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_usage_daily PRIMARY KEY (id),
	CONSTRAINT ck_usage_daily_operations_in_range CHECK (operations BETWEEN 0 AND 1000000000000),
	CONSTRAINT fk_usage_daily_client_service_id FOREIGN KEY(client_service_id) REFERENCES client_service (id),
	CONSTRAINT uq_usage_daily_client_service_id_operation_day_source UNIQUE (client_service_id, operation, day, source)
);
CREATE INDEX ix_usage_daily_client_service_id_day_id ON usage_daily (client_service_id, day, id);
CREATE INDEX ix_usage_daily_day_id ON usage_daily (day, id);
CREATE INDEX ix_usage_daily_operation_day_id ON usage_daily (operation, day, id);
CREATE TABLE user_preference (
	id INTEGER NOT NULL,
	staff_id INTEGER NOT NULL,
	name VARCHAR(80) NOT NULL,
	value JSON NOT NULL,
	CONSTRAINT pk_user_preference PRIMARY KEY (id),
	CONSTRAINT uq_user_preference_staff_id_name UNIQUE (staff_id, name)
);
CREATE TABLE user_session (
	staff_id INTEGER NOT NULL,
	token_hash VARCHAR(64) NOT NULL,
	epoch INTEGER NOT NULL,
	ip VARCHAR(45) NOT NULL,
	agent VARCHAR(200) NOT NULL,
	last_seen_at DATETIME NOT NULL,
	ended_at DATETIME,
	ended_because VARCHAR(24),
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_user_session PRIMARY KEY (id),
	CONSTRAINT fk_user_session_staff_id FOREIGN KEY(staff_id) REFERENCES staff_user (id),
	CONSTRAINT uq_user_session_token_hash UNIQUE (token_hash),
	CONSTRAINT ck_user_session_session_end CHECK (ended_because IN ('SIGNED_OUT', 'REVOKED', 'ENDED_BY_MANAGER', 'ACCOUNT_CHANGED'))
);
CREATE INDEX ix_user_session_open ON user_session (staff_id);
CREATE TABLE void_request (
	"key" VARCHAR(120) NOT NULL,
	provider_key VARCHAR(64) NOT NULL,
	reference VARCHAR(64) NOT NULL,
	status VARCHAR(24) NOT NULL,
	reason VARCHAR(24) NOT NULL,
	note TEXT,
	requested_by_id INTEGER,
	requested_by VARCHAR(100) NOT NULL,
	provider_id VARCHAR(128),
	fence INTEGER NOT NULL,
	lease_until DATETIME,
	first_sent_at DATETIME,
	last_sent_at DATETIME,
	checks INTEGER NOT NULL,
	needs_staff BOOLEAN NOT NULL,
	code VARCHAR(80),
	message VARCHAR(300),
	payment_id INTEGER NOT NULL,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_void_request PRIMARY KEY (id),
	CONSTRAINT fk_void_request_payment_id FOREIGN KEY(payment_id) REFERENCES payment (id),
	CONSTRAINT uq_void_request_key UNIQUE ("key"),
	CONSTRAINT uq_void_request_provider_id UNIQUE (provider_id),
	CONSTRAINT uq_void_request_provider_key UNIQUE (provider_key),
	CONSTRAINT uq_void_request_reference UNIQUE (reference),
	CONSTRAINT ck_void_request_order_status CHECK (status IN ('REQUESTED', 'PENDING_APPROVAL', 'STALE', 'QUEUED', 'SUBMITTED', 'UNKNOWN', 'SUCCEEDED', 'FAILED', 'REJECTED', 'CANCELLED', 'EXPIRED')),
	CONSTRAINT ck_void_request_refund_reason CHECK (reason IN ('REQUESTED_BY_CUSTOMER', 'DUPLICATE', 'FRAUDULENT', 'NOT_DELIVERED', 'IMPORTED', 'OTHER'))
);
CREATE INDEX ix_void_request_payment_id ON void_request (payment_id);
CREATE UNIQUE INDEX uq_void_request_alive ON void_request (payment_id) WHERE status NOT IN ('FAILED', 'REJECTED', 'CANCELLED', 'EXPIRED');
CREATE TABLE wallet (
	number VARCHAR(24) NOT NULL,
	organization_id INTEGER,
	customer_id INTEGER,
	unit VARCHAR(12) NOT NULL,
	account_id INTEGER NOT NULL,
	status VARCHAR(24) NOT NULL,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_wallet PRIMARY KEY (id),
	CONSTRAINT ck_wallet_one_owner CHECK ((organization_id IS NULL) <> (customer_id IS NULL)),
	CONSTRAINT fk_wallet_account_id FOREIGN KEY(account_id, unit) REFERENCES ledger_account (id, unit),
	CONSTRAINT fk_wallet_customer_id FOREIGN KEY(customer_id) REFERENCES customer (id),
	CONSTRAINT fk_wallet_organization_id FOREIGN KEY(organization_id) REFERENCES organization (id),
	CONSTRAINT fk_wallet_unit FOREIGN KEY(unit) REFERENCES unit (code),
	CONSTRAINT uq_wallet_account_id UNIQUE (account_id),
	CONSTRAINT uq_wallet_number UNIQUE (number),
	CONSTRAINT ck_wallet_wallet_status CHECK (status IN ('OPEN', 'BLOCKED', 'CLOSED'))
);
CREATE INDEX ix_wallet_created_at_id ON wallet (created_at, id);
CREATE INDEX ix_wallet_status_id ON wallet (status, id);
CREATE INDEX ix_wallet_unit_id ON wallet (unit, id);
CREATE UNIQUE INDEX uq_wallet_customer_id_unit ON wallet (customer_id, unit);
CREATE UNIQUE INDEX uq_wallet_organization_id_unit ON wallet (organization_id, unit);
CREATE TABLE wallet_transaction (
	"key" VARCHAR(120) NOT NULL,
	kind VARCHAR(24) NOT NULL,
	from_wallet_id INTEGER,
	to_wallet_id INTEGER,
	unit VARCHAR(12) NOT NULL,
	amount_minor BIGINT NOT NULL,
	commission_minor BIGINT NOT NULL,
	paid_minor BIGINT NOT NULL,
	to_unit VARCHAR(12) NOT NULL,
	received_minor BIGINT NOT NULL,
	spread_minor BIGINT NOT NULL,
	rate VARCHAR(40),
	rate_ids JSON,
	contract_version_id INTEGER,
	day DATE NOT NULL,
	status VARCHAR(24) NOT NULL,
	note VARCHAR(300),
	author_id INTEGER,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_wallet_transaction PRIMARY KEY (id),
	CONSTRAINT ck_wallet_transaction_units_exchanged CHECK ((kind = 'EXCHANGE') = (unit <> to_unit)),
	CONSTRAINT ck_wallet_transaction_held_of_a_wallet CHECK (status <> 'HELD' OR from_wallet_id IS NOT NULL),
	CONSTRAINT ck_wallet_transaction_both_wallets CHECK (kind IN ('ADJUSTMENT', 'BONUS_ISSUE', 'BONUS_REDEEM') OR (from_wallet_id IS NOT NULL AND to_wallet_id IS NOT NULL)),
	CONSTRAINT ck_wallet_transaction_amount_positive CHECK (amount_minor > 0),
	CONSTRAINT ck_wallet_transaction_commission_not_negative CHECK (commission_minor >= 0),
	CONSTRAINT ck_wallet_transaction_two_wallets CHECK (from_wallet_id <> to_wallet_id),
	CONSTRAINT ck_wallet_transaction_of_a_wallet CHECK (from_wallet_id IS NOT NULL OR to_wallet_id IS NOT NULL),
	CONSTRAINT ck_wallet_transaction_paid_positive CHECK (paid_minor > 0),
	CONSTRAINT ck_wallet_transaction_received_positive CHECK (received_minor > 0),
	CONSTRAINT ck_wallet_transaction_spread_not_negative CHECK (spread_minor >= 0),
	CONSTRAINT ck_wallet_transaction_nothing_lost CHECK (unit <> to_unit OR (paid_minor = received_minor + commission_minor AND spread_minor = 0 AND rate IS NULL)),
	CONSTRAINT fk_wallet_transaction_author_id FOREIGN KEY(author_id) REFERENCES staff_user (id),
	CONSTRAINT fk_wallet_transaction_contract_version_id FOREIGN KEY(contract_version_id) REFERENCES contract_version (id),
	CONSTRAINT fk_wallet_transaction_from_wallet_id FOREIGN KEY(from_wallet_id) REFERENCES wallet (id),
	CONSTRAINT fk_wallet_transaction_to_unit FOREIGN KEY(to_unit) REFERENCES unit (code),
	CONSTRAINT fk_wallet_transaction_to_wallet_id FOREIGN KEY(to_wallet_id) REFERENCES wallet (id),
	CONSTRAINT fk_wallet_transaction_unit FOREIGN KEY(unit) REFERENCES unit (code),
	CONSTRAINT uq_wallet_transaction_key UNIQUE ("key"),
	CONSTRAINT ck_wallet_transaction_wallet_kind CHECK (kind IN ('TRANSFER', 'EXCHANGE', 'MASS_PAYMENT', 'SALE', 'BONUS_ISSUE', 'BONUS_REDEEM', 'ADJUSTMENT')),
	CONSTRAINT ck_wallet_transaction_move_status CHECK (status IN ('HELD', 'EXECUTED', 'RELEASED', 'REVERSED'))
);
CREATE INDEX ix_wallet_transaction_author_id ON wallet_transaction (author_id);
CREATE INDEX ix_wallet_transaction_contract_version_id ON wallet_transaction (contract_version_id);
CREATE INDEX ix_wallet_transaction_counted ON wallet_transaction (from_wallet_id, kind, day);
CREATE INDEX ix_wallet_transaction_created_at_id ON wallet_transaction (created_at, id);
CREATE INDEX ix_wallet_transaction_from_wallet_id_id ON wallet_transaction (from_wallet_id, id);
CREATE INDEX ix_wallet_transaction_kind_id ON wallet_transaction (kind, id);
CREATE INDEX ix_wallet_transaction_status_id ON wallet_transaction (status, id);
CREATE INDEX ix_wallet_transaction_to_unit ON wallet_transaction (to_unit);
CREATE INDEX ix_wallet_transaction_to_wallet_id_id ON wallet_transaction (to_wallet_id, id);
CREATE INDEX ix_wallet_transaction_unit_amount_minor_id ON wallet_transaction (unit, amount_minor, id);
CREATE TABLE watch_day (
	rule_id INTEGER NOT NULL,
	day VARCHAR(10) NOT NULL,
	raised INTEGER NOT NULL,
	beyond INTEGER NOT NULL,
	CONSTRAINT pk_watch_day PRIMARY KEY (rule_id, day),
	CONSTRAINT fk_watch_day_rule_id FOREIGN KEY(rule_id) REFERENCES watch_rule (id)
);
CREATE TABLE watch_item (
	id INTEGER NOT NULL,
	payment_id INTEGER NOT NULL, failures INTEGER DEFAULT '0' NOT NULL, failed_at DATETIME, error VARCHAR(300),
	CONSTRAINT pk_watch_item PRIMARY KEY (id)
);
CREATE INDEX ix_watch_item_failed_at_id ON watch_item (failed_at, id) WHERE failed_at IS NOT NULL;
CREATE TABLE watch_note (
	rule_id INTEGER NOT NULL,
	version_id INTEGER NOT NULL,
	payment_id INTEGER NOT NULL,
	customer_id INTEGER NOT NULL,
	amount_minor BIGINT NOT NULL,
	unit VARCHAR(12) NOT NULL,
	facts JSON NOT NULL,
	status VARCHAR(24) NOT NULL,
	decided_at DATETIME,
	decided_by VARCHAR(100),
	words VARCHAR(300),
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_watch_note PRIMARY KEY (id),
	CONSTRAINT ck_watch_note_decided_or_open CHECK ((status = 'OPEN') = (decided_at IS NULL)),
	CONSTRAINT fk_watch_note_customer_id FOREIGN KEY(customer_id) REFERENCES customer (id),
	CONSTRAINT fk_watch_note_payment_id FOREIGN KEY(payment_id) REFERENCES payment (id),
	CONSTRAINT fk_watch_note_rule_id FOREIGN KEY(rule_id) REFERENCES watch_rule (id),
	CONSTRAINT fk_watch_note_unit FOREIGN KEY(unit) REFERENCES unit (code),
	CONSTRAINT fk_watch_note_version_id FOREIGN KEY(version_id) REFERENCES watch_version (id),
	CONSTRAINT uq_watch_note_rule_id_payment_id UNIQUE (rule_id, payment_id),
	CONSTRAINT ck_watch_note_note_status CHECK (status IN ('OPEN', 'HARMLESS', 'ACTED'))
);
CREATE INDEX ix_watch_note_created_at_id ON watch_note (created_at, id);
CREATE INDEX ix_watch_note_customer_id_id ON watch_note (customer_id, id);
CREATE INDEX ix_watch_note_payment_id_id ON watch_note (payment_id, id);
CREATE INDEX ix_watch_note_rule_id_created_at_id ON watch_note (rule_id, created_at, id);
CREATE INDEX ix_watch_note_status_created_at_id ON watch_note (status, created_at, id);
CREATE INDEX ix_watch_note_version_id ON watch_note (version_id);
CREATE TABLE watch_rule (
	name VARCHAR(80) NOT NULL,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_watch_rule PRIMARY KEY (id),
	CONSTRAINT uq_watch_rule_name UNIQUE (name)
);
CREATE INDEX ix_watch_rule_created_at_id ON watch_rule (created_at, id);
CREATE TABLE watch_trial (
	version_id INTEGER NOT NULL,
	as_of INTEGER NOT NULL,
	days INTEGER NOT NULL,
	since DATETIME NOT NULL,
	until DATETIME NOT NULL,
	status VARCHAR(24) NOT NULL,
	rows_done INTEGER NOT NULL,
	raised INTEGER NOT NULL,
	most_on_a_day INTEGER NOT NULL,
	by_day JSON NOT NULL,
	found JSON NOT NULL,
	cursor_at DATETIME,
	cursor_id INTEGER NOT NULL,
	requester_id INTEGER,
	done_at DATETIME,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_watch_trial PRIMARY KEY (id),
	CONSTRAINT ck_watch_trial_days_in_range CHECK (days BETWEEN 1 AND 366),
	CONSTRAINT ck_watch_trial_counts_add_up CHECK (raised BETWEEN 0 AND rows_done),
	CONSTRAINT fk_watch_trial_requester_id FOREIGN KEY(requester_id) REFERENCES staff_user (id),
	CONSTRAINT fk_watch_trial_version_id FOREIGN KEY(version_id) REFERENCES watch_version (id),
	CONSTRAINT ck_watch_trial_trial_status CHECK (status IN ('RUNNING', 'DONE', 'FAILED'))
);
CREATE INDEX ix_watch_trial_requester_id ON watch_trial (requester_id);
CREATE INDEX ix_watch_trial_version_id_id ON watch_trial (version_id, id);
CREATE TABLE watch_version (
	rule_id INTEGER NOT NULL,
	number INTEGER NOT NULL,
	conditions JSON NOT NULL,
	most_a_day INTEGER NOT NULL,
	blocks BOOLEAN NOT NULL,
	status VARCHAR(24) NOT NULL,
	author_id INTEGER,
	activated_at DATETIME,
	activated_by VARCHAR(100),
	archived_at DATETIME,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_watch_version PRIMARY KEY (id),
	CONSTRAINT ck_watch_version_on_since CHECK (status <> 'ACTIVE' OR activated_at IS NOT NULL),
	CONSTRAINT ck_watch_version_draft_was_never_on CHECK (status <> 'DRAFT' OR activated_at IS NULL),
	CONSTRAINT ck_watch_version_most_a_day_in_range CHECK (most_a_day BETWEEN 1 AND 10000),
	CONSTRAINT fk_watch_version_author_id FOREIGN KEY(author_id) REFERENCES staff_user (id),
	CONSTRAINT fk_watch_version_rule_id FOREIGN KEY(rule_id) REFERENCES watch_rule (id),
	CONSTRAINT uq_watch_version_rule_id_number UNIQUE (rule_id, number),
	CONSTRAINT ck_watch_version_watch_status CHECK (status IN ('DRAFT', 'ACTIVE', 'ARCHIVED'))
);
CREATE INDEX ix_watch_version_author_id ON watch_version (author_id);
CREATE UNIQUE INDEX uq_watch_version_active ON watch_version (rule_id) WHERE status = 'ACTIVE';
CREATE UNIQUE INDEX uq_watch_version_draft ON watch_version (rule_id) WHERE status = 'DRAFT';
CREATE TABLE web_minute (
	at DATETIME NOT NULL,
	requests INTEGER NOT NULL,
	errors INTEGER NOT NULL,
	milliseconds INTEGER NOT NULL,
	slowest INTEGER NOT NULL,
	CONSTRAINT pk_web_minute PRIMARY KEY (at)
);
CREATE TABLE webhook_delivery (
	endpoint_id INTEGER NOT NULL,
	scheduled_charge_id INTEGER,
	event VARCHAR(40) NOT NULL,
	payload JSON NOT NULL,
	state VARCHAR(24) NOT NULL,
	tries INTEGER NOT NULL,
	answer VARCHAR(300),
	next_try_at DATETIME,
	delivered_at DATETIME,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_webhook_delivery PRIMARY KEY (id),
	CONSTRAINT fk_webhook_delivery_endpoint_id FOREIGN KEY(endpoint_id) REFERENCES webhook_endpoint (id),
	CONSTRAINT fk_webhook_delivery_scheduled_charge_id FOREIGN KEY(scheduled_charge_id) REFERENCES scheduled_charge (id),
	CONSTRAINT uq_webhook_delivery_scheduled_charge_id UNIQUE (scheduled_charge_id),
	CONSTRAINT ck_webhook_delivery_delivery_state CHECK (state IN ('DUE', 'DELIVERED', 'FAILED'))
);
CREATE INDEX ix_webhook_delivery_created_at_id ON webhook_delivery (created_at, id);
CREATE INDEX ix_webhook_delivery_endpoint_id_created_at_id ON webhook_delivery (endpoint_id, created_at, id);
CREATE INDEX ix_webhook_delivery_state_created_at_id ON webhook_delivery (state, created_at, id);
CREATE TABLE webhook_endpoint (
	merchant_id INTEGER NOT NULL,
	url VARCHAR(500) NOT NULL,
	sealed_secret VARCHAR(300) NOT NULL,
	enabled BOOLEAN NOT NULL,
	mails_customers BOOLEAN NOT NULL,
	id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_webhook_endpoint PRIMARY KEY (id),
	CONSTRAINT fk_webhook_endpoint_merchant_id FOREIGN KEY(merchant_id) REFERENCES organization (id),
	CONSTRAINT uq_webhook_endpoint_merchant_id UNIQUE (merchant_id)
);
