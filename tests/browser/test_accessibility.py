"""axe-core finds nothing on any page or state, in light, in dark and on a phone; and nothing is wider than a phone."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from payadmin.permissions import Role
from tests.support.batch_files import BatchFiles, choose_merchant, upload_batch
from tests.support.browser import DESK, PHONE, Codes, Demo, Desk, Watched

pytestmark = [pytest.mark.browser, pytest.mark.once]

OPTIONS = {
    "resultTypes": ["violations"],
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
}
# The colours are all that differs in the dark.
COLOURS = OPTIONS | {"runOnly": ["color-contrast", "link-in-text-block"]}
Act = Callable[[Page], Any]


@dataclass(frozen=True)
class Place:
    """A page as staff see it: where it is, and what is done there before one looks."""

    name: str
    path: str
    act: Act | None = None
    status: int = 200
    user: str = "admin"


def press(role: str, name: str, *, exact: bool = True) -> Act:
    return lambda page: page.locator("#main").get_by_role(role, name=name, exact=exact).first.click()  # type: ignore[arg-type]


def in_menu(opener: str, entry: str) -> Act:
    def act(page: Page) -> None:
        page.locator("#main").get_by_role("button", name=opener).first.click()
        page.get_by_role("menuitem", name=entry).click()
        page.locator("#dlg[open] button, #dlg[open] a").first.wait_for()

    return act


def dialog_of(link: str) -> Act:
    def act(page: Page) -> None:
        page.locator("#main").get_by_role("link", name=link, exact=True).click()
        page.locator("#dlg[open] button").first.wait_for()

    return act


def tick_rows(page: Page) -> None:
    for place in (0, 2):
        page.locator(".rowcheck").nth(place).check()
    page.get_by_role("button", name="Download invoices").wait_for()


def confirm_bulk(page: Page) -> None:
    page.locator("[data-check-all]").check()
    page.get_by_role("button", name="Refund").click()
    page.get_by_role("heading", name="Confirm").wait_for()


def told_costs(page: Page) -> None:
    page.get_by_label("Amount").fill("125.00")
    page.locator("#costs ol").wait_for()


def palette(page: Page) -> None:
    page.keyboard.press("Control+k")
    page.keyboard.type("BCC-00018")
    page.locator(".pal-row").nth(3).wait_for()


def opened_help(page: Page) -> None:
    page.get_by_role("link", name="Help: what is this page?").click()
    page.locator("#dlg[open] .prose").wait_for()


def opened_bell(page: Page) -> None:
    page.locator("#bell").click()
    page.locator("#bellmenu a").first.wait_for()


def palette_empty(page: Page) -> None:
    page.keyboard.press("Control+k")
    page.keyboard.type("nothing is called so")
    page.locator("#pal-list .empty").wait_for()


def refund_dialog(page: Page) -> None:
    page.locator("#main").get_by_role("link", name="Refund", exact=True).click()
    page.get_by_label("Amount to refund").fill("999999")
    page.locator("#amount-error:not([hidden])").wait_for()


def shown_charts(page: Page) -> None:
    """Scroll to the last chart, so that both are drawn."""
    page.locator("#chart-operations-a-day").scroll_into_view_if_needed()
    for name in ("month", "day"):
        page.locator(f"#chart-operations-a-{name}:not([aria-busy])").wait_for()


def shown_tables(page: Page) -> None:
    for summary in page.locator(".chart-table summary").all():
        summary.click()


def navigation(page: Page) -> None:
    if page.get_by_role("button", name="Open navigation").is_visible():
        page.get_by_role("button", name="Open navigation").click()
    page.locator("#side").get_by_role("button", name="admin").click()


def cancel_first_date(page: Page) -> None:
    page.locator(".rowcheck").first.check()
    page.get_by_role("button", name="Cancel execute dates").click()
    page.get_by_role("heading", name="Confirm").wait_for()


def wrong_card(page: Page) -> None:
    page.get_by_label("Card No").fill("4242 4242 4242 4241")
    page.locator("#main").get_by_role("button", name="Search").click()
    page.locator("#r-card-error").wait_for()


def let_first_go(page: Page) -> None:
    page.locator(".rowcheck").first.check()
    page.get_by_role("button", name="Let go").click()
    page.get_by_role("heading", name="Confirm").wait_for()


def type_schedule(page: Page) -> None:
    page.get_by_role("radio", name="Days of the week").check()
    page.get_by_role("checkbox", name="Monday").check()
    page.locator("#schedule-preview li").nth(11).wait_for()
    page.get_by_role("checkbox", name="All months").uncheck()
    page.locator("#schedule-preview").get_by_text("Choose at least one month").wait_for()


def drag_over(page: Page) -> None:
    page.locator(".drop").evaluate(
        "zone => zone.dispatchEvent(new DragEvent('dragover', "
        "{dataTransfer: new DataTransfer(), bubbles: true, cancelable: true}))"
    )


def stale(page: Page) -> None:
    """Save a form that somebody else has overtaken."""
    page.locator("input[name=seen_version]").evaluate("field => { field.value = '0' }")
    page.get_by_role("button", name="Save").click()


PLACES = (
    Place("identification", "identification/?size=20", user="compliance"),
    Place("identification, nothing found", "identification/?search=nothinglikethis", user="compliance"),
    Place("identification, one customer", "identification/{identified}/", user="compliance"),
    Place("identification, in review", "identification/{in_review}/", user="compliance"),
    Place("document", "identification/{in_review}/documents/{document}/", user="compliance"),
    Place("document, refused", "identification/{in_review}/documents/new/", press("button", "Add"), 422, "compliance"),
    Place(
        "documents, request dialog", "identification/{in_review}/", dialog_of("Request documents…"), user="compliance"
    ),
    Place("identification, reject dialog", "identification/{in_review}/", dialog_of("Reject…"), user="compliance"),
    Place("applications", "applications/", user="antifraud"),
    Place("application", "applications/{application}/", user="antifraud"),
    Place("application, approval", "applications/{application}/approve/", user="antifraud"),
    Place(
        "application, refused rejection",
        "applications/{application}/reject/",
        press("button", "Reject"),
        422,
        "antifraud",
    ),
    Place("blocks", "blocks/", user="antifraud"),
    Place("block", "blocks/{block}/", user="antifraud"),
    Place("block, found", "blocks/find/?q={email}", user="antifraud"),
    Place("block, nothing found", "blocks/find/?q=nothinglikethis", user="antifraud"),
    Place("block, refused", "blocks/set/?target=WALLET&row=1", press("button", "Block"), 422, "antifraud"),
    Place("block, lift", "blocks/{block}/lift/", user="antifraud"),
    Place("what a customer did", "blocks/activity/?customer={customer}", user="antifraud"),
    Place("transactions summary", "transactions-summary/?from=2017-09-01&to=2017-10-10&size=20", user="antifraud"),
    Place("transactions summary, refused", "transactions-summary/?from=2017-09-02&to=2017-09-01", user="antifraud"),
    Place("watch rules", "watch-rules/", user="antifraud"),
    Place("watch rule", "watch-rules/{rule}/", user="antifraud"),
    Place("watch rule, form", "watch-rules/{rule}/edit/", user="antifraud"),
    Place("watch rule, refused", "watch-rules/new/", press("button", "Save the draft"), 422, "antifraud"),
    Place("watch notes", "watch-notes/?size=20", user="antifraud"),
    Place("watch note", "watch-notes/{note}/", user="antifraud"),
    Place("watch note, decided", "watch-notes/{note}/decide/", press("button", "Save"), 422, "antifraud"),
    Place("clients", "clients/", user="support"),
    Place("clients, found", "clients/?q={external}", user="support"),
    Place("client", "clients/{customer}/", user="support"),
    Place("client, revealed without a reason", "clients/{customer}/reveal/", user="support"),
    Place("new codeword", "clients/{customer}/new-codeword/", user="support"),
    Place("new ticket, refused", "clients/{customer}/new-ticket/", press("button", "Open the ticket"), 422, "support"),
    Place("tickets", "tickets/?size=20", user="support"),
    Place("ticket", "tickets/{ticket}/", user="support"),
    Place("ticket, without words", "tickets/{ticket}/", press("button", "Keep as a note"), 422, "support"),
    Place("ticket, of an SCC", "tickets/{team_ticket}/", user="agent"),
    Place("scc", "scc/", user="support"),
    Place("new scc, refused", "scc/new/", press("button", "Invite the SCC"), 422, "support"),
    Place("payment files", "payment-files/", user="accountant"),
    Place("payment file, nothing to make", "payment-files/make/?unit=JPY", user="accountant"),
    Place("bank statements", "bank-statements/", user="accountant"),
    Place("bank statements, upload", "bank-statements/upload/", user="accountant"),
    Place("home", ""),
    Place("home of a partner", "", shown_charts, user="partner"),
    Place("home of a partner, tables", "", shown_tables, user="partner"),
    Place("client services", "client-services/", user="issuer"),
    Place("client service", "client-services/1/", user="issuer"),
    Place("new client service, refused", "client-services/new/", press("button", "Save")),
    Place("usage, added up", "usage/?of=mine&day=2020-01-01..&size=20", user="partner"),
    Place("usage count", "usage/1/", user="partner"),
    Place("api keys, none", "api-keys/"),
    Place("new api key, refused", "api-keys/new/", press("button", "Make and show the key"), status=422),
    Place("user actions", "user-actions/?size=20"),
    Place("user actions, open activity filter", "user-actions/?size=20", press("button", "Activity")),
    Place("user actions, nothing found", "user-actions/?data=nothinglikethis"),
    Place("user action", "user-actions/3/"),
    Place("user activity", "user-activity/?size=20"),
    Place("audit verification", "audit-verification/"),
    Place("monitoring", "monitoring/"),
    Place("analytics", "analytics/?range=custom&from=2017-09-01&to=2017-10-10&unit=GBP"),
    Place("analytics, own days", "analytics/?range=7d&unit=GBP", press("button", "Custom")),
    Place("analytics, days that make no sense", "analytics/?range=custom&from=2017-09-01&to=2017-08-01", status=400),
    Place("analytics elsewhere", "analytics/share/"),
    Place("billing dashboard", "billing/dashboard/?period=month&day=2017-10-10&unit=GBP"),
    Place("billing dashboard, another day", "billing/dashboard/", press("button", "Day")),
    Place("billing dashboard, a day to come", "billing/dashboard/?day=2199-01-01", status=400),
    Place("navigation and account menu", "", navigation),
    Place("list", "transactions/?size=20"),
    Place("list, filtered and searched", "transactions/?status=FAILED&type=DIRECT&search=BCC&size=20"),
    Place("list, open status filter", "transactions/?size=20", press("button", "Status")),
    Place("list, open date filter", "transactions/?size=20", press("button", "Date")),
    Place("list, open amount filter", "transactions/?size=20", press("button", "Amount")),
    Place("list, open customer filter", "transactions/?size=20", press("button", "Customer")),
    Place("list, go to a day", "transactions/?size=20", press("button", "Go to a day")),
    Place("list, column chooser", "transactions/?size=20", press("button", "Columns")),
    Place("list, export menu", "transactions/?size=20", press("button", "Export")),
    Place("list, bulk bar", "transactions/?status=PAID&size=20", tick_rows),
    Place("list, row menu", "transactions/?status=FAILED&size=20", press("button", "Actions for", exact=False)),
    Place("list, empty", "transactions/?search=nothinglikethis"),
    Place("export of many rows", "transactions/export/csv/"),
    Place("details", "transactions/{paid}/"),
    Place("details, refunded", "transactions/{refunded}/"),
    Place("details, more actions", "transactions/{paid}/", press("button", "More actions")),
    Place("details, confirmation", "transactions/{paid}/", press("button", "Send notification")),
    Place("refund dialog, wrong amount", "transactions/{paid}/", refund_dialog),
    Place("void dialog", "transactions/{open}/", in_menu("More actions", "Void payment")),
    Place("invoice dialog", "transactions/?search={paid_name}", in_menu("Actions for", "Invoice")),
    Place("refund page", "transactions/{paid}/action/refund/"),
    Place("void page that refuses", "transactions/{paid}/action/void/"),
    Place("bulk confirmation", "transactions/?customer={mixed}&size=20", confirm_bulk),
    Place("void search", "void/"),
    Place("void search, found", "void/?billing_number={billing}"),
    Place("refund search, found", "refund/?billing_number={billing}"),
    Place("refund search, nothing found", "refund/?billing_number=none"),
    Place("customers", "customers/?size=20"),
    Place("customer", "customers/{customer}/"),
    Place("customer form", "customers/{customer}/edit/"),
    Place("organizations", "organizations/?size=20"),
    Place("organization", "organizations/{merchant}/"),
    Place("new organization, refused", "organizations/new/", press("button", "Save")),
    Place("stale form", "organizations/{merchant}/edit/", stale, status=409),
    Place("subscriptions", "subscriptions/?size=20"),
    Place("subscriptions, row menu", "subscriptions/?size=20", press("button", "Actions for", exact=False)),
    Place("subscription", "subscriptions/{sub}/"),
    Place("subscription, imported", "subscriptions/1/"),
    Place("subscription, on hold", "subscriptions/{hold}/"),
    Place("subscription, retry policy dialog", "subscriptions/{sub}/", in_menu("More actions", "Change retry policy")),
    Place("subscription, inactivate dialog", "subscriptions/{sub}/", dialog_of("Inactivate")),
    Place("subscription, cancel dialog", "subscriptions/{sub}/", dialog_of("Cancel")),
    Place("subscription, change type", "subscriptions/{sub}/change-type/"),
    Place("subscription, delete", "subscriptions/{sub}/delete/"),
    Place("subscription, edit dates", "subscriptions/{sub}/dates/"),
    Place("new subscription, schedule without months", "subscriptions/new/", type_schedule),
    Place("new subscription, refused", "subscriptions/new/", press("button", "Register subscription"), status=422),
    Place("manage recurring", "manage-recurring/"),
    Place("manage recurring, nothing found", "manage-recurring/?customer_id=none"),
    Place(
        "manage recurring, edit menu",
        "manage-recurring/?billing_number={number}",
        press("button", "Actions for", exact=False),
    ),
    Place("expiring cards", "expiring-cards/?size=20"),
    Place("registration", "registration/?size=20"),
    Place("registration, open origin filter", "registration/?size=20", press("button", "Origin")),
    Place("registration links", "registration-links/"),
    Place("new registration link, refused", "registration-links/new/", press("button", "Make the link"), status=422),
    Place("scheduled charges", "scheduled-charges/?size=20"),
    Place("scheduled charge", "scheduled-charges/{failed}/"),
    Place("scheduled charge that needs a decision", "scheduled-charges/{undecided}/"),
    Place("scheduled charge, declare unpaid", "scheduled-charges/{undecided}/", dialog_of("Declare unpaid…")),
    Place("cancel scheduled", "cancel-scheduled/"),
    Place("cancel scheduled, found", "cancel-scheduled/?invoice_number=R00"),
    Place("cancel scheduled, confirmation", "cancel-scheduled/?invoice_number=R00", cancel_first_date),
    Place("missed dates", "needs-attention/?group=missed"),
    Place("missed dates, let go", "needs-attention/?group=missed", let_first_go),
    Place("charges that need a decision", "needs-attention/?group=decisions"),
    Place("stopped subscriptions", "needs-attention/?group=stopped"),
    Place("charges that failed today", "needs-attention/?group=failed"),
    Place("retry policies", "retry-policies/"),
    Place("retry policy", "retry-policies/1/"),
    Place("retry policy, form", "retry-policies/1/edit/"),
    Place("retry policy, refused form", "retry-policies/new/", press("button", "Save"), status=422),
    Place("adaptive checkout", "adaptive-checkout/"),
    Place(
        "adaptive checkout, tested",
        "adaptive-checkout/?f-amount=50&f-amount-unit=GBP&f-channel=WEB&f-user_type=MERCHANT",
    ),
    Place("checkout rule", "adaptive-checkout/2/"),
    Place("checkout rule, form", "adaptive-checkout/8/edit/", press("button", "Add a condition")),
    Place("checkout rule, refused", "adaptive-checkout/new/?draft=2", press("button", "Save"), status=422),
    Place("default rule, form", "adaptive-checkout/10/edit/"),
    Place("checkout versions", "checkout-versions/"),
    Place("checkout draft with dead rules", "checkout-versions/2/"),
    Place("checkout differences", "checkout-versions/2/differences/"),
    Place("checkout activation", "checkout-versions/2/activate/"),
    Place("checkout import, refused", "checkout-versions/import/", press("button", "Import as a draft"), status=422),
    Place("checkout replays, none yet", "checkout-replays/"),
    Place("provider methods", "provider-methods/"),
    Place("reminder endpoints", "reminder-endpoints/"),
    Place("reminder endpoint", "reminder-endpoints/1/"),
    Place("reminder endpoint, new", "reminder-endpoints/new/"),
    Place("reminder endpoint, new secret", "reminder-endpoints/1/secret/"),
    Place(
        "reminder endpoint, the secret", "reminder-endpoints/1/secret/", press("button", "Make and show the new secret")
    ),
    Place("reminder deliveries", "reminder-deliveries/?size=20"),
    Place("reminder delivery", "reminder-deliveries/1/"),
    Place("contracts", "contracts/", user="cfo"),
    Place("contract", "contracts/1/", told_costs, user="cfo"),
    Place("contract, versions compared", "contracts/1/compare/?a=1&b=2", user="cfo"),
    Place("contract, new version", "contracts/1/version/", press("button", "Add a term"), user="cfo"),
    Place("contract, refused", "contracts/new/", press("button", "Save"), status=422, user="cfo"),
    Place("contract, proposed", "contracts/1/version/", user="specialist"),
    Place("contract, given", "contracts/1/organizations/new/", press("button", "Give"), status=422, user="cfo"),
    Place("cashback profiles", "cashback-profiles/", user="cfo"),
    Place("cashback profile", "cashback-profiles/1/", user="cfo"),
    Place("cashback profile, refused", "cashback-profiles/new/", press("button", "Save"), status=422, user="cfo"),
    Place("exchange rates", "exchange-rates/?size=20", user="cfo"),
    Place("exchange rate", "exchange-rates/1/", user="cfo"),
    Place("exchange rate, refused", "exchange-rates/new/", press("button", "Put in force"), status=422, user="cfo"),
    Place("exchange rates, pair", "exchange-rates/pair/?base=EUR&quote=USD&amount=125", user="specialist"),
    Place("exchange rates, import", "exchange-rates/import/", press("button", "Import"), status=422, user="cfo"),
    Place("requests of Financial specialists", "requests/", user="cfo"),
    Place("units", "units/?size=20"),
    Place("unit", "units/{points}/"),
    Place("unit, issued", "units/{points}/issue/", press("button", "Issue"), status=422),
    Place("new unit, refused", "units/new/", press("button", "Save"), status=422),
    Place("workers", "workers/"),
    Place("mailbox", "mailbox/?size=20"),
    Place("exports, none yet", "exports/", user="operator"),
    Place("exports", "exports/"),
    Place("schedule an export", "transactions/export/schedule/?status=PAID"),
    Place("scheduled exports", "export-schedules/"),
    Place("all report", "all-report/?size=20"),
    Place("all report, found", "all-report/?size=20&status=FAILED", press("button", "Export")),
    Place("all report, nothing found", "all-report/?billing_number=none"),
    Place("all report, refused", "all-report/", wrong_card, status=422),
    Place("batch transaction, registration", "batch-transaction/"),
    Place("batch transaction, single payment", "batch-transaction/?kind=single-payment"),
    Place("batch transaction, mass payment", "batch-transaction/?kind=mass-payment"),
    Place("mass payment, ready", "batches/1/"),
    Place("mass payment, process", "batches/1/process/"),
    Place("products", "products/"),
    Place("product", "products/1/"),
    Place("new product", "products/new/"),
    Place("new product, nothing filled in", "products/new/", press("button", "Save"), status=422),
    Place("edit product", "products/1/edit/"),
    Place("sell a product", "products/1/sell/"),
    Place("sell a product, no wallet", "products/1/sell/", press("button", "Continue"), status=422),
    Place("product out of sale", "products/3/"),
    Place("product sales", "product-sales/"),
    Place("product sale", "product-sales/1/"),
    Place("cash desks", "cash-desks/", user="accountant"),
    Place("new cash desk, refused", "cash-desks/new/", press("button", "Save"), status=422, user="accountant"),
    Place("cash register day", "cash-register-day/", user="accountant"),
    Place("cash register day, of a cashier", "cash-register-day/own/", user="cashier"),
    Place("cash operations", "cash-operations/", user="accountant"),
    Place("redeem requests", "redeem-requests/", user="accountant"),
    Place("redeem requests, all of them", "redeem-requests/?sort=-created_at", user="accountant"),
    Place("new redeem request", "redeem-requests/new/", user="cashier"),
    Place("new redeem request, empty", "redeem-requests/new/", press("button", "Continue"), status=422, user="cashier"),
    Place("batch transaction, without a file", "batch-transaction/", press("button", "Upload and check"), status=422),
    Place("batch transaction, file dragged over", "batch-transaction/", drag_over),
    Place("batch transaction, file beyond every limit", "batch-transaction/?refused=too-large"),
    Place("batch report, open status filter", "batches/?size=20", press("button", "Status")),
    Place("batch report, nothing found", "batches/?search=nothinglikethis"),
    Place("views", "transactions/?status=FAILED&size=20", press("button", "Views")),
    Place("columns", "transactions/?size=20", press("button", "Columns")),
    Place("manage views", "transactions/views/"),
    Place("search", "search/?q=BCC-00018"),
    Place("search, nothing found", "search/?q=nothing+is+called+so"),
    Place("help", "transactions/?size=20", opened_help),
    Place("help as a page", "help/transactions/"),
    Place("notifications", "notices/"),
    Place("the bell", "customers/?size=20", opened_bell),
    Place("customer, masked", "customers/{customer}/", user="support"),
    Place("reveal, refused", "customers/{customer}/reveal/", press("button", "Show for 5 minutes"), 422, "support"),
    Place("palette", "customers/?size=20", palette),
    Place("palette, nothing found", "customers/?size=20", palette_empty),
    Place("users", "staff/"),
    Place("users, of a support manager", "staff/", user="support"),
    Place("user", "staff/5/"),
    Place("user, more", "staff/5/", press("button", "More")),
    Place("user, lock", "staff/5/lock/"),
    Place("user, show secret key", "staff/5/secret-key/"),
    Place("user, one's own", "staff/1/"),
    Place("new user", "staff/new/"),
    Place("edit user", "staff/10/edit/"),
    Place("roles and menu", "staff/5/rights/"),
    Place("import users", "staff/import/"),
    Place("import users, no file", "staff/import/", press("button", "Check and invite"), status=422),
    Place("account", "account/"),
    Place("name and mobile number", "account/details"),
    Place("change e-mail address", "account/email"),
    Place("change password", "account/password"),
    Place("new authenticator", "account/authenticator"),
    Place("recovery codes", "account/recovery-codes"),
    Place("400", "transactions/?nonsense=1", status=400),
    Place("403", "refund/", status=403, user="support"),
    Place("404", "nothing-here/", status=404),
    Place("409", "transactions/{paid}/subscription/", status=409),
    Place("list of a role without personal data", "transactions/?size=20", user="support"),
    Place("details of a role without personal data", "transactions/{paid}/", user="support"),
)


@pytest.fixture(scope="session")
def eyes(demo: Demo, chromium: Browser, codes: Codes, sessions: dict[str, Any]) -> Iterator["Eyes"]:
    found = Eyes(Desk(demo, chromium, codes, sessions, Watched()))
    yield found
    found.desk.close()


class Eyes:
    """One browser for each account, so that style and scripts come from its cache."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._pages: dict[str, Page] = {}
        self._axe = Axe().axe_script
        self._facts = _facts(desk.demo)

    def page(self, user: str) -> Page:
        if user not in self._pages:
            self._pages[user] = self.desk.page(user, reduced_motion="reduce", color_scheme="light")
        return self._pages[user]

    def go(self, page: Page, place: Place) -> None:
        page.goto("/" + place.path.format(**self._facts))
        if place.act is not None:
            place.act(page)

    def look(self, page: Page, again: Callable[[], None] | None = None) -> dict[str, list[str]]:
        """What axe finds: by day, by night, and on a phone, where `again` brings the page back to its state."""
        found = {"light": self._faults(page)}
        page.evaluate("document.documentElement.dataset.theme = 'dark'")
        found["dark"] = self._faults(page, COLOURS)
        page.evaluate("document.documentElement.dataset.theme = 'light'")
        page.set_viewport_size(PHONE)  # type: ignore[arg-type]
        try:
            if again is not None:
                again()
            found["phone"] = self._faults(page)
            if (width := page.evaluate("document.documentElement.scrollWidth")) > PHONE["width"]:
                found["phone"].append(f"the page is {width} pixels wide")
        finally:
            page.set_viewport_size(DESK)  # type: ignore[arg-type]
        return {look: faults for look, faults in found.items() if faults}

    def _faults(self, page: Page, options: dict[str, Any] = OPTIONS) -> list[str]:
        page.wait_for_load_state()  # a click that submits a form returns when its answer begins
        if not page.evaluate("'axe' in window"):
            page.evaluate(self._axe)
        # Without its preload: axe copies the styles of charts into a document of its own, which the policy stops.
        answer = page.evaluate("options => axe.run(document, options)", options | {"preload": False})
        return [
            f"{fault['id']}: {node['html'][:200]} {node.get('failureSummary', '')}"
            for fault in answer["violations"]
            for node in fault["nodes"][:3]
        ]


