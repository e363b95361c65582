"""Secrets that are mailed to staff: made, found again by their token, used once, and taken back."""

import datetime as dt
from typing import Final

from sqlalchemy import select, update

from payadmin.config import current_settings
from payadmin.kernel.errors import NotFound
from payadmin.kernel.links import fingerprint_of, is_ours, new_nonce, token_of
from payadmin.kernel.text import _
from payadmin.models.access import AccountLink, LinkPurpose
from payadmin.work import Work

GONE: Final = _("This link was used already, was replaced by a newer one, or is too old.")
LASTS: Final = {
    LinkPurpose.CREDENTIALS: dt.timedelta(hours=24),
    LinkPurpose.PASSWORD: dt.timedelta(minutes=30),
    LinkPurpose.OLD_ADDRESS: dt.timedelta(hours=24),
    LinkPurpose.NEW_ADDRESS: dt.timedelta(hours=24),
}


def purpose_of(purpose: LinkPurpose) -> str:
    """What a token of this purpose is signed for: one for something else opens nothing."""
    return f"account {purpose.name}"


def make_link(
    work: Work, staff_id: int, purpose: LinkPurpose, *, nonce: str | None = None, email_change_id: int | None = None
) -> AccountLink:
    """A new secret for somebody; earlier ones for the same purpose stop working."""
    end_links(work, staff_id, purpose)
    nonce = nonce or new_nonce()
    token = token_of(current_settings().secret_key, purpose_of(purpose), nonce)
    return work.add(
        AccountLink(
            staff_id=staff_id,
            purpose=purpose,
            nonce=nonce,
            token_hash=fingerprint_of(token),
            expires_at=work.now + LASTS[purpose],
            email_change_id=email_change_id,
        )
    )


def end_links(work: Work, staff_id: int, *purposes: LinkPurpose) -> None:
    """Let the unused secrets of somebody stop working: all of them, or those for `purposes`."""
    work.session.execute(
        update(AccountLink)
        .where(
            AccountLink.staff_id == staff_id,
            AccountLink.purpose.in_(purposes or tuple(LinkPurpose)),
            AccountLink.used_at.is_(None),
            AccountLink.ended_at.is_(None),
        )
        .values(ended_at=work.now)
        .execution_options(synchronize_session=False)
    )


def link_of(work: Work, token: str, *purposes: LinkPurpose) -> AccountLink:
    """The link with this token, if it still opens something.

    Raises:
        NotFound: made up, for something else, used, replaced or too old: the same answer for all.
    """
    if any(is_ours(current_settings().secret_key, purpose_of(purpose), token) for purpose in purposes):
        statement = select(AccountLink).where(
            AccountLink.token_hash == fingerprint_of(token), AccountLink.purpose.in_(purposes)
        )
        found = work.session.scalar(statement.execution_options(populate_existing=True))
        if found is not None and found.is_open(work.now):
            return found
    raise NotFound(GONE)


def use_link(work: Work, link: AccountLink) -> None:
    """Spend a link; of several at once, one wins.

    Raises:
        NotFound: somebody else was faster.
    """
    used = work.session.execute(
        update(AccountLink)
        .where(AccountLink.id == link.id, AccountLink.used_at.is_(None), AccountLink.ended_at.is_(None))
        .values(used_at=work.now)
        .execution_options(synchronize_session=False)
    )
    if used.rowcount != 1:  # type: ignore[attr-defined]
        raise NotFound(GONE)
