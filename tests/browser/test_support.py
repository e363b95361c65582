"""A day at the support desk in a real browser: a manager makes a team and takes a call, an SCC answers it."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import PHONE, Desk

pytestmark = [pytest.mark.browser, pytest.mark.once]

WORD = "quiet river"
HOSTILE = "<script>document.title='broken'</script><img src=x onerror=\"document.title='broken'\">"


def second_customer(desk: Desk) -> tuple[int, str, str]:
    """The demo's customer whose codeword is known: their number, Customer ID and phone."""
    [(number, external, phone)] = desk.demo.rows(
        "SELECT id, external_id, phone FROM customer ORDER BY id LIMIT 1 OFFSET 1"
    )
    return number, external, phone


def open_ticket(page: Page, subject: str, body: str) -> str:
    page.get_by_role("link", name="New ticket").click()
    page.get_by_label("Subject").fill(subject)
    page.get_by_label("What the customer wants").fill(body)
    team = page.get_by_label("Team", exact=True)
    if team.count():
        team.select_option(label="First line")
    page.get_by_role("button", name="Open the ticket").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(subject)
    return page.url


def test_a_day_of_a_manager_and_of_an_scc(desk: Desk) -> None:
    desk.watched.expect_status(409, 404)
    _number, external, phone = second_customer(desk)

    page = desk.page("support", "scc/")
    page.get_by_placeholder("Name of the new team").fill("Second line")
    page.get_by_role("button", name="Make a team").click()
    expect(page.get_by_role("cell", name="Second line", exact=True)).to_be_visible()
    page.get_by_role("link", name="New SCC").click()
    page.locator("#username").fill("nina")
    page.locator("#full_name").fill("Nina Novak")
    page.locator("#email").fill("nina@payadmin.example")
    page.get_by_label("Team").select_option(label="Second line")
    page.get_by_role("button", name="Invite the SCC").click()
    expect(page.get_by_text("They are shown only now")).to_be_visible()
    page.goto("scc/")
    expect(page.get_by_label("Team of nina").locator("option:checked")).to_have_text("Second line")

    # A call: the phone finds the customer, the data is masked until the codeword is said.
    page.goto("clients/")
    page.get_by_label("Phone, e-mail, user name or Customer ID").fill(phone.replace(" ", ""))
    page.keyboard.press("Enter")
    page.locator("section:has(#h-find) tbody tr").filter(has_text=external).get_by_role("link").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("•••")
    page.get_by_label("What the customer says").fill("something else")
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_text(re.compile("This is not the codeword"))).to_be_visible()
    page.get_by_label("What the customer says").fill(WORD.upper())
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_text(re.compile("The customer has said the codeword"))).to_be_visible()
    expect(page.get_by_role("heading", level=1)).not_to_contain_text("•••")
    expect(page.get_by_text(phone)).to_be_visible()
    ticket = open_ticket(page, "Two payments for one order " + HOSTILE, HOSTILE)
    expect(page.get_by_text("Codeword said")).to_be_visible()
    assert page.title() != "broken"
    page.get_by_label("Priority").select_option(label="Urgent")
    page.get_by_role("button", name="Set", exact=True).click()
    expect(page.locator(".phead").get_by_text("Urgent")).to_be_visible()

    # The SCC of its team takes it up and answers with a ready-made text.
    agent = desk.page("agent", "tickets/")
    name = f"T-{int(ticket.rstrip('/').rpartition('/')[2]):06}"
    agent.get_by_role("link", name=name).first.click()
    expect(agent.locator("section:has(#h-who) dd").first).to_contain_text("•••")
    agent.get_by_label("Assignee").select_option(label="agent")
    agent.get_by_role("button", name="Assign").click()
    agent.get_by_label("Text").fill("Hello,")
    agent.get_by_label("Ready-made answer").select_option(label="We need to know more")
    agent.get_by_role("button", name=re.compile("^Insert")).click()
    expect(agent.get_by_label("Text")).to_have_value(re.compile(r"Hello,\s+to help you"))
    agent.get_by_role("button", name="Send the answer").click()
    expect(agent.locator(".phead").get_by_text("Waiting for the customer")).to_be_visible()
    expect(agent.locator(".phead").get_by_text("Clock stopped")).to_be_visible()
    agent.get_by_label("Text").fill("The bank calls back.")
    agent.get_by_label("Files").set_input_files(
        {"name": "call.txt", "mimeType": "text/plain", "buffer": b"Spoke to the bank."}
    )
    agent.get_by_role("button", name="Keep as a note").click()
    expect(agent.locator(".said.internal")).to_contain_text("The bank calls back.")
    with agent.expect_download() as fetched:
        agent.get_by_role("link", name=re.compile("call.txt")).click()
    assert fetched.value.suggested_filename == "call.txt"
    agent.get_by_role("button", name="Resolve").click()
    expect(agent.locator(".phead").get_by_text("Resolved")).to_be_visible()

    # What is nobody's yet only the manager sees.
    [(loose,)] = desk.demo.rows("SELECT id FROM ticket WHERE subject = 'Card was declined'")
    agent.goto(f"tickets/{loose}/")
    expect(agent.get_by_role("heading", level=1)).not_to_contain_text("declined")
    page.goto(f"tickets/{loose}/")
    expect(page.get_by_role("heading", level=1)).to_contain_text("declined")

    # Every number of the queue is a list of that length.
    page.goto("clients/")
    for link in page.locator(".kpi .v a.link").all():
        number, address = re.match(r"\d+", link.inner_text()), link.get_attribute("href")
        assert number is not None
        listed = desk.page("support", str(address).lstrip("/"))
        expect(listed.locator("[data-announce]")).to_have_text(re.compile(rf"^{number[0]} ticket"))
        listed.close()


def test_nothing_of_it_is_wider_than_a_phone(desk: Desk) -> None:
    number, _external, _phone = second_customer(desk)
    page = desk.page("support", "clients/", viewport=PHONE)
    [(ticket,)] = desk.demo.rows("SELECT id FROM ticket ORDER BY id LIMIT 1")
    for path in ("clients/", f"clients/{number}/", f"clients/{number}/new-ticket/", "tickets/", f"tickets/{ticket}/",
                 "scc/", "scc/new/", f"clients/{number}/new-codeword/"):  # fmt: skip
        page.goto(path)
        wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        assert not wide, path
