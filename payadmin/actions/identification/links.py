"""Requests for documents: a mail with a link that works once, and what a customer sends through it.

The link's secret is made as those of registration are (`kernel/links.py`). The mail that is kept does not hold it; the
worker that sends it puts it in.
"""

import datetime as dt
import hashlib
from collections.abc import Sequence
from typing import Any, Final

from payadmin import guard, texts
from payadmin.actions.identification.documents import MOVED_ON, add_documents, keys_of
from payadmin.actions.identification.files import Drawn, Sent, drop, redrawn
from payadmin.audit import Event
from payadmin.config import Settings
from payadmin.kernel.errors import Conflict, Invalid, Refusal
from payadmin.kernel.links import fingerprint_of, new_nonce, token_of
from payadmin.kernel.text import Text, _, named, one_line
from payadmin.models.identification import (
    OTHER_NEED,
    DocumentOrigin,
    Need,
    UploadLink,
    UploadLinkStatus,
    link_state,
    needs_of,
)
from payadmin.models.parties import Customer, CustomerKind
from payadmin.models.payments import Notification
from payadmin.models.system import NoticeKind
from payadmin.notices import notify, staff_named
from payadmin.permissions import Permission
from payadmin.providers.mail import domain_of, is_address
from payadmin.queries import identification as queries
from payadmin.work import Actor, Work, use_case

PURPOSE: Final = "documents"
SENDER: Final = "customer"
LONGEST_DAYS: Final = 30
PLACE: Final = "[personal link, only in the mail itself]"
NO_ADDRESS: Final = _("This customer has no e-mail address to write to. Make the link without a mail and hand it over.")
NOT_MAILABLE: Final = _(
    "Links can be e-mailed once PUBLIC_URL says where payadmin is reached. Make the link without a mail."
)
TOO_MANY: Final = _("Too many tries. Wait 30 minutes, then try again.")

_SUBJECT: Final = named("mail.documents.subject", "%(company)s needs documents from you")
_BODY: Final = named(
    "mail.documents.body",
    """\
Dear %(customer)s,

to know who we deal with we need from you:

%(what)s

%(message)s

Send them here, as photos or as PDF:
%(link)s

The link is for you alone and works once, until %(until)s.
We never ask for passwords or card numbers. If you did not expect this, tell us before you send anything.

%(company)s
""",
)


class Gone(Conflict):
    """The link opens nothing any more: it was used, revoked, replaced, or has expired."""


class TooMany(Refusal):
    """This link has had too many tries lately."""

    code = "too_many"
    status = 429


def sender(ip: str | None, request_id: str | None) -> Actor:
    """Whoever holds an upload link: may use it, and nothing else."""
    may = frozenset({Permission.COMPLIANCE_LINK_USE})
    return Actor(staff_id=None, name=SENDER, permissions=may, ip=ip, request_id=request_id)


def asked_needs(kind: CustomerKind, keys: Sequence[str]) -> list[Need]:
    """The lines of the checklist with these keys, in its order."""
    return [need for need in (*needs_of(kind), OTHER_NEED) if need.key in keys]


# ---- asking --------------------------------------------------------------------------------------------------------


@use_case(Permission.COMPLIANCE_CASE_DECIDE, about=Customer)
def request_documents(
    work: Work,
    customer_id: int,
    /,
    *,
    asked_for: Sequence[str],
    message: str | None,
    days: int,
    by_mail: bool,
    settings: Settings,
) -> int:
    """Ask a customer for documents; the id of the request. An earlier link of theirs stops working at once.

    Args:
        asked_for: keys of the checklist.
        message: what the customer reads besides, in the words of staff.
        days: how long the link works, 1 to 30.
        by_mail: send it now, in the customer's language; otherwise staff show the link and hand it over.

    Raises:
        Invalid: nothing asked for, too many days, or no address to write to.
        Conflict: somebody else asked at the same moment.
    """
    customer = work.get(Customer, customer_id, lock=True)
    needs = asked_needs(customer.kind, asked_for)
    if not needs or len(needs) != len(set(asked_for)):
        raise Invalid("Choose what is needed.", field="asked_for")
    if not 1 <= days <= LONGEST_DAYS:
        raise Invalid(_("A link works for 1 to %(days)s days.", days=LONGEST_DAYS), field="works_for")
    told = " ".join((message or "").split())[:500] or None
    if told is None and OTHER_NEED in needs:
        raise Invalid("Say in the message which other document it is.", field="message")
    if (earlier := queries.open_link(work.session, customer_id)) is not None:
        _revoke(work, earlier, _("A newer request took its place."))
    nonce = new_nonce()
    link = work.add(
        UploadLink(
            customer_id=customer_id,
            asked_for=[need.key for need in needs],
            message=told,
            asked_by=work.actor.name,
            nonce=nonce,
            token_hash=fingerprint_of(token_of(settings.secret_key, PURPOSE, nonce)),
            expires_at=work.now + dt.timedelta(days=days),
            mailed_at=work.now if by_mail else None,
        )
    )
    after: dict[str, object] = {"asked_for": link.asked_for, "expires_at": link.expires_at}
    work.record(Event.IDENTIFICATION_LINK_MADE, link, after=after, by_mail=by_mail, **keys_of(customer))
    if by_mail:
        _mail(work, customer, link, needs, settings)
    return int(link.id)