def _facts(demo: Demo) -> dict[str, Any]:
    paid = "mode = 'LIVE' AND status = 'PAID' AND subscription_id IS NULL AND refunded_minor + reserved_minor = 0"
    ((number, name, customer, merchant),) = demo.rows(
        f"SELECT id, transaction_id, customer_id, merchant_id FROM payment WHERE {paid} AND settled_at IS NOT NULL "
        "ORDER BY created_at DESC LIMIT 1 OFFSET 90"
    )
    ((unsettled,),) = demo.rows(
        f"SELECT id FROM payment WHERE {paid} AND settled_at IS NULL ORDER BY created_at DESC LIMIT 1 OFFSET 40"
    )
    ((refunded,),) = demo.rows("SELECT max(payment_id) FROM refund")
    ((mixed,),) = demo.rows(
        "SELECT customer_id FROM payment WHERE mode = 'LIVE' GROUP BY customer_id "
        "HAVING sum(status = 'FAILED') > 0 AND sum(status = 'PAID') > 2 AND count(*) < 15 ORDER BY customer_id LIMIT 1"
    )
    ((billing,),) = demo.rows("SELECT billing_number FROM subscription LIMIT 1")
    sub, number_of_sub = demo.rows(
        "SELECT s.id, s.billing_number FROM subscription s WHERE s.status = 'ACTIVE' AND s.purpose = 'RECURRING' "
        "AND s.card_token = 'tok_mastercard' AND s.schedule_kind = 'DATE' ORDER BY s.id LIMIT 1"
    )[0]
    ((hold,),) = demo.rows("SELECT min(id) FROM subscription WHERE status = 'ON_HOLD'")
    ((failed,),) = demo.rows("SELECT min(id) FROM scheduled_charge WHERE status = 'FAILED'")
    ((undecided,),) = demo.rows("SELECT min(id) FROM scheduled_charge WHERE needs_staff")
    ((points,),) = demo.rows("SELECT id FROM unit WHERE code = 'POINTS'")
    ((identified,),) = demo.rows("SELECT min(customer_id) FROM identity_document WHERE status = 'ACCEPTED'")
    ((in_review, document),) = demo.rows(
        "SELECT d.customer_id, d.id FROM identity_document d JOIN customer c ON c.id = d.customer_id "
        "WHERE c.identification = 'IN_REVIEW' ORDER BY d.id LIMIT 1"
    )
    first = {
        key: demo.rows(f"SELECT min(id) FROM {table}")[0][0]
        for key, table in {
            "application": "limit_application WHERE status = 'PENDING'",
            "block": "block WHERE status = 'ACTIVE'",
            "rule": "watch_rule",
            "note": "watch_note WHERE status = 'OPEN'",
            "ticket": "ticket WHERE status = 'OPEN'",
            "team_ticket": "ticket WHERE team_id IS NOT NULL",
        }.items()
    }
    ((external, email),) = demo.rows("SELECT external_id, email FROM customer WHERE email IS NOT NULL LIMIT 1")
    return first | {
        "identified": identified,
        "in_review": in_review,
        "document": document,
        "external": external,
        "email": email,
        "points": points,
        "sub": sub,
        "number": number_of_sub,
        "hold": hold,
        "failed": failed,
        "undecided": undecided,
        "paid": number,
        "paid_name": name,
        "open": unsettled,
        "refunded": refunded,
        "mixed": mixed,
        "billing": billing,
        "customer": customer,
        "merchant": merchant,
    }


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_axe_finds_nothing(eyes: Eyes, place: Place):
    watched = eyes.desk.watched
    watched.complaints.clear()
    watched.expected = {place.status, 422} - {200}
    page = eyes.page(place.user)
    eyes.go(page, place)
    assert eyes.look(page, (lambda: eyes.go(page, place)) if place.act else None) == {}
    assert watched.unexpected() == []


