"""The bank that pays: one connector per way of speaking to banks, all asked in the same words."""

from functools import cache

from payadmin.banks.answers import Bank, Handed, Handover, Mail
from payadmin.banks.mailbox import MailboxBank

__all__ = ["Bank", "Handed", "Handover", "Mail", "bank_for"]


@cache
def bank_for(url: str, *, timeout_seconds: float) -> Bank | None:
    """The connector of the bank at `url`; None: there is none, and files go to it by hand.

    The same settings give the same connector, so that connections are kept alive.
    """
    return MailboxBank(url, timeout_seconds=timeout_seconds) if url else None
