"""Messages between a company and its bank: orders (pain.001), status reports (pain.002) and statements (camt.053).

What comes in is written by others. It is read by a parser that takes no DTD and no entities, so that nothing is
fetched and nothing grows; sizes, depth and counts are limited, and of the standard only what payadmin relies on is
read: anything there that is missing, doubled or does not add up refuses the whole message. Amounts are whole minor
units of the currency that stands beside them.

Source: ISO 20022 messages pain.001.001.09, pain.002.001.03 and later, camt.053.001.02 and later.
"""

import re
from typing import Final

from payadmin.kernel.errors import Invalid
from payadmin.kernel.iso20022.codes import ACCEPTED, DUPLICATES, REJECTED, reason_words
from payadmin.kernel.iso20022.nodes import MAX_BYTES, MAX_ELEMENTS, MAX_TEXT, REFERENCE_LENGTH, parse
from payadmin.kernel.iso20022.orders import Orders, Transfer, name_for_bank, write_orders
from payadmin.kernel.iso20022.reports import Report, ReportLine, read_report
from payadmin.kernel.iso20022.statements import Entry, Statement, Statements, read_statements

__all__ = [
    "ACCEPTED", "DUPLICATES", "MAX_BYTES", "MAX_ELEMENTS", "MAX_TEXT", "REFERENCE_LENGTH", "REJECTED",
    "Entry", "Orders", "Report", "ReportLine", "Statement", "Statements", "Transfer",
    "name_for_bank", "read_message", "reason_words", "write_orders",
]  # fmt: skip
_NAMESPACE: Final = re.compile(r"urn:iso:std:iso:20022:tech:xsd:((?:pain\.002|camt\.053)\.001\.[0-9]{2})")


def read_message(data: bytes) -> Report | Statements:
    """What a bank sent.

    Raises:
        Invalid: it is neither a status report nor a statement, or something in it cannot be relied on.
    """
    root = parse(data)
    match = _NAMESPACE.fullmatch(root.namespace)
    if root.name != "Document" or match is None:
        raise Invalid("This is neither a status report (pain.002) nor a statement (camt.053) of a bank.")
    if match[1].startswith("pain"):
        return read_report(root.one("CstmrPmtStsRpt"))
    return read_statements(root.one("BkToCstmrStmt"))