def test_axe_finds_nothing_on_the_outcome_of_a_run_and_in_a_mail(eyes: Eyes):
    watched = eyes.desk.watched
    watched.complaints.clear()
    page = eyes.page("operator")
    demo = eyes.desk.demo
    if demo.rows("SELECT count(*) FROM action_run WHERE page = 'transactions' AND state = 'DONE'") == [(0,)]:
        page.goto("/transactions/?status=PAID&size=20")
        for place in (12, 13):
            page.locator(".rowcheck").nth(place).check()
        page.get_by_role("button", name="Refund").click()
        page.get_by_label("Reason").select_option(index=1)
        page.get_by_label("Authenticator code").fill(eyes.desk.code("operator"))
        page.get_by_role("button", name="Refund 2 payments").click()
        expect(page.locator(".sumrow")).to_contain_text(re.compile(r"Done\s*2"))
    ((token,),) = demo.rows("SELECT token FROM action_run WHERE page = 'transactions' AND state = 'DONE' LIMIT 1")
    page.goto(f"/transactions/run/{token}/")
    assert eyes.look(page) == {}

    page.goto(f"/transactions/{eyes._facts['paid']}/")
    page.get_by_role("button", name="Send notification").click()
    page.locator("#dlg").get_by_role("button", name="Send e-mail").click()
    page.locator("#toasts .toast").wait_for()
    assert eyes.look(page) == {}
    page.goto("/mailbox/")
    page.locator("#list tbody tr").first.get_by_role("link").first.click()
    page.get_by_role("heading", name="Delivery").wait_for()
    assert eyes.look(page) == {}
    assert watched.unexpected() == []


