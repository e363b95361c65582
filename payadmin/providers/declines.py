"""The refusal codes that providers publish, in words: what a retry policy can be about."""

from typing import Final

# Stripe's published decline codes, which the simulator answers too; other providers' codes are typed as they are.
DECLINE_CODES: Final[dict[str, str]] = {
    "authentication_required": "The bank wants the cardholder to confirm",
    "card_declined": "Declined without a reason",
    "card_not_supported": "The card does not support this purchase",
    "card_velocity_exceeded": "Too many attempts or over the limit of the card",
    "do_not_honor": "The bank said no",
    "expired_card": "The card has expired",
    "fraudulent": "The bank suspects fraud",
    "generic_decline": "Declined without a reason (general)",
    "incorrect_cvc": "Wrong security code",
    "incorrect_number": "Wrong card number",
    "insufficient_funds": "Not enough money in the account",
    "issuer_not_available": "The bank could not be reached",
    "lost_card": "The card was reported lost",
    "pickup_card": "The bank wants the card back",
    "processing_error": "A mistake while the card was processed",
    "reenter_transaction": "The bank could not process it and asks to send it again",
    "stolen_card": "The card was reported stolen",
    "try_again_later": "The bank asks to try again later",
    "withdrawal_count_limit_exceeded": "Over the limit of withdrawals",
}
