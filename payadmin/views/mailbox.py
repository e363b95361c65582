"""The mailbox: every mail to customers, payers and staff, sent or kept."""

from payadmin.models.payments import Notification
from payadmin.permissions import Permission
from payadmin.views.base import PayAdminModelView
from payadmin.views.registry import page


@page(menu="mailbox")
class MailboxPage(PayAdminModelView):
    """Mails about payments, reminders, registration links and exports; without an SMTP server kept here to be read."""

    model = Notification
    read = Permission.PAYMENTS_MAILBOX_READ
    create = None
    edit = None
    slug = "mailbox"
    heading = "Mailbox"
    plural = "Mails"
    singular = "Mail"
    subtitle = "Every mail to customers and staff. Kept means that no mail server is configured (SMTP_URL)."
    column_list = ("created_at", "recipient", "subject", "state", "sent_at")
    phone = {"subject": "m1", "state": "m2", "recipient": "m3", "created_at": "m4"}
    tabs = "state"
    find_by = ("recipient", "message_id")
    detail_sections = {
        "Mail": ("recipient", "subject", "body"),
        "Delivery": ("payment", "scheduled_charge", "channel", "state", "created_at", "sent_at", "error", "message_id"),
    }