def test_axe_finds_nothing_on_the_outcome_of_chosen_dates(eyes: Eyes):
    page = eyes.page("admin")
    page.goto("/needs-attention/?group=missed")
    let_first_go(page)
    page.get_by_label("Reason").fill("Not worth it")
    page.locator("#main form button.btn-lg").click()
    page.get_by_role("link", name="Back to the list").wait_for()
    assert eyes.look(page) == {}


def test_axe_finds_nothing_on_batches_of_payments_in_any_state(eyes: Eyes):
    watched = eyes.desk.watched
    watched.complaints.clear()
    watched.expected = {409, 422}
    page, files, found = eyes.page("operator"), BatchFiles(eyes.desk.demo), {}
    wrong = files.payments(4, wrong=2)
    upload_batch(page, "single-payment", files.merchant_name, wrong)
    replaced = page.url
    found["errors"] = eyes.look(page)
    page.goto(f"{replaced}?only=errors")
    expect(page.locator("#batch-rows tbody tr")).to_have_count(2)
    found["only errors"] = eyes.look(page)
    page.goto(f"{replaced}?row=900")
    found["no such row"] = eyes.look(page)
    upload_batch(page, "single-payment", files.merchant_name, wrong, waits=False)
    page.get_by_role("link", name="Open that batch").wait_for()
    found["the same again"] = eyes.look(page)

    page.goto(replaced)
    page.get_by_role("link", name="Re-upload file").click()
    choose_merchant(page, files.merchant_name)
    page.locator("#file").set_input_files(files.payments(3))
    found["another file for it"] = eyes.look(page)
    page.get_by_role("button", name="Upload and check").click()
    page.get_by_text("All rows are valid.").wait_for()
    ready = page.url
    found["ready"] = eyes.look(page)
    page.get_by_role("button", name="Discard").click()
    page.get_by_role("button", name="Discard the batch").wait_for()
    found["discard?"] = eyes.look(page)
    found |= _looks_at_workers_steps(eyes, page, ready, "VALIDATING", "READY")

    page.goto(ready)
    page.get_by_role("link", name="Process 3 rows…").click()
    page.get_by_label("Authenticator code").fill("000000")
    page.get_by_role("button", name="Process 3 payments").click()
    page.locator("#code-error").wait_for()
    found["confirmation, wrong code"] = eyes.look(page)
    page.goto(f"{ready}process/")
    found["confirmation, page"] = eyes.look(page)
    page.get_by_label("Authenticator code").fill(eyes.desk.code("operator"))
    page.get_by_role("button", name="Process 3 payments").click()
    expect(page.get_by_text("3 rows became scheduled charges.")).to_be_visible(timeout=30_000)
    found["processed"] = eyes.look(page)
    page.goto(f"{ready}process/")
    found["processed already"] = eyes.look(page)
    found |= _looks_at_workers_steps(eyes, page, ready, "PROCESSING", "PROCESSED")
    page.goto(replaced)
    found["replaced"] = eyes.look(page)
    page.goto(f"/batch-transaction/?replaces={replaced.rstrip('/').rpartition('/')[2]}")
    found["replaced, another file too late"] = eyes.look(page)
    page.goto("/batches/?size=20")
    found["report"] = eyes.look(page)
    assert {state: faults for state, faults in found.items() if faults} == {}
    assert watched.unexpected() == []


