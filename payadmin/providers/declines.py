"""The refusal codes that providers publish, in words: what a retry policy can be about."""

from typing import Final

from payadmin.kernel.text import _

# Stripe's published decline codes, which the simulator answers too; other providers' codes are typed as they are.
DECLINE_CODES: Final[dict[str, str]] = {
    "authentication_required": _("The bank wants the cardholder to confirm"),
    "card_declined": _("Declined without a reason"),
    "card_not_supported": _("The card does not support this purchase"),
    "card_velocity_exceeded": _("Too many attempts or over the limit of the card"),
    "do_not_honor": _("The bank said no"),
    "expired_card": _("The card has expired"),
    "fraudulent": _("The bank suspects fraud"),
    "generic_decline": _("Declined without a reason (general)"),
    "incorrect_cvc": _("Wrong security code"),
    "incorrect_number": _("Wrong card number"),
    "insufficient_funds": _("Not enough money in the account"),
    "issuer_not_available": _("The bank could not be reached"),
    "lost_card": _("The card was reported lost"),
    "pickup_card": _("The bank wants the card back"),
    "processing_error": _("A mistake while the card was processed"),
    "reenter_transaction": _("The bank could not process it and asks to send it again"),
    "stolen_card": _("The card was reported stolen"),
    "try_again_later": _("The bank asks to try again later"),
    "withdrawal_count_limit_exceeded": _("Over the limit of withdrawals"),
}
