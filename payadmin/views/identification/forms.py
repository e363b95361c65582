"""The forms of identification: files with what they are, requests, and acts with a reason."""

from collections.abc import Sequence
from typing import Any

from wtforms import BooleanField, Form, MultipleFileField, TextAreaField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs
from wtforms.validators import DataRequired, InputRequired, Length, NumberRange

from payadmin.actions import identification
from payadmin.actions.identification.files import MOST_FILES
from payadmin.actions.identification.links import LONGEST_DAYS
from payadmin.kernel import papers
from payadmin.kernel.text import Text, _
from payadmin.models.identification import OTHER_NEED, DocumentKind, Need, needs_of
from payadmin.models.parties import CustomerKind
from payadmin.views.fields import Checkboxes, NumberField, SelectField, no_cards, no_controls
from payadmin.views.language import say
from payadmin.views.subscriptions.act_forms import ActForm

USUAL_DAYS = 14
TAKEN = ".pdf,.jpg,.jpeg,.png,application/pdf,image/jpeg,image/png"
WHAT_IS_TAKEN = _(
    "PDF, JPEG or PNG, up to %(most)s MB each and 15 MB together. Both sides of a card: choose two files.",
    most=papers.MAX_BYTES // 2**20,
)


class ConfirmForm(ActForm):
    """An act that needs nothing but a yes."""


class NeededReasonForm(ActForm):
    """An act that must be explained."""

    reason = TextAreaField(
        "Reason",
        [
            DataRequired("Say why."),
            Length(max=500, message="Keep the reason within 500 characters."),
            no_controls,
            no_cards,
        ],
        description="Kept in the audit trail; the customer does not see it.",
        render_kw={"rows": 3, "maxlength": 500},
    )


class UploadForm(Form):
    """Files that staff have of a customer, all of one kind."""

    kind = SelectField("What it is", [InputRequired("Choose one.")])
    files = MultipleFileField(
        "Files", [InputRequired("Choose a file.")], description=WHAT_IS_TAKEN, render_kw={"accept": TAKEN}
    )

    def __init__(self, formdata: Any, *, customer: CustomerKind) -> None:
        super().__init__(formdata)
        needed = [kind for need in needs_of(customer) for kind in need.kinds]
        kinds = [*needed, *(kind for kind in DocumentKind if kind not in needed)]
        self.kind.choices = [SelectChoice(value=kind.name, label=say(Text(kind.value))) for kind in kinds]

    def sent(self) -> list[identification.Sent]:
        """The files that were chosen."""
        return sent_in(self.files, DocumentKind[str(self.kind.data)])


class RequestForm(ActForm):
    """What a customer is asked for."""

    asked_for = Checkboxes("What is needed", [InputRequired("Choose what is needed.")])
    message = TextAreaField(
        "Message to the customer",
        [Length(max=500, message="At most 500 characters."), no_controls, no_cards],
        description="Optional. It stands in the mail and on the page, as you write it.",
        render_kw={"rows": 3, "maxlength": 500},
    )
    works_for = NumberField(
        "The link works for, in days",
        [
            InputRequired("Say how many days it works."),
            NumberRange(1, LONGEST_DAYS, _("A link works for 1 to %(number)s days.", number=LONGEST_DAYS)),
        ],
        default=USUAL_DAYS,
        render_kw={"inputmode": "numeric"},
    )
    by_mail = BooleanField("Send the link by e-mail now, in the customer's language")

    def __init__(self, formdata: Any, *, customer: CustomerKind, **kw: Any) -> None:
        super().__init__(formdata, **kw)
        self.asked_for.choices = [
            SelectChoice(value=need.key, label=say(Text(need.label))) for need in (*needs_of(customer), OTHER_NEED)
        ]


def sending_form(needs: Sequence[Need]) -> type[Form]:
    """The form of a link: for each line of the checklist what the document is, and its files."""
    fields: dict[str, Any] = {}
    for need in needs:
        if len(need.kinds) > 1:
            choices = [SelectChoice(value=kind.name, label=Text(kind.value)) for kind in need.kinds]
            fields[f"{need.key}_kind"] = SelectField("What it is", [InputRequired("Choose one.")], choices=choices)
        fields[f"{need.key}_files"] = MultipleFileField(
            "Files", [InputRequired("Choose a file.")], description=need.hint, render_kw={"accept": TAKEN}
        )
    return type("SendingForm", (Form,), fields)


def sent_in(field: Any, kind: DocumentKind) -> list[identification.Sent]:
    """The files of one field, read no further than what could be taken."""
    return [
        identification.Sent(kind, file.filename, file.stream.read(papers.MAX_BYTES + 1), field.name)
        for file in (field.data or ())[: MOST_FILES + 1]
        if getattr(file, "filename", None)  # a program may post words where a form has files
    ]
