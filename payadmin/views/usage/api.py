"""`POST /api/v1/usage`: counts of operations from whoever meters them."""

from typing import Any

from payadmin.actions import usage
from payadmin.config import current_settings
from payadmin.kernel.documents import a_day, a_text, a_whole, list_of, optional, record
from payadmin.models.usage import CODE_LENGTH, LARGEST_COUNT, OPERATION_LENGTH, SOURCE_LENGTH
from payadmin.permissions import ApiScope
from payadmin.views.api import Call, endpoint

USUAL_SOURCE = "api"
ENTRY = record(
    service=a_text(CODE_LENGTH),
    operation=a_text(OPERATION_LENGTH),
    day=a_day(),
    count=a_whole(least=0, most=LARGEST_COUNT),
    source=optional(a_text(SOURCE_LENGTH), default=USUAL_SOURCE),
)


@endpoint(
    "POST", "/usage", scope=ApiScope.USAGE_WRITE, body=record(entries=list_of(ENTRY, least=1, most=usage.MOST_ENTRIES))
)
def report_usage(call: Call) -> dict[str, Any]:
    """Say how many operations client services had on days; saying it again changes nothing."""
    entries = [usage.Counted(place=place, **entry) for place, entry in enumerate(call.body["entries"])]
    return usage.report_usage(call.actor, entries, zone=current_settings().zone, once=call.once)
