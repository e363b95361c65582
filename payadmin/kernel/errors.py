"""Refusals: every way payadmin says no, as types with a code, a status and a sentence for staff.

They are raised in actions (and in what actions stand on) and turned into answers in exactly three places:
`views/errors.py`, `jobs/runner.py` and `cli.py`. Anything else that is raised is a bug.
"""

from typing import Any, ClassVar

from payadmin.kernel.text import Said, Text


class Refusal(Exception):
    """A request that payadmin understands and declines.

    Args:
        sentence: what staff read; it says what happened and what to do next. Where it holds values it is made with
            `payadmin.kernel.text._`, so that everybody can read it in their language.
        field: the form field or column the sentence belongs to, if there is one.
        data: facts for the page, the API or the audit trail (no secrets).
    """

    code: ClassVar[str] = "refused"
    status: ClassVar[int] = 400

    def __init__(self, sentence: str, *, field: str | None = None, **data: Any) -> None:
        super().__init__(sentence)
        self.sentence = sentence if isinstance(sentence, Said) else Text(sentence)
        self.field = field
        self.data = data
        self.is_recorded = False  # set by what wrote it into the audit trail


class NotFound(Refusal):
    """No such row, or not one you may see: the same answer for both."""

    code = "not_found"
    status = 404


class Forbidden(Refusal):
    """Your role may not do this."""

    code = "forbidden"
    status = 403


class Invalid(Refusal):
    """The input makes no sense, whatever the state of the world."""

    code = "invalid"
    status = 422


class Conflict(Refusal):
    """The input makes sense, but the world says no; includes a version that has moved on."""

    code = "conflict"
    status = 409


class NeedsApproval(Refusal):
    """Above your limit: a request for a second person was filed instead."""

    code = "needs_approval"
    status = 202


class ProviderDeclined(Refusal):
    """The outside world said no."""

    code = "provider_declined"
    status = 402


class ProviderUnknown(Refusal):
    """No answer came back: money may have moved, so it is being checked and never blindly retried."""

    code = "provider_unknown"
    status = 502
