"""The cash report: a desk over its current day or a period, for cashier, accountant and CFO (S3:66, S3:100).

A cashier sees the own desk, and what was expected only when the accountant has closed the day (CA4).
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from flask import Blueprint, Flask, Response, render_template, request, url_for
from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from payadmin.db import db, utcnow
from payadmin.kernel.errors import Forbidden, Invalid, NotFound
from payadmin.kernel.money import Money, format_minor
from payadmin.kernel.table_pdf import PdfColumn, PdfTable
from payadmin.kernel.text import Text, _
from payadmin.models.parties import Organization
from payadmin.models.payments import Unit
from payadmin.models.treasury import CashDesk, CashDeskDay, CashKind, CashOperation, DayStatus
from payadmin.permissions import Permission
from payadmin.queries.reporting import start_of
from payadmin.queries.treasury import desk_of, open_day_of
from payadmin.queries.treasury.reports import (
    MOST_DAYS,
    DayLines,
    Report,
    UnitLine,
    days_of,
    movements,
    report_of,
    window,
)
from payadmin.views.columns import enum_cell, unit_scale, zone
from payadmin.views.filters import row_id_of
from payadmin.views.language import say, speech
from payadmin.views.ledger.words import FILES, as_file
from payadmin.views.security import current_actor

PAGE: Final = "cash-report"
READ: Final = Permission.CASH_DAY_READ
SHOWN: Final = 50
MOST_DESKS: Final = 200
ONE_DAY: Final = dt.timedelta(days=1)

blueprint = Blueprint("cash_report", __name__, url_prefix="/cash-report")


@dataclass(frozen=True)
class Asked:
    """What the page was asked for.

    Attributes:
        day: the one day that it is about; None: all days that were opened from `first` to `last`.
        knows: whether whoever looks may know what uncounted and undecided days should hold.
        unit: one currency alone.
    """

    desk: CashDesk
    day: CashDeskDay | None
    first: dt.date
    last: dt.date
    knows: bool
    unit: str | None

    @property
    def wanted(self) -> Select[CashDeskDay]:
        """The statement that finds its days."""
        if self.day is not None:
            return select(CashDeskDay).where(CashDeskDay.id == self.day.id)
        return days_of(self.desk.id, self.first, self.last)

    def between(self, session: Session) -> tuple[dt.datetime, dt.datetime] | None:
        """When moves count that happened while no day was open; a single day has none."""
        if self.day is not None:
            return None
        whole = start_of(self.first, zone()), start_of(self.last + ONE_DAY, zone())
        return window(session, self.desk.id, self.first, self.last, whole)

    @property
    def args(self) -> dict[str, str]:
        """It as an address holds it."""
        days = {"day": str(self.day.id)} if self.day is not None else {"from": str(self.first), "to": str(self.last)}
        return {"desk": str(self.desk.id), **days, **({"unit": self.unit} if self.unit else {})}

    @property
    def name(self) -> str:
        """It as files are called."""
        days = f"{self.day.business_date}-no-{self.day.id}" if self.day is not None else f"{self.first}-{self.last}"
        return f"{self.desk.code}-{days}{f'-{self.unit}' if self.unit else ''}"


@blueprint.before_request
def _guard() -> None:
    actor = current_actor()
    if not actor.may(READ) or not actor.opens(PAGE):
        raise Forbidden("Your role does not include this page.")


@blueprint.get("/")
def index() -> Any:
    """The report on screen."""
    session, problem = db.session(), None
    desks = _desks(session)
    desk = _desk(session, desks)
    asked = None
    if desk is not None:
        try:
            asked = _asked(session, desk)
        except Invalid as refusal:
            problem = refusal.sentence
    content = _content(session, asked) if asked is not None else {"asked": None, "report": None}
    page = render_template(
        "treasury/report.html",
        desks=desks,
        desk=desk,
        problem=problem,
        first=request.args.get("from", ""),
        last=request.args.get("to", ""),
        today=_today(),
        week=_today() - 6 * ONE_DAY,
        month=_today().replace(day=1),
        may_choose=_sees_all(),
        **content,
    )
    return page, 400 if problem else 200


@blueprint.get("/<any(figures,operations):what>.<any(csv,xlsx,pdf):kind>")
def file(what: str, kind: str) -> Response:
    """The figures or the operations as a file: all of them, as the address asks for."""
    session = db.session()
    desk = _desk(session, _desks(session))
    asked = _asked(session, desk) if desk is not None else None
    if asked is None:
        raise NotFound("There is no cash day to report about.")
    make = _figures_file if what == "figures" else _operations_file
    return make(kind, asked)


# ---- what is asked for -----------------------------------------------------------------------------------------------


def _today() -> dt.date:
    return utcnow().astimezone(zone()).date()


def _sees_all() -> bool:
    return current_actor().may(Permission.CASH_DESK_READ)


def _desks(session: Session) -> Sequence[CashDesk]:
    """The desks that can be chosen; a cashier has one."""
    if not _sees_all():
        staff_id = current_actor().staff_id
        own = desk_of(session, staff_id) if staff_id is not None else None
        return [own] if own is not None else []
    return session.scalars(select(CashDesk).order_by(CashDesk.name, CashDesk.id).limit(MOST_DESKS)).all()


def _desk(session: Session, desks: Sequence[CashDesk]) -> CashDesk | None:
    text = request.args.get("desk", "").strip()
    if not text:
        return desks[0] if desks else None
    wanted = row_id_of(text)
    found = next((desk for desk in desks if desk.id == wanted), None)
    if found is None and _sees_all() and wanted is not None:
        found = session.get(CashDesk, wanted)
    if found is None:
        raise NotFound("There is no such desk.")
    return found


def _asked(session: Session, desk: CashDesk) -> Asked | None:
    """What the address asks for; without days the current cash day, and None when there is none.

    Raises:
        Invalid: no dates, the end before the beginning, too many days, or an unknown currency.
    """
    unit = request.args.get("unit", "").strip() or None
    if unit is not None and unit_scale(unit) is None:
        raise Invalid("There is no such currency.")
    knows = _sees_all()
    if (text := request.args.get("day", "").strip()) != "":
        day = session.get(CashDeskDay, row_id_of(text) or 0)
        if day is None or day.desk_id != desk.id:
            raise NotFound("There is no such cash day.")
        return Asked(desk, day, day.business_date, day.business_date, knows, unit)
    if not request.args.get("from") and not request.args.get("to"):
        current = open_day_of(session, desk.id)
        if current is None:
            return None
        return Asked(desk, current, current.business_date, current.business_date, knows, unit)
    last = _date("to") or _today()
    first = _date("from") or last
    if last < first:
        raise Invalid("The last day lies before the first.")
    if (last - first).days >= MOST_DAYS:
        raise Invalid(_("A report is about at most %(most)s days. Choose fewer.", most=MOST_DAYS))
    return Asked(desk, None, first, last, knows, unit)


def _date(name: str) -> dt.date | None:
    text = request.args.get(name, "").strip()
    if not text:
        return None
    try:
        found = dt.date.fromisoformat(text)
    except ValueError:
        raise Invalid("Write days as 2026-11-22.") from None
    if not 1900 < found.year < 2200:  # noqa: PLR2004 - time zones overflow at the ends of the calendar
        raise Invalid("Write days of this century.")
    return found


# ---- what whoever looks may know -------------------------------------------------------------------------------------


def _seen(asked: Asked, lines: DayLines, line: UnitLine) -> tuple[int | None, int | None, int | None]:
    """Expected, counted and difference of a day, as far as whoever looks may know them (CA4)."""
    if asked.knows or lines.is_closed:
        return line.expected_minor, line.counted_minor, line.difference_minor
    counted = line.counted_minor if lines.day.status is DayStatus.CLOSE_REQUESTED else None
    return None, counted, None


def _verdict(asked: Asked, lines: DayLines) -> str | None:
    """What is told about an undecided count to somebody who may not know by how much it differs."""
    if asked.knows or lines.is_closed:
        return None
    if lines.day.status is not DayStatus.CLOSE_REQUESTED:
        return _("What should be there is told when the day is closed.")
    return (
        _("What was counted differs from the books. The accountant decides.")
        if lines.differs
        else _("What was counted agrees with the books.")
    )


# ---- on screen -------------------------------------------------------------------------------------------------------

_FLOWS: Final = {
    CashKind.TOP_UP: _("Top-ups"),
    CashKind.WITHDRAWAL: _("Withdrawals"),
    CashKind.REDEEM: _("Redeem paid"),
}


def _content(session: Session, asked: Asked) -> dict[str, Any]:
    whole = report_of(session, asked.desk, asked.wanted, between=asked.between(session))
    report = whole
    if asked.unit is not None:
        report = report_of(session, asked.desk, asked.wanted, between=asked.between(session), unit=asked.unit)
    scales = {unit: unit_scale(unit) or 0 for unit in {*whole.units, *report.units}}
    shown = list(movements(
        session, asked.desk, asked.wanted, between=asked.between(session), unit=asked.unit, most=SHOWN + 1
    ))  # fmt: skip
    base = {key: value for key, value in asked.args.items() if key != "unit"}
    alone = report.days[0] if asked.day is not None and report.days else None
    return {
        "asked": asked,
        "report": report,
        "scales": scales,
        "facts": _facts(session, asked, report),
        "switch": [
            (unit, f"{url_for('cash_report.index')}?{urlencode(base | ({'unit': unit} if unit else {}))}")
            for unit in ("", *sorted({*whole.units, *([asked.unit] if asked.unit else [])}))
        ],
        "figures": _figures(asked, report),
        "verdict": say(verdict) if alone is not None and (verdict := _verdict(asked, alone)) else None,
        "days": [
            {
                "lines": lines,
                "state": enum_cell(lines.day.status),
                "by": report.people.get(lines.day.opened_by_id, ""),
                "url": f"{url_for('cash_report.index')}?{urlencode({'desk': asked.desk.id, 'day': lines.day.id})}",
                "units": [(line, *_seen(asked, lines, line)) for _unit, line in sorted(lines.units.items())],
            }
            for lines in report.days
        ],
        "cashiers": [
            (name, unit, [flows[kind] for kind in CashKind], sum(flow.commission_minor for flow in flows.values()))
            for (name, unit), flows in report.by_cashier.items()
        ],
        "movements": shown[:SHOWN],
        "more": len(shown) > SHOWN,
        "kinds": [say(label) for label in _FLOWS.values()],
        "files": {
            what: [
                (kind, label, f"{url_for('cash_report.file', what=what, kind=kind)}?{urlencode(asked.args)}")
                for kind, (label, _type) in FILES.items()
            ]
            for what in ("figures", "operations")
        },
        "say_kind": lambda text: say(Text(text)),
    }


def _facts(session: Session, asked: Asked, report: Report, *, is_file: bool = False) -> list[tuple[str, str]]:
    """What stands above: the organization, the desk, when it was opened and by whom (S3:103-107)."""
    said = _plain_day if is_file else speech().day
    told = _plain_moment if is_file else _moment
    organization = session.get_one(Organization, asked.desk.organization_id)
    facts: list[tuple[str, str]] = [
        (_("Organization"), organization.name),
        (_("Desk"), f"{asked.desk.name} ({asked.desk.code})"),
    ]
    day = asked.day
    if day is None:
        period = f"{said(asked.first)} – {said(asked.last)}"
        return [*facts, (_("Period"), period), (_("Cash days"), str(len(report.days)))]
    facts += [
        (_("Cash day"), said(day.business_date)),
        (_("Opened"), told(day.opened_at)),
        (_("Opened by"), report.people.get(day.opened_by_id, "")),
    ]
    if day.close_requested_at is not None:
        who = report.people.get(day.close_requested_by_id or 0, "")
        facts.append((_("Counted"), f"{told(day.close_requested_at)}, {who}"))
    if day.decided_at is not None and day.status in {DayStatus.CLOSED, DayStatus.RETURNED}:
        label = _("Closed") if day.status is DayStatus.CLOSED else _("Returned")
        facts.append((label, f"{told(day.decided_at)}, {report.people.get(day.decided_by_id or 0, '')}"))
    return facts


def _moment(at: dt.datetime) -> str:
    return speech().moment(at.astimezone(zone()))


def _plain_day(day: dt.date) -> str:
    return day.isoformat()


def _plain_moment(at: dt.datetime) -> str:
    return f"{at.astimezone(zone()):%Y-%m-%d %H:%M}"


def _figures(asked: Asked, report: Report) -> list[tuple[str, list[tuple[int | None, int | None]], bool]]:
    """A line for each figure: its label, number and minor units for each currency, and whether it stands out."""
    lines = [report.totals[unit] for unit in report.units]

    def plain(label: str, minors: list[int | None], *, strong: bool = False) -> Any:
        return label, [(None, minor) for minor in minors], strong

    # Without a day nobody counted or looked into the books: what moved is known, what lay there is not.
    found = [plain(_("Opening"), [line.opening_minor if report.days else None for line in lines])]
    for kind, label in _FLOWS.items():
        sign = 1 if kind is CashKind.TOP_UP else -1
        found.append((label, [(line.flows[kind].number, sign * line.flows[kind].cash_minor) for line in lines], False))
    found += [
        plain(_("System in"), [line.system_in_minor for line in lines]),
        plain(_("System out"), [-line.system_out_minor for line in lines]),
    ]
    if asked.day is not None and report.days:
        day = report.days[0]
        seen = [_seen(asked, day, line) for line in lines]
        found += [
            plain(_("Expected"), [each[0] for each in seen], strong=True),
            plain(_("Counted"), [each[1] for each in seen], strong=True),
            plain(_("Difference"), [each[2] for each in seen], strong=True),
        ]
    else:
        knows = report.days and (asked.knows or report.is_settled)
        found += [
            plain(_("Short"), [-line.short_minor for line in lines]),
            plain(_("Over"), [line.over_minor for line in lines]),
            plain(_("Closing"), [line.closing_minor if knows else None for line in lines], strong=True),
        ]
    found.append(plain(_("Commission"), [line.commission_minor for line in lines]))
    return found


# ---- files -----------------------------------------------------------------------------------------------------------
# As every file: English, with plain numbers (docs/texts.md).

_HEAD: Final = (
    "Day", "No.", "Status", "Opened by", "Currency", "Opening", "Top-ups", "Number of top-ups", "Withdrawals",
    "Number of withdrawals", "Redeem paid", "Number of redeem paid", "System in", "System out", "Commission",
    "Expected", "Counted", "Difference",
)  # fmt: skip
_PRINTED: Final = (
    "Day", "Status", "Currency", "Opening", "Top-ups", "Withdrawals", "Redeemed", "System in", "System out",
    "Commission", "Expected", "Counted", "Difference",
)  # fmt: skip


def _figures_file(kind: str, asked: Asked) -> Response:
    # Read here: what somebody may know is a question about the request.
    session = db.session()
    report = report_of(session, asked.desk, asked.wanted, between=asked.between(session), unit=asked.unit)
    lines = list(_lines(asked, report))
    facts = [(_english(label), value) for label, value in _facts(session, asked, report, is_file=True)]
    if closing := _closing(asked, report):
        facts.append(("Closing", closing))
    totals = list(_total_lines(asked, report))
    db.session.expunge_all()

    def document(_session: Session) -> PdfTable:
        columns = [PdfColumn(_PRINTED[0], 12), PdfColumn(_PRINTED[1], 16), PdfColumn(_PRINTED[2], 11)]
        columns += [PdfColumn(label, 13, right=True) for label in _PRINTED[3:]]
        rows = [[str(cell) if isinstance(cell, str) else _printed(cell) for cell in _short(line)] for line in lines]
        return PdfTable("Cash report", facts, columns, [*rows, *totals])

    return as_file(
        kind, "cash_report", f"cash-report-{asked.name}", list(_HEAD), lambda _session: lines,
        criteria=asked.args, pdf=document, rows_in_pdf=len(lines) + len(totals), permission=READ,
    )  # fmt: skip


def _lines(asked: Asked, report: Report) -> Iterator[list[Any]]:
    for lines in reversed(report.days):
        for unit, line in sorted(lines.units.items()):
            scale = unit_scale(unit) or 0

            def money(minor: int | None, unit: str = unit, scale: int = scale) -> Money | None:
                return Money(minor, unit, scale) if minor is not None else None

            flows = [line.flows[kind] for kind in CashKind]
            counts = [cell for flow in flows for cell in (money(flow.cash_minor), flow.number)]
            yield [
                lines.day.business_date, lines.day.id, lines.day.status.value,
                report.people.get(lines.day.opened_by_id, ""), unit, money(line.opening_minor), *counts,
                money(line.system_in_minor), money(line.system_out_minor), money(line.commission_minor),
                *(money(each) for each in _seen(asked, lines, line)),
            ]  # fmt: skip


def _short(line: list[Any]) -> list[Any]:
    """A line as it is printed: without numbers of operations, which would make the amounts too small to read."""
    return [line[0].isoformat(), line[2], line[4], line[5], line[6], line[8], line[10], *line[12:]]


def _printed(cell: Any) -> str:
    return format_minor(cell.minor, cell.scale) if isinstance(cell, Money) else "" if cell is None else str(cell)


def _closing(asked: Asked, report: Report) -> str:
    """What lay there at the end of a period, for whoever may know it."""
    if asked.day is not None or not report.days or not (asked.knows or report.is_settled):
        return ""
    closing = ((report.totals[unit].closing_minor, unit) for unit in report.units)
    return ", ".join(f"{format_minor(minor, unit_scale(unit) or 0)} {unit}" for minor, unit in closing)


def _total_lines(asked: Asked, report: Report) -> Iterator[list[str]]:
    if asked.day is not None:
        return
    for unit in report.units:
        line, scale = report.totals[unit], unit_scale(unit) or 0
        amounts = [
            line.opening_minor,
            *(line.flows[kind].cash_minor for kind in CashKind),
            line.system_in_minor,
            line.system_out_minor,
            line.commission_minor,
        ]
        difference = line.over_minor - line.short_minor
        opening, *moved = (format_minor(each, scale) for each in amounts)
        yield [
            "All", "", unit, opening if report.days else "", *moved, "", "", format_minor(difference, scale),
        ]  # fmt: skip


def _operations_file(kind: str, asked: Asked) -> Response:
    session = db.session()
    between, wanted, unit, desk = asked.between(session), asked.wanted, asked.unit, asked.desk
    days = wanted.with_only_columns(CashDeskDay.id)
    number = session.scalar(select(func.count()).select_from(CashOperation).where(CashOperation.day_id.in_(days))) or 0
    facts = [("Desk", f"{desk.name} ({desk.code})"), ("Days", f"{asked.first} – {asked.last}")]
    head = ["Time", "Cash day", "Kind", "Receipt", "Wallet", "By", "Currency", "Cash", "Commission"]
    here = zone()
    scales = {code: unit_scale(code) or 0 for code in _codes(session)}
    session.expunge(desk)

    def rows(session: Session) -> Iterator[list[Any]]:
        for each in movements(session, desk, wanted, between=between, unit=unit):
            amounts = (Money(minor, each.unit, scales[each.unit]) for minor in (each.cash_minor, each.commission_minor))
            yield [
                each.at.astimezone(here).replace(tzinfo=None), each.date, each.what, each.receipt, each.wallet,
                each.who, each.unit, *amounts,
            ]  # fmt: skip

    def document(session: Session) -> PdfTable:
        shares = (14, 10, 14, 8, 12, 18, 8, 12, 12)
        columns = [
            PdfColumn(label, share, right=label in {"Cash", "Commission", "Receipt"})
            for label, share in zip(head, shares, strict=True)
        ]
        texts = ([f"{line[0]:%Y-%m-%d %H:%M}", *(_printed(cell) for cell in line[1:])] for line in rows(session))
        return PdfTable("Cash operations", facts, columns, texts)

    return as_file(
        kind, "cash_report", f"cash-operations-{asked.name}", head, rows,
        criteria=asked.args, pdf=document, rows_in_pdf=number, permission=READ,
    )  # fmt: skip


def _codes(session: Session) -> Sequence[str]:
    return session.scalars(select(Unit.code)).all()


def _english(label: str) -> str:
    """A label as files have it."""
    return str.__str__(label)


def init_cash_report(app: Flask) -> None:
    """Add the page to the menu."""
    app.register_blueprint(blueprint)
    app.extensions["payadmin.pages"] |= {PAGE: "cash_report.index"}