@use_case(Permission.COMPLIANCE_CASE_DECIDE, about=UploadLink)
def revoke_upload_link(work: Work, link_id: int, /, *, customer_id: int) -> None:
    """Take a request back: its link stops working at once and for good.

    Raises:
        Conflict: this customer's request was used or taken back already.
    """
    _revoke(work, _link_of(work, link_id, customer_id), None)


@use_case(Permission.COMPLIANCE_CASE_DECIDE, about=UploadLink)
def show_upload_link(work: Work, link_id: int, /, *, customer_id: int, settings: Settings) -> str:
    """The token of an open link, for staff to hand over themselves; that they saw it stands in the trail.

    Raises:
        Conflict: it is not open any more.
    """
    link = _link_of(work, link_id, customer_id)
    if (state := link_state(link, work.now)) != UploadLinkStatus.OPEN.value:
        raise Conflict(_("The link is %(state)s: ask again to get a new one.", state=Text(state).lower()))
    work.record(Event.IDENTIFICATION_LINK_SHOWN, link, customer_id=link.customer_id)
    return token_of(settings.secret_key, PURPOSE, link.nonce)


def text_with_upload_link(body: str, link: Any, settings: Settings) -> str | None:
    """The text of a mail with its link in it; None when the link no longer opens anything."""
    if link.status is not UploadLinkStatus.OPEN:
        return None
    token = token_of(settings.secret_key, PURPOSE, link.nonce)
    return body.replace(PLACE, f"{settings.public_url.rstrip('/')}/send-documents/{token}")


# ---- sending -------------------------------------------------------------------------------------------------------


def receive_by_link(actor: Actor, link_id: int, sent: Sequence[Sent], *, token_hash: str, settings: Settings) -> None:
    """Take in what a customer sends, all of it or none; the link is used up only when everything was taken.

    A try is reserved before anything is decoded, so that a link is no way to keep the machine busy.

    Raises:
        Gone: the link opens nothing any more.
        TooMany: too many tries with this link.
        Invalid: a file is refused, or something asked for is missing; nothing was kept and the link still works.
    """
    reserve_upload_try(actor, link_id, token_hash=token_hash)
    with redrawn(sent, settings) as drawn:
        taken = use_upload_link(actor, link_id, drawn=drawn, token_hash=token_hash)
    drop(settings, {each.file for each in drawn} - taken)


@use_case(Permission.COMPLIANCE_LINK_USE, about=UploadLink)
def reserve_upload_try(work: Work, link_id: int, /, *, token_hash: str) -> None:
    """Use up one try of a link.

    Raises:
        Gone: the link opens nothing any more.
        TooMany: no try is left until the pause is over.
    """
    _usable(work, link_id, token_hash)
    if not guard.reserve(work, _counter(link_id)):
        raise TooMany(TOO_MANY)