def _looks_at_workers_steps(eyes: Eyes, page: Page, address: str, status: str, back: str) -> dict[str, Any]:
    """A batch while workers are at it, and when none has gone on for long."""
    number, found, demo = address.rstrip("/").rpartition("/")[2], {}, eyes.desk.demo
    for name, updated in (("", "2099-01-01 00:00:00.000000"), (", standing still", "2020-01-01 00:00:00.000000")):
        demo.write("UPDATE batch SET status = ?, updated_at = ? WHERE id = ?", status, updated, number)
        page.goto(address)
        page.locator("#batch-bar").wait_for()
        found[status + name] = eyes.look(page)
    page.goto("about:blank")
    demo.write("UPDATE batch SET status = ? WHERE id = ?", back, number)
    return found


def test_axe_finds_nothing_on_batches_of_registrations_in_any_state(eyes: Eyes):
    watched = eyes.desk.watched
    watched.complaints.clear()
    watched.expected = {422}
    page, files, found = eyes.page("operator"), BatchFiles(eyes.desk.demo), {}
    head = {"name": "columns.csv", "mimeType": "text/csv", "buffer": b"billing_number,colour\n1,red\n"}
    upload_batch(page, "registration", files.merchant_name, head)
    found["wrong columns"] = eyes.look(page)
    page.get_by_role("button", name="Discard").click()
    page.get_by_role("button", name="Discard the batch").click()
    expect(page.get_by_text("Nothing of this file was processed.")).to_be_visible()
    found["discarded"] = eyes.look(page)
    empty = {"name": "empty.csv", "mimeType": "text/csv", "buffer": b""}
    upload_batch(page, "registration", files.merchant_name, empty, waits=False)
    page.get_by_text("The file is empty.").wait_for()
    found["refused at its field"] = eyes.look(page)
    upload_batch(page, "registration", files.merchant_name, files.registrations(3, wrong=1))
    found["some invalid"] = eyes.look(page)
    page.get_by_role("link", name="Process 2 valid, skip 1 invalid…").click()
    page.get_by_label("Authenticator code").fill(eyes.desk.code("operator"))
    found["confirmation"] = eyes.look(page)
    page.get_by_role("button", name="Process 2 valid, skip 1 invalid").click()
    expect(page.get_by_text("2 rows became subscriptions.")).to_be_visible(timeout=30_000)
    found["processed"] = eyes.look(page)
    page.goto(page.url.partition("?")[0] + "?only=errors")
    found["left out"] = eyes.look(page)
    page.goto("/registration/?origin=BATCH")
    found["tracking"] = eyes.look(page)
    reader = eyes.page("cfo")
    reader.goto("/batches/?size=20")
    reader.locator("#list tbody tr").first.get_by_role("link").first.click()
    reader.get_by_role("heading", name="Rows").wait_for()
    expect(reader.get_by_role("link", name="Upload a file")).to_have_count(0)
    found["for a reader"] = eyes.look(reader)
    assert {state: faults for state, faults in found.items() if faults} == {}
    assert watched.unexpected() == []


