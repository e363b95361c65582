"""A day of a cash desk in a real browser: the cashier opens, serves and counts, the accountant returns and closes, and
the CFO reads the report."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select, text

from payadmin import create_worker_app
from payadmin.actions import access, redeem, treasury, wallets
from payadmin.config import Settings
from payadmin.db import db
from payadmin.embedded import Home
from payadmin.kernel import codewords
from payadmin.models import load_models
from payadmin.models.access import StaffUser
from payadmin.models.parties import Customer, CustomerStatus, Organization
from payadmin.models.redeem import RedeemChannel
from payadmin.models.treasury import CashSource, SystemKind
from payadmin.models.wallets import Wallet, WalletStatus
from payadmin.permissions import Role, permissions_of
from payadmin.queries.treasury import assignment_of
from payadmin.work import SYSTEM, Actor
from tests.browser.test_accessibility import Eyes
from tests.support.browser import Demo, Desk

pytestmark = [pytest.mark.browser, pytest.mark.once]

WORD = "green lantern 42"


@dataclass
class Scene:
    """What the day is about. The customer has an approved request for 30.00 EUR in cash.

    Attributes:
        strange: an operation at a desk that is not the cashier's.
    """

    customer: str
    name: str
    strange: int
    strange_day: int


@pytest.fixture(scope="module")
def scene(demo: Demo) -> Iterator[Scene]:
    """The demo's cashier at a desk of its own with 500.00 EUR, and somebody else at another one."""
    home = Home(demo.home)
    settings = Settings.from_env({**home.secrets(), "DATABASE_URL": home.database_url, "SECURE_COOKIES": "no"})
    load_models()
    with create_worker_app(settings).app_context():
        cashier, before = _actor("cashier"), None
        assert cashier.staff_id is not None
        if (there := assignment_of(db.session(), cashier.staff_id)) is not None:
            before, assignment_id = there.desk_id, there.id
            treasury.end_assignment(_actor("accountant"), assignment_id)
        mine = _desk("BROWSER-1", "Browser desk", cashier)
        email = "stranger@example.com"
        access.create_staff(SYSTEM, username="stranger", full_name="Stranger", email=email, roles=[Role.CASHIER])
        stranger = _actor("stranger")
        other = _desk("BROWSER-2", "Strange desk", stranger)
        day = treasury.open_day(stranger, other).id
        external_id, name, wallet_id = _customer(settings)
        operation = treasury.top_up(stranger, wallet_id, amount_minor=77_77, key="browser:strange").id
        asked = redeem.submit(
            stranger, wallet_id, amount_minor=30_00, channel=RedeemChannel.CASH_DESK, key="browser:redeem"
        )
        redeem.approve(_actor("accountant"), asked.id, version=asked.version)
        yield Scene(external_id, name, operation, day)
        ours = assignment_of(db.session(), cashier.staff_id)
        assert ours is not None
        assert ours.desk_id == mine
        treasury.end_assignment(_actor("accountant"), ours.id)
        if before is not None:
            treasury.assign(_actor("accountant"), before, cashier_id=cashier.staff_id)
        db.session.remove()
        db.engine.dispose()


def _actor(name: str) -> Actor:
    staff = db.session.scalars(select(StaffUser).where(StaffUser.username == name)).one()
    found = Actor(staff_id=staff.id, name=name, roles=staff.roles, permissions=permissions_of(staff.roles))
    db.session.rollback()
    return found


def _desk(code: str, name: str, cashier: Actor) -> int:
    accountant, cfo = _actor("accountant"), _actor("cfo")
    organization_id = db.session.scalars(select(Organization.id).order_by(Organization.id).limit(1)).one()
    db.session.rollback()
    desk_id = treasury.create_desk(accountant, code=code, name=name, organization_id=organization_id).id
    assert cashier.staff_id is not None
    treasury.assign(accountant, desk_id, cashier_id=cashier.staff_id)
    steps = ((SystemKind.CASH_INPUT, None, CashSource.BANK), (SystemKind.INVESTMENT, desk_id, None))
    for kind, desk, source in steps:
        asked = treasury.initiate(
            accountant,
            kind=kind,
            unit="EUR",
            amount_minor=500_00,
            key=f"{code}:{kind.name}",
            desk_id=desk,
            source=source,
        )
        treasury.confirm(cfo, asked.id, version=asked.version)
    return desk_id


