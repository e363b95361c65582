"""Requests from Financial specialists: the CFO's page over the engine of approvals (S3:65, S3:74)."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from payadmin.approvals import KINDS
from payadmin.models.approvals import ApprovalRequest
from payadmin.permissions import Permission
from payadmin.views.approvals.filters import KindFilter
from payadmin.views.approvals.pages import ApprovalsPage
from payadmin.views.filters import Choice, Filter
from payadmin.views.registry import page

if TYPE_CHECKING:
    from sqlalchemy import Select

READ = Permission.CONTRACTS_REQUEST_READ
HERE = tuple(kind.name for kind in KINDS.values() if kind.page == "requests")


class TariffKindFilter(KindFilter):
    """Contracts, or cashback profiles."""

    def choices(self) -> list[Choice]:
        """The kinds that this page has."""
        return [choice for choice in super().choices() if choice.value in HERE]


@page(menu="requests")
class RequestsPage(ApprovalsPage):
    """What Financial specialists propose, and what the CFO made of it."""

    slug = "requests"
    heading = "Requests from Financial specialists"
    subtitle = "Changes of contracts and cashback profiles. Nothing here is in force before the CFO approves it."
    read = READ
    notes = False
    list_template = "tariffs/requests.html"
    needs = {"decide_view": READ}

    def get_query(self) -> "Select[Any]":
        """Of what one may see, the changes of tariffs."""
        return super().get_query().where(ApprovalRequest.kind.in_(HERE))

    def _filters_of(self, table: Any) -> Iterator[tuple[str, Filter]]:
        for key, each in super()._filters_of(table):
            yield key, TariffKindFilter(each.column) if key == "kind" else each