def test_axe_finds_nothing_on_a_registration_link_and_on_what_its_payer_sees(eyes: Eyes):
    watched = eyes.desk.watched
    watched.complaints.clear()
    watched.expected = {404, 410, 422}
    page = eyes.page("operator")
    page.goto("/registration-links/new/")
    filled = {
        "csrf_token": page.locator("main input[name=csrf_token]").first.input_value(),
        "merchant": str(eyes._facts["merchant"]),
        "customer": str(eyes._facts["customer"]),
        "billing_number": "AXE-1",
        "purpose": "RECURRING",
        "amount": "25.00",
        "unit": "GBP",
        "method": "CARD",
        "provider": "simulator",
        "kind": "DATE",
        "days": "1",
        "all_months": "y",
        "start_date": page.locator("input[name=start_date]").input_value(),
        "works_for": "7",
    }
    page.request.post("/registration-links/new/", form=filled)
    ((number,),) = eyes.desk.demo.rows("SELECT max(id) FROM registration_link")
    found = {}
    page.goto(f"/registration-links/{number}/")
    found["link"] = eyes.look(page)
    page.get_by_role("button", name="Show the link").click()
    link = page.get_by_label("Registration link").input_value()
    found["link, shown"] = eyes.look(page)
    page.goto(f"/registration-links/{number}/renew/")
    found["link, send again"] = eyes.look(page)
    page.goto(f"/registration-links/{number}/revoke/")
    found["link, revoke"] = eyes.look(page)

    payer = eyes.desk.page(path="register/" + link.rpartition("/")[2], reduced_motion="reduce")
    found["payer"] = eyes.look(payer)
    payer.get_by_role("button", name="Register this payment").click()
    payer.get_by_text("Write the number of your card.").wait_for()
    found["payer, refused"] = eyes.look(payer)
    payer.get_by_label("Card number").fill("4242 4242 4242 4242")
    payer.get_by_label("Expires").fill("09/31")
    payer.get_by_label("Name on the card").fill("Ann Payer")
    payer.get_by_role("checkbox").check()
    payer.get_by_role("button", name="Register this payment").click()
    expect(payer.get_by_role("heading", level=1)).to_have_text("Thank you")
    found["payer, registered"] = eyes.look(payer)
    payer.context.clear_cookies()
    payer.goto(link)
    expect(payer.get_by_role("heading", level=1)).to_have_text("This registration is complete")
    found["payer, used"] = eyes.look(payer)
    payer.goto("/register/nothing")
    found["payer, unknown"] = eyes.look(payer)
    assert {step: faults for step, faults in found.items() if faults} == {}
    assert watched.unexpected() == []