def _customer(settings: Settings) -> tuple[str, str, int]:
    """Somebody with a codeword and one wallet in euros."""
    euros = select(Wallet.customer_id).where(Wallet.unit == "EUR", Wallet.customer_id.is_not(None))
    wanted = select(Customer.id, Customer.external_id, Customer.name).where(
        Customer.status == CustomerStatus.ACTIVE, Customer.codeword_digest.is_(None), Customer.id.not_in(euros)
    )
    row = db.session.execute(wanted.order_by(Customer.id).limit(1)).one()
    db.session.rollback()
    wallet_id = wallets.open_wallet(_actor("admin"), unit="EUR", customer_id=row.id).id
    db.session.rollback()
    others = select(Wallet.id).where(Wallet.customer_id == row.id, Wallet.status == WalletStatus.OPEN)
    assert wallet_id in db.session.scalars(others).all()
    db.session.rollback()
    digest = codewords.digests(settings.totp_keys, WORD)[0]
    with db.engine.begin() as connection:
        named = text("UPDATE customer SET codeword_digest = :digest, identification = 'IDENTIFIED' WHERE id = :row")
        connection.execute(named, {"digest": digest, "row": row.id})
    return row.external_id, row.name, wallet_id


def serve(page: Page, act: str, amount: str, **found: str) -> None:
    """An order by the keyboard alone, from the desk to the question whether it is right."""
    page.goto("cash-register-day/own/")
    page.get_by_role("link", name=act).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("textbox", name="Phone, e-mail or Customer ID")).to_be_focused()
    if "word" in found:
        page.keyboard.press("Tab")
        page.keyboard.type(found["word"])
    else:
        page.keyboard.type(found["who"])
    page.keyboard.press("Enter")
    radio = page.get_by_role("radio", name=re.compile("^EUR"))
    radio.focus()
    page.keyboard.press("Space")
    page.get_by_label("Amount").focus()
    page.keyboard.type(amount)
    page.keyboard.press("Enter")


def confirm(page: Page) -> None:
    page.get_by_role("button", name="Confirm").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Print the receipt")).to_be_focused()


def pay_out(page: Page, customer: str, amount: str) -> None:
    """What an accountant approved, from the desk to the question whether it is right."""
    page.goto("cash-register-day/own/")
    page.get_by_role("link", name="Pay a redeem request").click()
    page.get_by_role("textbox", name="Phone, e-mail or Customer ID").fill(customer)
    page.keyboard.press("Enter")
    page.get_by_role("button", name=re.compile(f"^Pay {re.escape(amount)}")).click()
    expect(page.get_by_text("Give to the customer")).to_be_visible()