@use_case(Permission.COMPLIANCE_LINK_USE, about=UploadLink)
def use_upload_link(work: Work, link_id: int, /, *, drawn: Sequence[Drawn], token_hash: str) -> frozenset[str]:
    """Enter the documents and close the link, in one transaction: whoever comes second finds it used.

    Args:
        drawn: the redrawn files.
        token_hash: the fingerprint of the token in the link.

    Returns:
        The names of the files that were new.

    Raises:
        Gone: the link opens nothing any more.
        Invalid: something that was asked for is missing, or was not asked for.
    """
    link = _usable(work, link_id, token_hash)
    # The customer first, as everybody else does who needs both.
    customer = work.get(Customer, link.customer_id, lock=True)
    needs = asked_needs(customer.kind, link.asked_for)
    for need in needs:
        if not any(each.kind in need.kinds for each in drawn):
            raise Invalid("Choose a file.", field=f"{need.key}_files")
    if any(each.kind not in {kind for need in needs for kind in need.kinds} for each in drawn):
        raise Invalid("This was not asked for.", field=drawn[0].field)
    won = work.change(
        UploadLink,
        link_id,
        when=(UploadLink.token_hash == token_hash, UploadLink.expires_at > work.now),
        status=UploadLinkStatus.USED,
        used_at=work.now,
    )
    if not won:
        raise Gone(_("This link was used already."))
    work.record(
        Event.IDENTIFICATION_LINK_USED,
        link,
        before={"status": UploadLinkStatus.OPEN},
        after={"status": UploadLinkStatus.USED},
        **keys_of(customer),
    )
    taken = add_documents(work, customer, drawn, DocumentOrigin.CUSTOMER, brought_by=SENDER, link_id=link_id)
    guard.forget(work, _counter(link_id))
    notify(
        work.session,
        staff_named(work.session, link.asked_by),
        NoticeKind.ATTENTION,
        _("%(external_id)s sent the documents that you asked for.", external_id=customer.external_id),
        page="identification",
        row_id=customer.id,
        key=f"documents:{link_id}",
    )
    return taken


# ---- parts ---------------------------------------------------------------------------------------------------------


def _usable(work: Work, link_id: int, token_hash: str) -> UploadLink:
    link = work.get(UploadLink, link_id)
    if link.token_hash != token_hash:
        raise Gone(_("This link was replaced by a newer one."))
    if (state := link_state(link, work.now)) != UploadLinkStatus.OPEN.value:
        raise Gone(_("This link is %(state)s.", state=Text(state).lower()))
    return link


def _link_of(work: Work, link_id: int, customer_id: int) -> UploadLink:
    link = work.get(UploadLink, link_id)
    if link.customer_id != customer_id:
        raise Conflict(MOVED_ON)
    return link


def _revoke(work: Work, link: UploadLink, reason: str | None) -> None:
    before = link.status
    if not work.change(UploadLink, link.id, status=UploadLinkStatus.REVOKED):
        raise Conflict(_("The link was %(status)s already.", status=Text(before.value).lower()))
    work.record(
        Event.IDENTIFICATION_LINK_REVOKED,
        link,
        before={"status": UploadLinkStatus.OPEN},
        after={"status": UploadLinkStatus.REVOKED},
        reason=reason,
        customer_id=link.customer_id,
    )


def _counter(link_id: int) -> str:
    """What counts the tries of a link; customers who share an address are not counted together."""
    return guard.guard_key(f"upload link {link_id}", None)


def _mail(work: Work, customer: Customer, link: UploadLink, needs: Sequence[Need], settings: Settings) -> None:
    if not settings.public_url:
        raise Invalid(NOT_MAILABLE, field="by_mail")
    address = customer.email if customer.can_be_mailed else None
    if not address or not is_address(address):
        raise Invalid(NO_ADDRESS, field="by_mail")
    speech = texts.speech_of(work.session, customer.locale)
    local = link.expires_at.astimezone(settings.zone)
    facts = {
        "customer": one_line(customer.name),
        "what": "\n".join(f"- {speech.say(Text(need.label))}: {speech.say(Text(need.hint))}" for need in needs),
        "message": link.message or "",
        "link": PLACE,
        "until": f"{speech.long_day(local)}, {local:%H:%M} ({settings.zone.key})",
        "company": one_line(settings.company_name),
    }
    body = speech.say(_BODY.of(**facts))
    if link.message is None:
        body = body.replace("\n\n\n\n", "\n\n")
    digest = hashlib.sha256(f"{PURPOSE}:{link.id}:{link.nonce}".encode()).hexdigest()[:40]
    notification = work.add(
        Notification(
            upload_link_id=link.id,
            recipient=address,
            subject=speech.say(_SUBJECT.of(company=facts["company"]))[:200],
            body=body,
            message_id=f"<{digest}@{domain_of(settings.mail_from)}>",
            created_at=work.now,
        )
    )
    work.record(Event.NOTIFICATION_REQUESTED, notification, after={"recipient": address}, **keys_of(customer))
    work.promise("send_notification", notification_id=notification.id)
