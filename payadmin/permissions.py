"""Who may do what: permissions, roles, grants and the menu, as tables that an auditor can read from top to bottom.

Source: the roles and sections of the four source documents (domain specification 3.2 and 3.3). Rooms whose pages do not
exist yet have their menu items here already, so that Menu Access never changes meaning; an item without a page is not
shown.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Permission(StrEnum):
    """`room:thing:verb`, alphabetical."""

    ACCESS_SESSION_END = "access:session:end"
    ACCESS_SESSION_START = "access:session:start"  # no role has it: it is what somebody at the login page may do
    ACCESS_STAFF_JOIN = "access:staff:join"
    ACCESS_STAFF_MANAGE = "access:staff:manage"
    ACCESS_STAFF_READ = "access:staff:read"
    ACCOUNT_SELF_EDIT = "account:self:edit"
    API_KEY_MANAGE = "api:key:manage"
    API_KEY_READ = "api:key:read"
    API_KEY_USE = "api:key:use"  # no role has it: it is what whoever knocks at the API may do
    APPROVALS_ACCESS_APPROVE = "approvals:access:approve"
    APPROVALS_CHECKOUT_RULES_APPROVE = "approvals:checkout_rules:approve"
    APPROVALS_OUTCOME_APPROVE = "approvals:outcome:approve"
    APPROVALS_POLICY_APPROVE = "approvals:policy:approve"
    APPROVALS_POLICY_READ = "approvals:policy:read"
    APPROVALS_POLICY_WRITE = "approvals:policy:write"
    APPROVALS_REFUND_APPROVE = "approvals:refund:approve"
    APPROVALS_REQUEST_READ = "approvals:request:read"
    APPROVALS_RETRY_POLICY_APPROVE = "approvals:retry_policy:approve"
    APPROVALS_UNBLOCK_APPROVE = "approvals:unblock:approve"
    APPROVALS_VOID_APPROVE = "approvals:void:approve"
    APPROVALS_WALLET_APPROVE = "approvals:wallet:approve"
    APPROVALS_WATCH_RULE_APPROVE = "approvals:watch_rule:approve"
    AUDIT_EVENT_EXPORT = "audit:event:export"
    AUDIT_EVENT_READ = "audit:event:read"
    AUDIT_EVENT_VERIFY = "audit:event:verify"
    BANKING_FILE_MAKE = "banking:file:make"
    BANKING_FILE_READ = "banking:file:read"
    BANKING_FILE_RELEASE = "banking:file:release"  # never by whoever made the file
    BANKING_STATEMENT_DECIDE = "banking:statement:decide"
    BANKING_STATEMENT_READ = "banking:statement:read"
    BATCHES_BATCH_READ = "batches:batch:read"
    BATCHES_BATCH_PROCESS = "batches:batch:process"
    CASH_DAY_DECIDE = "cash:day:decide"
    CASH_DAY_OPERATE = "cash:day:operate"
    CASH_DAY_READ = "cash:day:read"
    CASH_DESK_READ = "cash:desk:read"
    CASH_DESK_WRITE = "cash:desk:write"
    CASH_OPERATION_CONFIRM = "cash:operation:confirm"
    CASH_OPERATION_INITIATE = "cash:operation:initiate"
    CASH_OPERATION_READ = "cash:operation:read"
    CASH_REDEEM_DECIDE = "cash:redeem:decide"
    CASH_REDEEM_EXPORT = "cash:redeem:export"
    CASH_REDEEM_PAY = "cash:redeem:pay"
    CASH_REDEEM_READ = "cash:redeem:read"
    CASH_REDEEM_SUBMIT = "cash:redeem:submit"
    CHECKOUT_METHOD_ASK = "checkout:method:ask"  # no role has it: it is what a key of the API may do
    CHECKOUT_RULE_READ = "checkout:rule:read"
    CHECKOUT_RULE_WRITE = "checkout:rule:write"
    COMPLIANCE_CASE_DECIDE = "compliance:case:decide"
    COMPLIANCE_DOCUMENT_ERASE = "compliance:document:erase"
    COMPLIANCE_DOCUMENT_READ = "compliance:document:read"
    # No role has it: it is what whoever holds an upload link may do, and only with that link.
    COMPLIANCE_LINK_USE = "compliance:link:use"
    CONTRACTS_CONTRACT_PROPOSE = "contracts:contract:propose"
    CONTRACTS_CONTRACT_WRITE = "contracts:contract:write"  # what one proposes is done at once
    CONTRACTS_REQUEST_DECIDE = "contracts:request:decide"
    CONTRACTS_REQUEST_READ = "contracts:request:read"
    EXPORTS_EXPORT_MANAGE = "exports:export:manage"
    EXPORTS_EXPORT_READ = "exports:export:read"
    FRAUD_APPLICATION_DECIDE = "fraud:application:decide"
    FRAUD_BLOCK_WRITE = "fraud:block:write"
    FRAUD_SUMMARY_EXPORT = "fraud:summary:export"
    FRAUD_SUMMARY_READ = "fraud:summary:read"
    FRAUD_WATCH_WRITE = "fraud:watch:write"
    FX_RATE_READ = "fx:rate:read"
    FX_RATE_WRITE = "fx:rate:write"
    HOME_CONSUMPTION_READ = "home:consumption:read"
    HOME_PAGE_READ = "home:page:read"
    LEDGER_ENTRY_CHECK = "ledger:entry:check"
    LEDGER_ENTRY_CLOSE = "ledger:entry:close"
    LEDGER_ENTRY_EXPORT = "ledger:entry:export"
    LEDGER_ENTRY_READ = "ledger:entry:read"
    PARTIES_CUSTOMER_EXPORT = "parties:customer:export"
    PARTIES_CUSTOMER_READ = "parties:customer:read"
    PARTIES_CUSTOMER_WRITE = "parties:customer:write"
    PARTIES_ORGANIZATION_EXPORT = "parties:organization:export"
    PARTIES_ORGANIZATION_READ = "parties:organization:read"
    PARTIES_ORGANIZATION_WRITE = "parties:organization:write"
    PARTIES_PERSONAL_READ = "parties:personal:read"
    PARTIES_PERSONAL_REVEAL = "parties:personal:reveal"
    PAYMENTS_MAILBOX_READ = "payments:mailbox:read"
    PAYMENTS_NOTE_WRITE = "payments:note:write"
    PAYMENTS_PAYMENT_EXPORT = "payments:payment:export"
    PAYMENTS_PAYMENT_IMPORT = "payments:payment:import"
    PAYMENTS_PAYMENT_INVOICE = "payments:payment:invoice"
    PAYMENTS_PAYMENT_NOTIFY = "payments:payment:notify"
    PAYMENTS_PAYMENT_READ = "payments:payment:read"
    PAYMENTS_PAYMENT_REFUND = "payments:payment:refund"
    PAYMENTS_PAYMENT_VOID = "payments:payment:void"
    RECORDS_RECORD_EXPORT = "records:record:export"
    RECORDS_RECORD_READ = "records:record:read"
    RECORDS_RECORD_WRITE = "records:record:write"
    REPORTING_ANALYTICS_READ = "reporting:analytics:read"
    REPORTING_BILLING_READ = "reporting:billing:read"
    REPORTING_FIGURES_PIN = "reporting:figures:pin"
    REPORTING_OPERATIONAL_READ = "reporting:operational:read"
    # No role has it: it is what whoever holds a registration link may do, and only with that link.
    SUBSCRIPTIONS_LINK_USE = "subscriptions:link:use"
    SUBSCRIPTIONS_SUBSCRIPTION_EXPORT = "subscriptions:subscription:export"
    SUBSCRIPTIONS_SUBSCRIPTION_READ = "subscriptions:subscription:read"
    SUBSCRIPTIONS_SUBSCRIPTION_WRITE = "subscriptions:subscription:write"
    SUPPORT_CODEWORD_WRITE = "support:codeword:write"
    SUPPORT_TEAM_MANAGE = "support:team:manage"
    SUPPORT_TICKET_EXPORT = "support:ticket:export"
    SUPPORT_TICKET_WRITE = "support:ticket:write"
    SYSTEM_JOB_RUN = "system:job:run"
    SYSTEM_MONITORING_READ = "system:monitoring:read"
    SYSTEM_MONITORING_WRITE = "system:monitoring:write"
    SYSTEM_TEXT_WRITE = "system:text:write"
    USAGE_COUNT_EXPORT = "usage:count:export"
    USAGE_COUNT_READ = "usage:count:read"
    # No role has it: it is what a key of the API with this scope may do.
    USAGE_COUNT_REPORT = "usage:count:report"
    USAGE_SERVICE_EXPORT = "usage:service:export"
    USAGE_SERVICE_READ = "usage:service:read"
    USAGE_SERVICE_WRITE = "usage:service:write"
    WALLETS_PRODUCT_EXPORT = "wallets:product:export"
    WALLETS_PRODUCT_READ = "wallets:product:read"
    WALLETS_PRODUCT_SELL = "wallets:product:sell"
    WALLETS_PRODUCT_WRITE = "wallets:product:write"
    WALLETS_UNIT_READ = "wallets:unit:read"
    WALLETS_UNIT_WRITE = "wallets:unit:write"
    WALLETS_WALLET_ADJUST = "wallets:wallet:adjust"
    WALLETS_WALLET_EXPORT = "wallets:wallet:export"
    WALLETS_WALLET_MOVE = "wallets:wallet:move"
    WALLETS_WALLET_READ = "wallets:wallet:read"
    WALLETS_WALLET_WRITE = "wallets:wallet:write"


class Role(StrEnum):
    """The actors of the sources; the value is what screens show."""

    ADMIN = "Administrator"
    CFO = "CFO"
    FINANCIAL_SPECIALIST = "Financial specialist"
    ACCOUNTANT = "Accountant"
    CASHIER = "Cashier"
    COMPLIANCE = "Compliance specialist"
    ANTI_FRAUD = "Anti-fraud specialist"
    SUPPORT_MANAGER = "Customer support manager"
    SUPPORT_AGENT = "SCC"
    ISSUER = "Issuer"
    PARTNER = "Partner"
    PAYMENTS_OPERATOR = "Payments operator"


P = Permission


class ApiScope(StrEnum):
    """What a key of the API is for; each opens the endpoints that name it, and nothing else."""

    CHECKOUT_READ = "checkout:read"
    USAGE_WRITE = "usage:write"


# What a key with the scope may do; no scope ever gives what a role gives.
SCOPES: dict[ApiScope, Permission] = {
    ApiScope.CHECKOUT_READ: P.CHECKOUT_METHOD_ASK,
    ApiScope.USAGE_WRITE: P.USAGE_COUNT_REPORT,
}

_EVERYONE = frozenset({P.HOME_PAGE_READ, P.ACCOUNT_SELF_EDIT})

# Deciding needs nothing else: not the permission to do what is decided (MC2). Who asked never decides (MC1).
_APPROVES = frozenset(
    {
        P.APPROVALS_ACCESS_APPROVE,
        P.APPROVALS_CHECKOUT_RULES_APPROVE,
        P.APPROVALS_OUTCOME_APPROVE,
        P.APPROVALS_POLICY_APPROVE,
        P.APPROVALS_POLICY_READ,
        P.APPROVALS_POLICY_WRITE,
        P.APPROVALS_REFUND_APPROVE,
        P.APPROVALS_REQUEST_READ,
        P.APPROVALS_RETRY_POLICY_APPROVE,
        P.APPROVALS_VOID_APPROVE,
        P.APPROVALS_UNBLOCK_APPROVE,
        P.APPROVALS_WALLET_APPROVE,
        P.APPROVALS_WATCH_RULE_APPROVE,
    }
)
_PAYMENTS_READ = frozenset({P.PAYMENTS_PAYMENT_READ, P.PAYMENTS_PAYMENT_INVOICE})
_RECURRING_READ = frozenset(
    {P.SUBSCRIPTIONS_SUBSCRIPTION_READ, P.BATCHES_BATCH_READ, P.REPORTING_BILLING_READ, P.REPORTING_ANALYTICS_READ}
)
_EXPORTS = frozenset(
    {
        P.PAYMENTS_PAYMENT_EXPORT,
        P.PARTIES_CUSTOMER_EXPORT,
        P.PARTIES_ORGANIZATION_EXPORT,
        P.SUBSCRIPTIONS_SUBSCRIPTION_EXPORT,
        P.EXPORTS_EXPORT_READ,
    }
)

# S1: of the client services of one's own organization; the pages see to that.
_CONSUMPTION = frozenset(
    {
        P.HOME_CONSUMPTION_READ,
        P.REPORTING_FIGURES_PIN,
        P.USAGE_COUNT_EXPORT,
        P.USAGE_COUNT_READ,
        P.USAGE_SERVICE_EXPORT,
        P.USAGE_SERVICE_READ,
    }
)

GRANTS: dict[Role, frozenset[Permission]] = {
    Role.ADMIN: _EVERYONE
    | _APPROVES
    | _PAYMENTS_READ
    | _RECURRING_READ
    | _EXPORTS
    | {
        P.ACCESS_SESSION_END,
        P.ACCESS_STAFF_JOIN,
        P.ACCESS_STAFF_MANAGE,
        P.ACCESS_STAFF_READ,
        P.API_KEY_MANAGE,
        P.API_KEY_READ,
        P.AUDIT_EVENT_EXPORT,
        P.AUDIT_EVENT_READ,
        P.AUDIT_EVENT_VERIFY,
        P.CHECKOUT_RULE_READ,
        P.CHECKOUT_RULE_WRITE,
        P.EXPORTS_EXPORT_MANAGE,
        P.LEDGER_ENTRY_CHECK,
        P.LEDGER_ENTRY_EXPORT,
        P.LEDGER_ENTRY_READ,
        P.PARTIES_CUSTOMER_READ,
        P.PARTIES_ORGANIZATION_READ,
        P.PARTIES_ORGANIZATION_WRITE,
        P.PARTIES_PERSONAL_READ,
        P.PAYMENTS_MAILBOX_READ,
        P.RECORDS_RECORD_EXPORT,
        P.RECORDS_RECORD_READ,
        P.RECORDS_RECORD_WRITE,
        P.REPORTING_FIGURES_PIN,
        P.REPORTING_OPERATIONAL_READ,
        P.SUPPORT_CODEWORD_WRITE,
        P.SYSTEM_MONITORING_READ,
        P.SYSTEM_MONITORING_WRITE,
        P.SYSTEM_TEXT_WRITE,
        P.USAGE_COUNT_EXPORT,
        P.USAGE_COUNT_READ,
        P.USAGE_SERVICE_EXPORT,
        P.USAGE_SERVICE_READ,
        P.USAGE_SERVICE_WRITE,
        P.WALLETS_PRODUCT_EXPORT,
        P.WALLETS_PRODUCT_READ,
        P.WALLETS_PRODUCT_SELL,
        P.WALLETS_PRODUCT_WRITE,
        P.WALLETS_UNIT_READ,
        P.WALLETS_UNIT_WRITE,
        P.WALLETS_WALLET_ADJUST,
        P.WALLETS_WALLET_EXPORT,
        P.WALLETS_WALLET_MOVE,
        P.WALLETS_WALLET_READ,
        P.WALLETS_WALLET_WRITE,
    },
    Role.CFO: _EVERYONE
    | _APPROVES
    | _PAYMENTS_READ
    | _RECURRING_READ
    | _EXPORTS
    | {
        P.ACCESS_SESSION_END,
        P.ACCESS_STAFF_MANAGE,
        P.ACCESS_STAFF_READ,
        P.AUDIT_EVENT_EXPORT,
        P.AUDIT_EVENT_READ,
        P.AUDIT_EVENT_VERIFY,
        P.BANKING_FILE_READ,
        P.BANKING_FILE_RELEASE,
        P.BANKING_STATEMENT_READ,
        P.CASH_DAY_READ,
        P.CASH_DESK_READ,
        P.CASH_DESK_WRITE,
        P.CASH_OPERATION_CONFIRM,
        P.CASH_OPERATION_READ,
        P.CONTRACTS_CONTRACT_PROPOSE,
        P.CONTRACTS_CONTRACT_WRITE,
        P.CONTRACTS_REQUEST_DECIDE,
        P.CONTRACTS_REQUEST_READ,
        P.FX_RATE_READ,
        P.FX_RATE_WRITE,
        P.LEDGER_ENTRY_CHECK,
        P.LEDGER_ENTRY_CLOSE,
        P.LEDGER_ENTRY_EXPORT,
        P.LEDGER_ENTRY_READ,
        P.PARTIES_CUSTOMER_READ,
        P.PARTIES_ORGANIZATION_READ,
        P.PARTIES_PERSONAL_READ,
        P.REPORTING_FIGURES_PIN,
        P.REPORTING_OPERATIONAL_READ,
    },
    Role.FINANCIAL_SPECIALIST: _EVERYONE
    | {
        P.CONTRACTS_CONTRACT_PROPOSE,
        P.CONTRACTS_REQUEST_READ,
        P.FX_RATE_READ,
        P.FX_RATE_WRITE,
        P.REPORTING_OPERATIONAL_READ,
    },
    Role.ACCOUNTANT: _EVERYONE
    | {
        P.BANKING_FILE_MAKE,
        P.BANKING_FILE_READ,
        P.BANKING_FILE_RELEASE,
        P.BANKING_STATEMENT_DECIDE,
        P.BANKING_STATEMENT_READ,
        P.CASH_DAY_DECIDE,
        P.CASH_DAY_READ,
        P.CASH_DESK_READ,
        P.CASH_DESK_WRITE,
        P.CASH_OPERATION_INITIATE,
        P.CASH_OPERATION_READ,
        P.CASH_REDEEM_DECIDE,
        P.CASH_REDEEM_EXPORT,
        P.CASH_REDEEM_READ,
        P.CASH_REDEEM_SUBMIT,
        P.LEDGER_ENTRY_CHECK,
        P.LEDGER_ENTRY_CLOSE,
        P.LEDGER_ENTRY_EXPORT,
        P.LEDGER_ENTRY_READ,
        P.REPORTING_OPERATIONAL_READ,
    },
    Role.CASHIER: _EVERYONE
    | {
        P.CASH_DAY_OPERATE,
        P.CASH_DAY_READ,
        P.CASH_OPERATION_READ,
        P.CASH_REDEEM_PAY,
        P.CASH_REDEEM_READ,
        P.CASH_REDEEM_SUBMIT,
    },
    Role.COMPLIANCE: _EVERYONE
    | {
        P.ACCESS_SESSION_END,
        P.ACCESS_STAFF_MANAGE,
        P.ACCESS_STAFF_READ,
        P.APPROVALS_REQUEST_READ,
        P.COMPLIANCE_CASE_DECIDE,
        P.COMPLIANCE_DOCUMENT_ERASE,
        P.COMPLIANCE_DOCUMENT_READ,
        P.PARTIES_CUSTOMER_READ,
        P.PARTIES_ORGANIZATION_READ,
        P.PARTIES_PERSONAL_READ,
        P.REPORTING_FIGURES_PIN,
    },
    # Not the trail: S3 lets anti-fraud see only the acts of users whom they may block, which comes with Blocks.
    Role.ANTI_FRAUD: _EVERYONE
    | {
        P.APPROVALS_REQUEST_READ,
        P.APPROVALS_UNBLOCK_APPROVE,
        P.APPROVALS_WATCH_RULE_APPROVE,
        P.FRAUD_APPLICATION_DECIDE,
        P.FRAUD_BLOCK_WRITE,
        P.FRAUD_SUMMARY_EXPORT,
        P.FRAUD_SUMMARY_READ,
        P.FRAUD_WATCH_WRITE,
        P.PAYMENTS_PAYMENT_READ,
        P.PARTIES_CUSTOMER_READ,
        P.PARTIES_PERSONAL_REVEAL,
        P.REPORTING_FIGURES_PIN,
    },
    Role.SUPPORT_MANAGER: _EVERYONE
    | {
        P.ACCESS_SESSION_END,
        P.ACCESS_STAFF_MANAGE,
        P.ACCESS_STAFF_READ,
        P.APPROVALS_REQUEST_READ,
        P.PAYMENTS_PAYMENT_READ,
        P.PARTIES_CUSTOMER_READ,
        P.PARTIES_PERSONAL_REVEAL,
        P.REPORTING_FIGURES_PIN,
        P.SUPPORT_CODEWORD_WRITE,
        P.SUPPORT_TEAM_MANAGE,
        P.SUPPORT_TICKET_EXPORT,
        P.SUPPORT_TICKET_WRITE,
    },
    Role.SUPPORT_AGENT: _EVERYONE
    | {
        P.PAYMENTS_PAYMENT_READ,
        P.PARTIES_CUSTOMER_READ,
        P.PARTIES_PERSONAL_REVEAL,
        P.REPORTING_FIGURES_PIN,
        P.SUPPORT_TICKET_EXPORT,
        P.SUPPORT_TICKET_WRITE,
    },
    Role.ISSUER: _EVERYONE | _CONSUMPTION,
    Role.PARTNER: _EVERYONE | _CONSUMPTION,
    Role.PAYMENTS_OPERATOR: _EVERYONE
    | _PAYMENTS_READ
    | _RECURRING_READ
    | _EXPORTS
    | {
        P.APPROVALS_REQUEST_READ,
        P.BATCHES_BATCH_PROCESS,
        P.CHECKOUT_RULE_READ,
        P.CHECKOUT_RULE_WRITE,
        P.PARTIES_CUSTOMER_READ,
        P.PARTIES_CUSTOMER_WRITE,
        P.PARTIES_ORGANIZATION_READ,
        P.PARTIES_PERSONAL_READ,
        P.PAYMENTS_MAILBOX_READ,
        P.PAYMENTS_NOTE_WRITE,
        P.PAYMENTS_PAYMENT_IMPORT,
        P.PAYMENTS_PAYMENT_NOTIFY,
        P.PAYMENTS_PAYMENT_REFUND,
        P.PAYMENTS_PAYMENT_VOID,
        P.REPORTING_FIGURES_PIN,
        P.SUBSCRIPTIONS_SUBSCRIPTION_WRITE,
    },
}

# Who may create, change, lock and reset whom. Nobody raises their own rights: that is checked beside this table.
GRANTABLE: dict[Role, frozenset[Role]] = {
    Role.ADMIN: frozenset(Role),
    Role.CFO: frozenset(Role),
    Role.COMPLIANCE: frozenset({Role.SUPPORT_MANAGER, Role.ANTI_FRAUD}),
    Role.SUPPORT_MANAGER: frozenset({Role.SUPPORT_AGENT}),
}


def granted(roles: Iterable[Role], permission: Permission) -> bool:
    """Whether any of `roles` has `permission`."""
    return any(permission in GRANTS[role] for role in roles)


def permissions_of(roles: Iterable[Role]) -> frozenset[Permission]:
    """Everything that `roles` together may do."""
    return frozenset().union(*(GRANTS[role] for role in roles))


def grantable_by(roles: Iterable[Role]) -> frozenset[Role]:
    """The roles that a holder of `roles` may give to others."""
    return frozenset().union(*(GRANTABLE.get(role, frozenset()) for role in roles))


@dataclass(frozen=True)
class Item:
    """One entry of the menu; its key is what Menu Access ticks and what a page names as its `menu`."""

    key: str
    label: str
    icon: str
    permission: Permission


@dataclass(frozen=True)
class Section:
    """A group of the menu; an empty label puts its items on top, without a heading."""

    label: str
    items: tuple[Item, ...]


MENU: tuple[Section, ...] = (
    Section("", (Item("home", "Home", "home", P.HOME_PAGE_READ),)),
    Section(
        "Payments",
        (
            Item("transactions", "Transactions", "credit-card", P.PAYMENTS_PAYMENT_READ),
            Item("void", "Void", "ban", P.PAYMENTS_PAYMENT_VOID),
            Item("refund", "Refund", "receipt-refund", P.PAYMENTS_PAYMENT_REFUND),
            Item("customers", "Customers", "users", P.PARTIES_CUSTOMER_READ),
            Item("mailbox", "Mailbox", "mail", P.PAYMENTS_MAILBOX_READ),
        ),
    ),
    Section(
        "Recurring",
        (
            Item("subscriptions", "Subscriptions", "repeat", P.SUBSCRIPTIONS_SUBSCRIPTION_READ),
            Item("manage-recurring", "Manage recurring", "calendar-repeat", P.SUBSCRIPTIONS_SUBSCRIPTION_WRITE),
            Item("scheduled-charges", "Scheduled charges", "calendar-event", P.SUBSCRIPTIONS_SUBSCRIPTION_READ),
            Item("cancel-scheduled", "Cancel scheduled", "calendar-x", P.SUBSCRIPTIONS_SUBSCRIPTION_WRITE),
            Item("registration", "Registration", "file-plus", P.BATCHES_BATCH_READ),
            Item("expiring-cards", "Expiring cards", "credit-card-off", P.SUBSCRIPTIONS_SUBSCRIPTION_READ),
            Item("needs-attention", "Needs attention", "alert-triangle", P.SUBSCRIPTIONS_SUBSCRIPTION_READ),
            Item("retry-policies", "Retry policies", "rotate", P.SUBSCRIPTIONS_SUBSCRIPTION_READ),
            Item("reminder-endpoints", "Reminder endpoints", "bell", P.SUBSCRIPTIONS_SUBSCRIPTION_READ),
            Item("reminder-deliveries", "Reminder deliveries", "send", P.SUBSCRIPTIONS_SUBSCRIPTION_READ),
        ),
    ),
    Section(
        "Batches",
        (
            Item("batch-transaction", "Batch transaction", "file-upload", P.BATCHES_BATCH_PROCESS),
            Item("batch-report", "Batch report", "report", P.BATCHES_BATCH_READ),
            Item("all-report", "All report", "report-search", P.BATCHES_BATCH_READ),
        ),
    ),
    Section("Checkout", (Item("adaptive-checkout", "Adaptive checkout", "route", P.CHECKOUT_RULE_READ),)),
    Section(
        "Analytics",
        (
            Item("analytics", "Payments", "chart-line", P.REPORTING_ANALYTICS_READ),
            Item("billing-dashboard", "Billing dashboard", "chart-bar", P.REPORTING_BILLING_READ),
            Item("operational-report", "Operational report", "report", P.REPORTING_OPERATIONAL_READ),
            Item("my-figures", "My figures", "star", P.REPORTING_FIGURES_PIN),
        ),
    ),
    Section(
        "Consumption",
        (
            Item("client-services", "Client services", "stack-2", P.USAGE_SERVICE_READ),
            Item("usage", "Usage", "chart-bar", P.USAGE_COUNT_READ),
        ),
    ),
    Section(
        "Wallets",
        (
            Item("coins", "Coins", "wallet", P.WALLETS_WALLET_READ),
            Item("wallet-transactions", "Wallet transactions", "arrows-exchange", P.WALLETS_WALLET_READ),
            Item("units", "Issuers (units)", "coin", P.WALLETS_UNIT_READ),
            Item("products", "Products", "package", P.WALLETS_PRODUCT_READ),
            Item("product-sales", "Product sales", "receipt", P.WALLETS_PRODUCT_READ),
            Item("organizations", "Organizations", "building", P.PARTIES_ORGANIZATION_READ),
        ),
    ),
    Section(
        "Treasury",
        (
            Item("cash-register-day", "Cash register day", "building-store", P.CASH_DAY_READ),
            Item("cash-desks", "Cash desks", "building-store", P.CASH_DESK_READ),
            Item("system-operations", "System operations", "arrows-exchange", P.CASH_OPERATION_READ),
            Item("cash-report", "Cash report", "report", P.CASH_DAY_READ),
            Item("redeem-requests", "Redeem requests", "cash", P.CASH_REDEEM_READ),
            Item("payment-files", "Payment files", "send", P.BANKING_FILE_READ),
            Item("bank-statements", "Bank statements", "report", P.BANKING_STATEMENT_READ),
            Item("ledger", "Ledger health", "book", P.LEDGER_ENTRY_READ),
            Item("ledger-accounts", "Ledger accounts", "list", P.LEDGER_ENTRY_READ),
            Item("journal", "Journal", "receipt", P.LEDGER_ENTRY_READ),
            Item("trial-balance", "Trial balance", "scale", P.LEDGER_ENTRY_READ),
            Item("accounting-periods", "Accounting periods", "lock", P.LEDGER_ENTRY_READ),
        ),
    ),
    Section(
        "Tariffs",
        (
            Item("contracts", "Contracts", "contract", P.CONTRACTS_REQUEST_READ),
            Item("cashback", "Cashback profiles", "gift", P.CONTRACTS_REQUEST_READ),
            Item("exchange-rates", "Exchange rates", "scale", P.FX_RATE_READ),
            Item("requests", "Requests", "inbox", P.CONTRACTS_REQUEST_READ),
        ),
    ),
    Section(
        "Risk",
        (
            Item("applications", "Applications", "shield", P.FRAUD_APPLICATION_DECIDE),
            Item("blocks", "Blocks", "ban", P.FRAUD_BLOCK_WRITE),
            Item("transactions-summary", "Transactions summary", "list", P.FRAUD_SUMMARY_READ),
            Item("watch-rules", "Watch rules", "route", P.FRAUD_WATCH_WRITE),
            Item("watch-notes", "Watch notes", "bell", P.FRAUD_WATCH_WRITE),
        ),
    ),
    Section("Compliance", (Item("identification", "Users' identification", "id", P.COMPLIANCE_CASE_DECIDE),)),
    Section(
        "Support",
        (
            Item("clients", "Clients", "users", P.SUPPORT_TICKET_WRITE),
            Item("tickets", "Tickets", "ticket", P.SUPPORT_TICKET_WRITE),
            Item("scc", "SCC", "users-group", P.SUPPORT_TEAM_MANAGE),
        ),
    ),
    Section(
        "Admin",
        (
            Item("staff", "User management", "user", P.ACCESS_STAFF_READ),
            Item("user-actions", "User actions", "history", P.AUDIT_EVENT_READ),
            Item("user-activity", "User activity", "list-check", P.AUDIT_EVENT_READ),
            Item("audit-verification", "Audit verification", "certificate", P.AUDIT_EVENT_READ),
            Item("texts", "i18n", "language", P.SYSTEM_TEXT_WRITE),
            Item("monitoring", "Monitoring", "activity", P.SYSTEM_MONITORING_READ),
            Item("workers", "Workers", "server", P.SYSTEM_MONITORING_READ),
            Item("approvals", "Approvals inbox", "shield-check", P.APPROVALS_REQUEST_READ),
            Item("approval-policies", "Approval policies", "scale", P.APPROVALS_POLICY_READ),
            Item("exports", "Exports", "download", P.EXPORTS_EXPORT_READ),
            Item("api-keys", "API keys", "key", P.API_KEY_READ),
        ),
    ),
)

MENU_KEYS: frozenset[str] = frozenset(item.key for section in MENU for item in section.items)


def opens(ticked: Iterable[str], key: str) -> bool:
    """Whether Menu Access leaves the entry `key` to somebody whose ticks these are; none at all leaves every entry.

    Everybody has a home, and what is no entry of the menu cannot be ticked, so it is the roles' alone.
    """
    ticked = frozenset(ticked)
    return not ticked or key in ticked or key == "home" or key not in MENU_KEYS


def within_menu(allowed: frozenset[Permission], ticked: Iterable[str]) -> frozenset[Permission]:
    """What Menu Access leaves of what the roles allow: never more, and nothing behind an entry that is not ticked.

    An entry stands for its own permission, and for every other act on the same thing (`access:staff:manage` goes with
    User management) unless another ticked entry is about that thing too.
    """
    ticked = frozenset(ticked)
    if not ticked:
        return allowed
    items = [item for section in MENU for item in section.items]
    left = {item.permission for item in items if opens(ticked, item.key)}
    things = {_thing(permission) for permission in left}
    named = {item.permission for item in items}
    governed = {_thing(item.permission) for item in items}
    return frozenset(
        permission
        for permission in allowed
        if permission in left
        or (permission not in named and (_thing(permission) in things or _thing(permission) not in governed))
    )


def _thing(permission: Permission) -> str:
    return permission.rpartition(":")[0]
