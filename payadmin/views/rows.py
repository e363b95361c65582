"""The rows of a list as HTML, in one pass.

Fifty rows of ten cells are the most expensive part of a page: a template would look up and escape every piece again.
Every value is escaped here, once, unless it is a number or comes from `renderer` as Markup.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup, escape

from payadmin.kernel.text import _
from payadmin.views.language import say

_CHECK = (
    '<td class="ck"><input type="checkbox" class="rowcheck" form="action_form" name="id" value="{}" '
    'aria-label="{}"{}></td>'
)
_PLACE = "\N{OBJECT REPLACEMENT CHARACTER}"
_SUM = ' data-cur="{}" data-minor="{}" data-exp="{}"'
_MENU = (
    '<td class="kebab"><button type="button" class="iconbtn dots" data-row-menu="{}" aria-haspopup="menu" '
    'aria-label="{}"{}>⋯</button></td>'
)


@dataclass(frozen=True)
class Head:
    """One column's heading."""

    key: str
    label: str
    css: str
    sort_url: str | None
    direction: str | None
    opens: bool


@dataclass(frozen=True)
class Line:
    """One row, ready to print."""

    id: int
    title: str
    cells: Sequence[Any]
    sums: tuple[str, int, int] | None = None
    off: dict[str, str] | None = None


def print_rows(heads: Sequence[Head], lines: Sequence[Line], address: str, *, choose: bool, menu: bool) -> Markup:
    """The `<tr>` elements of a table's body.

    Args:
        heads: the columns; one of them is the link that opens the row.
        lines: the rows.
        address: where the rows live, with a slash at the end.
        choose: whether rows have a checkbox for bulk actions.
        menu: whether rows have the button of the shared menu.
    """
    before = [f'<td class="{escape(head.css)}">' if head.css else "<td>" for head in heads]
    opens = [head.opens for head in heads]
    place = escape(address)
    # Said once with a mark for the name: fifty rows need no fifty look-ups.
    choose_it = escape(say(_("Choose %(row)s", row=_PLACE)))
    menu_of = escape(say(_("Actions for %(row)s", row=_PLACE)))
    parts: list[str] = []
    first_with: dict[str, int] = {}
    for line in lines:
        row, title = f"{place}{line.id}/", escape(line.title)
        parts.append(f'<tr data-href="{row}">')
        if choose:
            parts.append(
                _CHECK.format(
                    line.id, choose_it.replace(_PLACE, title), _SUM.format(*map(escape, line.sums)) if line.sums else ""
                )
            )
        for start, is_link, cell in zip(before, opens, line.cells, strict=True):
            shown = cell if type(cell) is Markup else escape(cell)
            parts.append(f'{start}<a href="{row}">{shown}</a></td>' if is_link else f"{start}{shown}</td>")
        if menu:
            parts.append(
                _MENU.format(line.id, menu_of.replace(_PLACE, title), _off(line, first_with) if line.off else "")
            )
        parts.append("</tr>\n")
    return Markup("".join(parts))  # noqa: S704 - every value above is escaped or a number


def _off(line: Line, first_with: dict[str, int]) -> str:
    """What the row's menu cannot do and why; a row with the same reasons as an earlier one names that row."""
    reasons = htmlsafe_json_dumps(line.off)
    first = first_with.setdefault(reasons, line.id)
    return f" data-off='{reasons}'" if first == line.id else f' data-off="{first}"'