def test_a_day_of_a_cash_desk(desk: Desk, scene: Scene) -> None:
    desk.watched.expect_status(403, 404, 409, 422)
    page, eyes = desk.page("cashier", "cash-register-day/"), Eyes(desk)
    faults = {}

    def look(name: str, at: Page = page) -> None:
        faults[name] = eyes.look(at)

    page.goto("cash-register-day/own/")
    expect(page.get_by_text("500.00")).to_be_visible()
    look("before the day")
    page.get_by_role("button", name="Open the day").click()
    expect(page.get_by_role("link", name="Top-up")).to_be_visible()
    look("open day")

    serve(page, "Top-up", "120.00", word=WORD)
    expect(page.get_by_text("Take from the customer")).to_be_visible()
    assert scene.name not in page.content()
    assert WORD not in page.content()
    look("confirm")
    confirm(page)
    look("operation")
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile(r"^BROWSER-1-\d{8}-0001$"))
    with page.context.expect_page() as opened:
        page.keyboard.press("Enter")
    opened.value.close()

    serve(page, "Withdraw", "20.00", who=scene.customer)
    confirm(page)
    serve(page, "Withdraw", "5000.00", who=scene.customer)
    expect(page.get_by_text("Only 147.77 EUR are available.")).to_be_visible()
    expect(page.get_by_role("button", name="Confirm")).to_have_count(0)
    look("refused")

    pay_out(page, scene.customer, "30.00")
    look("pay out")
    confirm(page)

    page.goto("cash-register-day/own/count/")
    page.locator("summary").first.click()
    page.get_by_label("100.00", exact=False).first.fill("5")
    page.get_by_label("50.00", exact=False).first.fill("1")
    expect(page.get_by_label("Counted, EUR")).to_have_value("550.00")
    look("count")
    page.get_by_label("500.00", exact=False).first.fill("")
    page.get_by_role("button", name="Send the count").click()
    note = page.get_by_label("What do you know about the difference?")
    expect(note).to_be_visible()
    assert "570.00" not in page.locator("#main").inner_text()
    look("differs")
    note.fill("Perhaps below the tray")
    page.get_by_role("button", name="Send the count").click()
    expect(page.get_by_text("The count is with the accountant").first).to_be_visible()
    look("counted")
    page.goto("cash-register-day/own/top-up/")
    expect(page.get_by_text("The day was counted")).to_be_visible()

    books = desk.page("accountant", "cash-register-day/?status=CLOSE_REQUESTED")
    look("days", books)
    books.get_by_role("row", name=re.compile("Browser desk")).get_by_role("link").first.click()
    expect(books.get_by_text("short").first).to_be_visible()
    look("counted day", books)
    books.get_by_role("link", name="Return…").click()
    look("return", books)
    books.get_by_label("Reason").fill("Look below the tray")
    books.get_by_role("button", name="Return").click()
    expect(books.get_by_text("The accountant returned the count")).to_be_visible()

    page.goto("cash-register-day/own/")
    expect(page.get_by_text("Look below the tray").first).to_be_visible()
    look("returned")
    page.get_by_role("link", name="Count again").click()
    page.get_by_label("Counted, EUR").fill("570.00")
    page.get_by_role("button", name="Send the count").click()
    expect(page.get_by_text("The count is with the accountant").first).to_be_visible()

    books.reload()
    books.get_by_role("link", name="Close the day…").click()
    books.get_by_role("button", name="Close the day").click()
    expect(books.get_by_text("The day is closed.").first).to_be_visible()
    expect(books.get_by_text("Agrees")).to_be_visible()
    books.goto("cash-desks/?search=BROWSER-1")
    expect(books.get_by_role("row", name=re.compile("BROWSER-1"))).to_contain_text("570.00")
    look("desks", books)
    books.get_by_role("row", name=re.compile("BROWSER-1")).get_by_role("link").first.click()
    expect(books.get_by_role("heading", name="Browser desk")).to_be_visible()
    look("desk", books)
    books.get_by_role("link", name=re.compile(r"^BROWSER-1-\d{8}-0003$")).click()
    expect(books.get_by_role("link", name=re.compile("^J20"))).to_be_visible()
    look("operation with its journal", books)

    head = desk.page("cfo", "cash-desks/?search=BROWSER-1")
    head.get_by_role("row", name=re.compile("BROWSER-1")).get_by_role("link").first.click()
    head.locator("#main").get_by_role("link", name="Cash report").click()
    head.get_by_role("link", name="Last 7 days").first.click()
    paid = head.get_by_role("row", name=re.compile("^Redeem paid"))
    expect(paid).to_contain_text("-30.00")
    assert {name: found for name, found in faults.items() if found} == {}

    page.goto("cash-operations/")
    expect(page.get_by_role("row", name=re.compile("BROWSER-1-")).first).to_be_visible()
    assert "77.77" not in page.content()
    for address in (f"cash-operations/{scene.strange}/", f"cash-register-day/{scene.strange_day}/"):
        answer = page.goto(address)
        assert answer is not None
        assert answer.status == 404
    for address in ("cash-desks/", "payment-files/"):
        answer = page.goto(address)
        assert answer is not None
        assert answer.status in {403, 404}


def test_a_list_of_desks_follows_what_happens(desk: Desk, scene: Scene) -> None:
    page = desk.page("cfo", "cash-desks/?search=BROWSER-1")
    row = page.get_by_role("row", name=re.compile("BROWSER-1"))
    expect(row).to_contain_text("No day")
    cashier = desk.page("cashier", "cash-register-day/own/")
    cashier.get_by_role("button", name="Open the day").click()
    expect(row).to_contain_text("Open")
    expect(page.get_by_role("link", name="New cash desk")).to_be_visible()


def test_each_of_four_sees_only_their_own(desk: Desk, scene: Scene) -> None:
    """Two cashiers, the accountant and the CFO: whose desk it is, who may do what."""
    desk.watched.expect_status(403, 404)
    teller = desk.page("teller", "cash-operations/")
    expect(teller.get_by_role("row", name=re.compile("SIDE-")).first).to_be_visible()
    assert not re.search("MAIN-|BROWSER-", teller.locator("#main").inner_text())
    closed = {
        "teller": (f"cash-operations/{scene.strange}/", "cash-desks/", "payment-files/"),
        "accountant": ("cash-register-day/own/top-up/", "cash-register-day/own/count/"),
        "cfo": ("cash-register-day/own/top-up/", "system-operations/new/investment/"),
    }
    for username, addresses in closed.items():
        page = teller if username == "teller" else desk.page(username)
        for address in addresses:
            answer = page.goto(address)
            assert answer is not None
            assert answer.status in {403, 404}, (username, address)
    for username in ("accountant", "cfo"):
        page = desk.page(username, "cash-desks/")
        expect(page.get_by_role("row", name=re.compile("Main hall"))).to_be_visible()
        expect(page.get_by_role("row", name=re.compile("Side counter"))).to_be_visible()