def test_axe_finds_nothing_on_a_link_for_documents_and_on_what_its_customer_sees(eyes: Eyes):
    watched = eyes.desk.watched
    watched.complaints.clear()
    watched.expected = {404, 410, 422}
    ((asked,),) = eyes.desk.demo.rows("SELECT min(customer_id) FROM upload_link WHERE status = 'OPEN'")
    page, found = eyes.page("compliance"), {}
    page.goto(f"/identification/{asked}/")
    page.get_by_role("button", name="Show the link").click()
    link = page.get_by_label("Link for documents").input_value()
    found["link, shown"] = eyes.look(page)
    customer = eyes.desk.page(path="send-documents/" + link.rpartition("/")[2], reduced_motion="reduce")
    found["customer"] = eyes.look(customer)
    customer.get_by_role("button", name="Send").click()
    customer.locator(".err, .alert.bad").first.wait_for()
    found["customer, refused"] = eyes.look(customer)
    customer.goto("/send-documents/nothing")
    found["customer, unknown"] = eyes.look(customer)
    assert {step: faults for step, faults in found.items() if faults} == {}
    assert watched.unexpected() == []


def test_axe_finds_nothing_in_test_mode(eyes: Eyes):
    page = eyes.desk.page("cfo", "transactions/?size=20", reduced_motion="reduce")
    page.get_by_role("button", name="Live mode").click()
    page.get_by_role("region", name="Mode").wait_for()
    assert eyes.look(page) == {}
    page.get_by_role("button", name="Test mode").click()


