"""Status reports: what a bank says of a file (pain.002.001.03 and later)."""

from dataclasses import dataclass
from decimal import Decimal

from payadmin.kernel.errors import Invalid
from payadmin.kernel.iso20022.codes import DUPLICATES, REJECTED
from payadmin.kernel.iso20022.nodes import Node, as_code, as_count, as_decimal, as_reference, named_by
from payadmin.kernel.text import _


@dataclass(frozen=True)
class ReportLine:
    """What the bank says of one payment; `code` is its reason, where it has one."""

    end_to_end_id: str
    status: str
    code: str | None


@dataclass(frozen=True)
class Report:
    """A status report: what the bank says of one file.

    Attributes:
        status: of the whole file, or None where the bank speaks of single payments only.
        code: why the whole file is rejected.
        count: how many payments the bank counted, where it says so.
        total: what they come to in the file's currency, as it was written.
    """

    bank_id: str
    original_id: str
    status: str | None
    code: str | None
    count: int | None
    total: Decimal | None
    lines: tuple[ReportLine, ...]

    @property
    def is_duplicate(self) -> bool:
        """Whether it only says that the file came before."""
        return self.status == REJECTED and self.code in DUPLICATES and not self.lines


def read_report(body: Node) -> Report:
    """A status report; one that says nothing, or something twice, is refused (Invalid)."""
    group = body.one("OrgnlGrpInfAndSts")
    lines: list[ReportLine] = []
    seen: set[str] = set()
    for batch in body.every("OrgnlPmtInfAndSts"):
        # A batch that is rejected as a whole may name none of its payments: they follow from the file's own status.
        for line in batch.every("TxInfAndSts"):
            reference = as_reference(line.text("OrgnlEndToEndId"))
            if reference is None:
                raise Invalid("The status report says something about a payment without naming it.")
            if reference in seen:
                raise Invalid(_("The status report speaks twice of the payment %(reference)s.", reference=reference))
            seen.add(reference)
            lines.append(ReportLine(reference, as_code(line.needed("TxSts")) or "", _reason(line)))
    status = group.text("GrpSts")
    batches = [each.text("PmtInfSts") for each in body.every("OrgnlPmtInfAndSts")]
    code = _reason(group)
    if status is None and not lines and batches and set(batches) == {REJECTED}:
        status = REJECTED
    if status == REJECTED and code is None:
        codes = {_reason(each) for each in body.every("OrgnlPmtInfAndSts")} - {None}
        code = next(iter(codes)) if len(codes) == 1 else None
    if status is None and not lines:
        raise Invalid("The status report says nothing.")
    return Report(
        bank_id=named_by(body),
        original_id=as_reference(group.needed("OrgnlMsgId")) or "",
        status=as_code(status),
        code=code,
        count=as_count(group.text("OrgnlNbOfTxs")),
        total=as_decimal(group.text("OrgnlCtrlSum")),
        lines=tuple(lines),
    )


def _reason(node: Node) -> str | None:
    for info in node.every("StsRsnInf"):
        reason = info.maybe("Rsn")
        if reason is not None and (code := as_code(reason.text("Cd"))):
            return code
    return None
