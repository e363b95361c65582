"""What banks say in codes (ISO 20022 external code sets)."""

from typing import Final

from payadmin.kernel.text import _

# The bank has had a file with this name before: what it says of that one counts, and this is no refusal of it.
DUPLICATES: Final = frozenset({"DUPL", "AM05"})
ACCEPTED: Final = frozenset({"ACCP", "ACSP", "ACSC", "ACTC", "ACWC", "ACCC"})
REJECTED: Final = "RJCT"

# Why a bank does not pay, or sends money back; in words.
REASONS: Final[dict[str, str]] = {
    "AC01": _("The account number is wrong"),
    "AC03": _("The account number of the payee is wrong"),
    "AC04": _("The account is closed"),
    "AC06": _("The account is blocked"),
    "AC13": _("The account is of a kind that cannot be paid to"),
    "AG01": _("The account takes no such payments"),
    "AG02": _("The bank does not know the kind of payment"),
    "AM02": _("The amount is above what is allowed"),
    "AM03": _("The account takes no payments in this currency"),
    "AM04": _("There is not enough money in our account"),
    "AM05": _("The bank takes it for a duplicate"),
    "AM09": _("The amount is wrong"),
    "AM10": _("The total of the file is wrong"),
    "AM18": _("The number of payments in the file is wrong"),
    "BE01": _("The name does not belong to the account"),
    "BE04": _("The payee's address is missing"),
    "BE05": _("The bank does not know who sent the file"),
    "CNOR": _("The payee's bank cannot be reached"),
    "CUST": _("Cancelled at the request of the customer"),
    "DNOR": _("Our bank cannot be reached this way"),
    "DT01": _("The date is wrong"),
    "DUPL": _("The bank has had this file before"),
    "ED05": _("The settlement failed"),
    "FF01": _("The bank cannot read the file"),
    "FOCR": _("Sent back after a recall"),
    "FR01": _("The bank suspects fraud"),
    "MD06": _("The payee asked for it to be sent back"),
    "MD07": _("The payee has died"),
    "MS02": _("The payee refuses it, without a reason"),
    "MS03": _("The bank gives no reason"),
    "NARR": _("The bank says why in words"),
    "NOAS": _("The payee did not answer"),
    "NOOR": _("The bank received no original payment"),
    "RC01": _("The BIC is wrong"),
    "RR01": _("Our account is not stated, which the law asks for"),
    "RR02": _("Our name or address is missing, which the law asks for"),
    "RR03": _("The payee's name or address is missing, which the law asks for"),
    "RR04": _("The law does not allow it"),
    "TM01": _("It came after the bank's closing time"),
}


def reason_words(code: str | None) -> str:
    """A bank's reason code in words; a code that nobody explained stands for itself."""
    if not code:
        return _("The bank gives no reason")
    return REASONS.get(code, code)
