"""Mails to staff about their accounts. A secret stands only in the mail as it is sent, never in the row that stays."""

from typing import Final

from payadmin import texts
from payadmin.actions.access.links import purpose_of
from payadmin.audit import Event
from payadmin.config import Settings, current_settings
from payadmin.kernel.links import new_nonce, token_of
from payadmin.kernel.passwords import password_of
from payadmin.kernel.text import named, one_line
from payadmin.models.access import AccountLink, LinkPurpose, StaffUser
from payadmin.models.payments import Notification
from payadmin.providers.mail import domain_of, is_address
from payadmin.work import Work

# What stands in the kept mail in place of the secret.
PLACE: Final = "[secret, only in the mail itself]"
LONGEST_SUBJECT: Final = 200
PATHS: Final = {
    LinkPurpose.PASSWORD: "/forgotten/{}",
    LinkPurpose.OLD_ADDRESS: "/confirm-address/{}",
    LinkPurpose.NEW_ADDRESS: "/confirm-address/{}",
}

_LETTERS: Final = {
    "welcome": (
        named("mail.account.welcome.subject", "Your payadmin account"),
        named(
            "mail.account.welcome.body",
            """\
an account was made for you.

User name:           %(username)s
Temporary password:  %(secret)s

Sign in%(where)s. You will choose a password of your own and set up an authenticator app.
The temporary password works once, until %(until)s.
""",
        ),
    ),
    "new_password": (
        named("mail.account.new_password.subject", "Your new payadmin password"),
        named(
            "mail.account.new_password.body",
            """\
%(who)s has reset your password, and signed you out everywhere.

User name:           %(username)s
Temporary password:  %(secret)s

Sign in%(where)s, choose a password of your own, and confirm with your authenticator as always.
The temporary password works once, until %(until)s. If nobody has talked to you about this, tell an administrator.
""",
        ),
    ),
    "forgotten": (
        named("mail.account.forgotten.subject", "Choose a new payadmin password"),
        named(
            "mail.account.forgotten.body",
            """\
somebody asked for a new password for your account %(username)s. If it was you, choose it here:

%(secret)s

The link works once, until %(until)s. Your authenticator is still asked for when you sign in.
If it was not you, ignore this mail: nothing changes without it.
""",
        ),
    ),
    "old_address": (
        named("mail.account.old_address.subject", "Your payadmin e-mail address is about to change"),
        named(
            "mail.account.old_address.body",
            """\
your account %(username)s is to get mail at another address: %(address)s.

Say yes, or stop it, here:

%(secret)s

The change counts when both addresses have confirmed it, until %(until)s.
If it was not you, stop it and change your password.
""",
        ),
    ),
    "new_address": (
        named("mail.account.new_address.subject", "Confirm your new payadmin e-mail address"),
        named(
            "mail.account.new_address.body",
            """\
the account %(username)s is to get its mail here. Confirm it:

%(secret)s

The change counts when the old address has confirmed it too, until %(until)s.
If you know nothing of this, ignore this mail.
""",
        ),
    ),
    "secret_shown": (
        named("mail.account.secret_shown.subject", "Your payadmin authenticator key was replaced"),
        named(
            "mail.account.secret_shown.body",
            """\
%(who)s has made a new secret key for your account %(username)s, and was shown it to pass it on to you.
The old entry in your authenticator app no longer works, and you were signed out everywhere.

Reason given: %(reason)s

If nobody has talked to you about this, tell an administrator at once.
""",
        ),
    ),
    "pending_secret_shown": (
        named("mail.account.pending_secret_shown.subject", "The key of your payadmin authenticator was shown"),
        named(
            "mail.account.pending_secret_shown.body",
            """\
%(who)s was shown the secret key that waits for you to set up the authenticator of your account %(username)s.

Reason given: %(reason)s

If nobody has talked to you about this, tell an administrator at once.
""",
        ),
    ),
    "factor_reset": (
        named("mail.account.factor_reset.subject", "Your payadmin authenticator was reset"),
        named(
            "mail.account.factor_reset.body",
            """\
%(who)s has reset the authenticator of your account %(username)s. The next sign-in sets up a new one.

If nobody has talked to you about this, tell an administrator at once.
""",
        ),
    ),
    "password_changed": (
        named("mail.account.password_changed.subject", "Your payadmin password was changed"),
        named(
            "mail.account.password_changed.body",
            """\
the password of your account %(username)s was changed, and every session was signed out.

If it was not you, tell an administrator at once.
""",
        ),
    ),
    "address_changed": (
        named("mail.account.address_changed.subject", "Your payadmin e-mail address was changed"),
        named(
            "mail.account.address_changed.body",
            """\
mail about your account %(username)s now goes to %(address)s.

If you did not want this, tell an administrator at once.
""",
        ),
    ),
}
_FRAME: Final = named("mail.account.frame", "Dear %(name)s,\n\n%(letter)s\n%(company)s\n")
_AT: Final = named("mail.account.at", " at %(link)s")


def write(
    work: Work, staff: StaffUser, letter: str, *, link: AccountLink | None = None, to: str | None = None, **facts: str
) -> Notification | None:
    """Promise somebody a letter; None if their address is none that mail can be sent to.

    Args:
        letter: which of the letters.
        link: whose secret the letter carries, put in by the worker that sends it.
        to: an address other than the account's.
        facts: what else the letter says.
    """
    told, recipient = current_settings(), to or staff.email
    if not is_address(recipient):
        return None
    subject, text = _LETTERS[letter]
    until = link.expires_at.astimezone(told.zone) if link else None
    speech = texts.speech_of(work.session, staff.language)
    known = {
        "name": one_line(staff.full_name),
        "username": staff.username,
        "who": one_line(work.actor.name),
        "secret": PLACE,
        "where": _AT.of(link=f"{told.public_url.rstrip('/')}/login") if told.public_url else "",
        "until": f"{speech.long_day(until)}, {until:%H:%M}" if until else "",
        "company": one_line(told.company_name),
    }
    known |= {key: one_line(fact) for key, fact in facts.items()}
    notification = work.add(
        Notification(
            recipient=recipient,
            subject=speech.say(subject)[:LONGEST_SUBJECT],  # staff may have written a longer one
            body=speech.say(_FRAME.of(letter=text.of(**known), name=known["name"], company=known["company"])),
            message_id=f"<account-{new_nonce()}@{domain_of(told.mail_from)}>",
            account_link_id=link.id if link else None,
            created_at=work.now,
        )
    )
    work.record(Event.NOTIFICATION_REQUESTED, notification, after={"recipient": recipient}, username=staff.username)
    work.promise("send_notification", notification_id=notification.id)
    return notification


def text_with_secret(body: str, link: AccountLink, told: Settings) -> str:
    """The letter as it is sent."""
    return body.replace(PLACE, secret_of(link, told))


def secret_of(link: AccountLink, told: Settings) -> str:
    """What a link's holder types or opens: a temporary password, or the address of a page."""
    if link.purpose is LinkPurpose.CREDENTIALS:
        return password_of(told.secret_key, link.nonce)
    token = token_of(told.secret_key, purpose_of(link.purpose), link.nonce)
    return told.public_url.rstrip("/") + PATHS[link.purpose].format(token)
