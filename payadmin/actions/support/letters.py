"""What customers are written: ready-made answers, and the mail that brings an answer of staff."""

from typing import TYPE_CHECKING, Final

from payadmin import texts
from payadmin.kernel.links import new_nonce
from payadmin.kernel.text import Text, named, one_line
from payadmin.kernel.ticket_addresses import ticket_address
from payadmin.models.parties import Customer
from payadmin.models.payments import Notification
from payadmin.models.support import Ticket, TicketMessage
from payadmin.providers.mail import domain_of, is_address
from payadmin.work import Work

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from payadmin.config import Settings

# What stands in the kept mail in place of the text: only those who see the ticket read it.
PLACE: Final = "[the answer, kept with the ticket and put in while the mail is sent]"

TEMPLATES: Final = {
    "received": (
        named("support.template.received.title", "We have your request"),
        named(
            "support.template.received",
            "thank you for your message. We have your request and are looking into it.",
        ),
    ),
    "more": (
        named("support.template.more.title", "We need to know more"),
        named(
            "support.template.more",
            "to help you we need to know a little more. Please tell us the invoice number and the day of the payment. "
            "Never send us a card number or a password.",
        ),
    ),
    "refund": (
        named("support.template.refund.title", "A refund is on its way"),
        named(
            "support.template.refund",
            "your refund was ordered. Depending on your bank it takes three to ten days until you see it.",
        ),
    ),
    "resolved": (
        named("support.template.resolved.title", "Your request is resolved"),
        named(
            "support.template.resolved",
            "we have resolved your request. If anything is still open, just answer this message.",
        ),
    ),
}
_SUBJECT: Final = named("mail.support.answer.subject", "Your request %(number)s")
_FRAME: Final = named("mail.support.answer.frame", "Dear %(name)s,\n\n%(answer)s\n\n%(company)s\n")
_REPLY: Final = named(
    "mail.support.answer.reply", "\n--\nTo write back, answer this mail and leave the address as it is.\n"
)


def template_text(session: "Session", code: str, locale: str) -> str:
    """A ready-made answer in the customer's language; empty for one that does not exist."""
    found = TEMPLATES.get(code)
    return texts.speech_of(session, locale).say(found[1]) if found else ""


def template_titles() -> list[tuple[str, Text]]:
    """The ready-made answers, as staff choose among them."""
    return [(code, title) for code, (title, _body) in TEMPLATES.items()]


def promise_mail(work: Work, ticket: Ticket, customer: Customer, told: "Settings") -> Notification | None:
    """Promise the mail that brings an answer; None for customers whom no mail reaches."""
    if not customer.can_be_mailed or not is_address(customer.email or ""):
        return None
    speech = texts.speech_of(work.session, customer.locale)
    notification = work.add(
        Notification(
            recipient=customer.email,
            subject=speech.say(_SUBJECT.of(number=f"[{ticket.number}]"))[:200],
            body=PLACE,
            message_id=f"<ticket-{new_nonce()}@{domain_of(told.mail_from)}>",
            created_at=work.now,
        )
    )
    work.promise("send_notification", notification_id=notification.id)
    return notification


def mail_text(session: "Session", message: TicketMessage, told: "Settings") -> str:
    """The mail as it is sent: the answer as plain text, between a greeting and a name; the same at every attempt."""
    ticket = session.get_one(Ticket, message.ticket_id)
    customer = session.get_one(Customer, ticket.customer_id)
    speech = texts.speech_of(session, customer.locale)
    facts = {"name": one_line(customer.name), "answer": message.body, "company": one_line(told.company_name)}
    text: str = speech.say(_FRAME.of(**facts))
    return text + speech.say(_REPLY) if told.support_domain else text


def reply_address(message: TicketMessage, told: "Settings") -> str:
    """Where the customer's answer goes; empty when answers by mail are not taken."""
    if not told.support_domain:
        return ""
    return ticket_address(told.secret_key, message.ticket_id, told.support_domain)