def test_axe_finds_nothing_when_a_damaged_row_makes_a_page_fail(eyes: Eyes):
    watched = eyes.desk.watched
    watched.complaints.clear()
    watched.expected = {500}
    demo = eyes.desk.demo
    ((number, kind),) = demo.rows(
        "SELECT id, kind FROM organization WHERE id NOT IN (SELECT merchant_id FROM payment) ORDER BY id LIMIT 1"
    )
    demo.write("UPDATE organization SET kind = 'NONSENSE' WHERE id = ?", number)
    try:
        page = eyes.page("admin")
        page.goto(f"/organizations/{number}/")
        expect(page.get_by_role("heading", level=1)).to_have_text("Something went wrong")
        assert eyes.look(page) == {}
    finally:
        demo.write("UPDATE organization SET kind = ? WHERE id = ?", kind, number)
    assert watched.unexpected() == []


def test_axe_finds_nothing_on_the_way_in(eyes: Eyes):
    """The first sign-in of an invited administrator passes every page there is before the frame."""
    watched = eyes.desk.watched
    watched.complaints.clear()
    watched.expected = {401, 422}
    given = eyes.desk.demo.invite("newcomer", Role.ADMIN)
    page = eyes.desk.page(path="login", reduced_motion="reduce")
    found = {"login": eyes.look(page)}
    page.goto(eyes.desk.demo.address + "forgotten")
    found["forgotten password"] = eyes.look(page)
    watched.expected.add(404)
    page.goto(eyes.desk.demo.address + "forgotten/no-such-link")
    found["a link that opens nothing"] = eyes.look(page)
    page.goto(eyes.desk.demo.address + "login")
    page.get_by_label("User name", exact=True).fill("newcomer")
    page.get_by_label("Password", exact=True).fill("not the password 1")
    page.get_by_role("button", name="Continue").click()
    found["login, refused"] = eyes.look(page)
    page.get_by_label("Password", exact=True).fill(given)
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("New password", exact=True).fill("password1234")
    page.get_by_label("New password again").fill("password1234")
    page.get_by_role("button", name="Save and continue").click()
    found["password"] = eyes.look(page)
    page.get_by_label("New password", exact=True).fill("eleven brown kettles 7")
    page.get_by_label("New password again").fill("eleven brown kettles 7")
    page.get_by_role("button", name="Save and continue").click()
    page.get_by_text("I cannot scan it").click()
    secret = page.locator(".setup-key").inner_text().replace(" ", "")
    found["enrol"] = eyes.look(page)
    page.get_by_role("textbox", name="Authenticator code").fill(eyes.desk.code_of(secret))
    page.get_by_role("button", name="Confirm and sign in").click()
    page.get_by_role("link", name="I have kept them").wait_for()
    recovery = page.locator(".codes code").first.inner_text()
    found["recovery codes"] = eyes.look(page)
    page.get_by_role("link", name="I have kept them").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Welcome")

    page.context.clear_cookies()
    page.goto("/login")
    page.get_by_label("User name", exact=True).fill("newcomer")
    page.get_by_label("Password", exact=True).fill("eleven brown kettles 7")
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("textbox", name="Authenticator code").fill("000000")
    page.get_by_role("button", name="Verify and sign in").click()
    found["code, refused"] = eyes.look(page)
    page.get_by_role("link", name="Use a recovery code").click()
    found["recovery"] = eyes.look(page)
    page.get_by_label("Recovery code", exact=True).fill(recovery)
    page.get_by_role("button", name="Verify and sign in").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Welcome")
    assert {step: faults for step, faults in found.items() if faults} == {}
    assert watched.unexpected() == []
