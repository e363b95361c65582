"""Test cards: Stripe's published tokens and numbers decide how a charge or its refund ends."""

import secrets
from typing import Any

from payadmin.simulator.wire import Refused

# Stripe's published test cards, by token and by number: (decline code, sentence).
DECLINES = {
    "chargeDeclined": ("4000000000000002", "generic_decline", "Your card was declined."),
    "chargeDeclinedInsufficientFunds": ("4000000000009995", "insufficient_funds", "Your card has insufficient funds."),
    "chargeDeclinedLostCard": ("4000000000009987", "lost_card", "Your card was declined."),
    "chargeDeclinedStolenCard": ("4000000000009979", "stolen_card", "Your card was declined."),
    "chargeDeclinedExpiredCard": ("4000000000000069", "expired_card", "Your card has expired."),
    "chargeDeclinedIncorrectCvc": ("4000000000000127", "incorrect_cvc", "Your card's security code is incorrect."),
    "chargeDeclinedProcessingError": ("4000000000000119", "processing_error", "The card could not be processed."),
    "chargeDeclinedVelocityLimitExceeded": (
        "4000000000006975",
        "card_velocity_exceeded",
        "Your card was declined for making repeated attempts too often.",
    ),
    "chargeDeclinedFraudulent": ("4100000000000019", "fraudulent", "Your card was declined."),
    "chargeCustomerFail": ("4000000000000341", "generic_decline", "Your card was declined."),
}
REFUSED_CARDS = {
    name: (code, sentence)
    for token, (number, code, sentence) in DECLINES.items()
    for name in (f"tok_{token}", f"tok_visa_{token}", number)
}
GOOD_NUMBERS = frozenset(
    {
        "4242424242424242",
        "4000056655665556",
        "4000000000000077",
        "5555555555554444",
        "2223003122003222",
        "5200828282828210",
        "5105105105105100",
        "378282246310005",
        "371449635398431",
        "6011111111111117",
        "3056930009020004",
        "3566002020360505",
        "6200000000000005",
    }
)
REFUND_FAILS = frozenset({"tok_refundFail", "4000000000005126"})
REFUND_PENDS = frozenset({"tok_pendingRefund", "4000000000007726"})
CHARGE_PENDS = frozenset({"tok_pending"})


def refuse_card(token: str, *, declined: bool) -> None:
    if declined:
        raise Refused(402, "card_declined", "Your card was declined.", decline_code="generic_decline")
    if token in REFUSED_CARDS:
        decline_code, sentence = REFUSED_CARDS[token]
        raise Refused(402, "card_declined", sentence, decline_code=decline_code)
    if token.isdigit() and token not in GOOD_NUMBERS | REFUND_FAILS | REFUND_PENDS:
        raise Refused(402, "card_declined", "This is not a test card number.", decline_code="incorrect_number")


# A stored card behaves as its number does: what the token of a special test number is called.
MARKED_TOKENS = {number: f"tok_{token}" for token, (number, _, _) in DECLINES.items()} | {
    "4000000000005126": "tok_refundFail",
    "4000000000007726": "tok_pendingRefund",
}


# Stripe's card that is accepted when it is stored and refused when it is charged.
STORED_ALL_THE_SAME = "4000000000000341"


def stored_card(number: str, *, verify: bool = False) -> dict[str, Any]:
    """Stand in for the vault of a provider: a token for a card number, or why it is none.

    Args:
        verify: ask the issuer too, as when a payer is there to use another card.
    """
    if not _checks_out(number):
        return {"error": {"code": "incorrect_number", "message": "This card number is not valid."}}
    if verify and number in REFUSED_CARDS and number != STORED_ALL_THE_SAME:
        decline_code, sentence = REFUSED_CARDS[number]
        return {"error": {"code": "card_declined", "decline_code": decline_code, "message": sentence}}
    return {"token": MARKED_TOKENS.get(number) or f"card_{secrets.token_hex(12)}"}


def _checks_out(number: str) -> bool:
    """Whether the last digit is the check digit of the ones before it (ISO/IEC 7812)."""
    total = 0
    for place, digit in enumerate(reversed(number)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value  # noqa: PLR2004 - the cross sum of two digits
    return total % 10 == 0
