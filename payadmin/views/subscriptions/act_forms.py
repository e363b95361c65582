"""The forms of acts on one subscription: the version that was looked at, a reason, a retry policy."""

from typing import Any

from sqlalchemy import select
from wtforms import Form, HiddenField, TextAreaField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs
from wtforms.validators import Length

from payadmin.db import db
from payadmin.kernel.errors import NotFound
from payadmin.kernel.text import _
from payadmin.models.subscriptions import RetryPolicy
from payadmin.views.fields import SelectField, no_cards, no_controls
from payadmin.views.filters import row_id_of

MOST_POLICIES = 500


class ActForm(Form):
    """What every act carries: the version that was looked at."""

    version = HiddenField()

    @property
    def seen(self) -> int:
        """The version that the form showed; 0, which no row has, when it was tampered with."""
        return row_id_of(self.version.data or "") or 0


class ReasonForm(ActForm):
    """An act that may be explained."""

    reason = TextAreaField(
        "Reason",
        [Length(max=500, message="Keep the reason within 500 characters."), no_controls, no_cards],
        description="Optional. Kept in the audit trail; the customer does not see it.",
        render_kw={"rows": 2},
    )


class PolicyForm(ActForm):
    """Which retry policy."""

    policy = SelectField("Retry policy", validate_choice=False)

    def __init__(self, formdata: Any = None, **kw: Any) -> None:
        super().__init__(formdata, **kw)
        self.policy.choices = policy_choices()


def policy_choices() -> list[Any]:
    """Every retry policy by name, and none at all first."""
    found = db.session.execute(select(RetryPolicy.id, RetryPolicy.name).order_by(RetryPolicy.name).limit(MOST_POLICIES))
    named = [SelectChoice(value=str(row.id), label=row.name) for row in found]
    return [SelectChoice(value="", label=_("None: a declined charge is not tried again")), *named]


def policy_id_of(text: str | None) -> int | None:
    """The chosen policy's id.

    Raises:
        NotFound: it is no id.
    """
    if not text:
        return None
    if (found := row_id_of(text)) is None:
        raise NotFound("There is no such retry policy.")
    return found
