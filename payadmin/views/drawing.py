"""How charts look: a plot as BokehJS draws it under the strict content policy, which is data only, no code in it."""

import datetime as dt
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

from payadmin.kernel.text import _
from payadmin.views.language import say, speech

if TYPE_CHECKING:
    from payadmin.views.charts import Plot

HEIGHT = 300
STRIP_HEIGHT = 76
LEGEND_HEIGHT = 24
ROW_HEIGHT = 34
# What is on a canvas cannot read the page's colours; these are those of css/tokens.css.
LIGHT = {
    "grid": "#e4e7ec", "text": "#475467", "average": "#b93815", "paper": "#ffffff", "shade": "#98a2b3",
    "series": ("#444ce7", "#0ba5ec", "#12b76a", "#f79009", "#ee46bc", "#98a2b3", "#7a5af8", "#0e9384"),
    "tones": {"bad": "#f04438", "quiet": "#98a2b3"},
}  # fmt: skip
DARK = {
    "grid": "#232d3f", "text": "#b4bfcf", "average": "#fdb022", "paper": "#121824", "shade": "#7c8aa0",
    "series": ("#8098f9", "#36bffa", "#32d583", "#fdb022", "#f670c7", "#7c8aa0", "#9b8afb", "#2ed3b7"),
    "tones": {"bad": "#f97066", "quiet": "#7c8aa0"},
}  # fmt: skip
FONT = "Inter, system-ui, sans-serif"
MOST_MARKS = 45
DAY_MS = 86_400_000


class Shape(StrEnum):
    """How a plot is drawn."""

    LINE = "line"
    BARS = "bars"
    RANKED = "ranked"


def draw(plot: "Plot", title: str, *, dark: bool, narrow: bool = False) -> dict[str, Any]:
    """The plot as JSON.

    Args:
        title: what it is called.
        dark: whether the page is dark.
        narrow: whether there is room for a few marks of days only.
    """
    # Bokeh takes a while to import; only those who look at a chart wait for it.
    from bokeh.embed import json_item  # noqa: PLC0415

    colours: dict[str, Any] = DARK if dark else LIGHT
    made = _ranked(plot, colours) if plot.shape is Shape.RANKED else _over_days(plot, colours, narrow=narrow)
    made.name = title
    return cast("dict[str, Any]", json_item(made))


def _over_days(plot: "Plot", colours: dict[str, Any], *, narrow: bool) -> Any:
    from bokeh.layouts import column  # noqa: PLC0415

    models = _models()

    days = _positions(plot)
    seen = [days[position] for position in plot.seen] or days
    drawn = sum(1 for one in plot.series if one.drawn)
    half = _width(days) / 2 if plot.shape is Shape.BARS else 0
    x_range = models.Range1d(min(seen) - half - DAY_MS // 8, max(seen) + half + DAY_MS // 8)
    y_range = (
        models.DataRange1d(start=0, only_visible=True, range_padding=0.12)
        if plot.from_zero and _is_positive(plot)
        else models.DataRange1d()
    )
    figure = _figure(
        HEIGHT + LEGEND_HEIGHT * ((drawn + 1) // 2 if drawn > 1 else 0),
        colours,
        x_range=x_range,
        y_range=y_range,
        x_axis_type="datetime",
        window_axis="x",
    )
    source = _source(plot, days)
    _over = _line if plot.shape is Shape.LINE else _bars
    _over(plot, figure, source, colours, _width(days))
    if plot.average:
        _average(plot, figure, colours, min(seen))
    _date_axis(figure, narrow=narrow)
    if plot.window is None:
        return figure
    return column(figure, _strip(figure, source, colours, days, narrow=narrow), sizing_mode="stretch_width", spacing=0)


def _ranked(plot: "Plot", colours: dict[str, Any]) -> Any:
    models = _models()

    names = [plot.place_text(position) for position in range(len(plot.places))]
    source = _source(plot, names)
    top = max(plot.series[0].values, default=0) / 10 ** plot.series[0].scale
    figure = _figure(
        ROW_HEIGHT * len(names) + 40, colours,
        y_range=models.FactorRange(factors=names[::-1]), x_range=models.Range1d(0, top * 1.08 or 1),
    )  # fmt: skip
    bars = figure.hbar(y="at", right="v0", height=0.62, source=source, fill_color=colours["series"][0], line_color=None)
    figure.add_tools(models.HoverTool(renderers=[bars], mode="hline", tooltips=_tooltips(plot)))
    figure.xgrid.grid_line_color, figure.ygrid.grid_line_color = colours["grid"], None
    figure.xaxis.formatter = _numbers()
    figure.xaxis.ticker.desired_num_ticks = 4
    return figure


def _figure(height: int, colours: dict[str, Any], **options: Any) -> Any:
    from bokeh.plotting import figure  # noqa: PLC0415

    made: Any = figure(
        height=height, sizing_mode="stretch_width", toolbar_location=None, tools="", min_border=4,
        background_fill_color=None, border_fill_color=None, outline_line_color=None, **options,
    )  # fmt: skip
    made.xgrid.grid_line_color = None
    made.ygrid.grid_line_color = colours["grid"]
    for axis in (made.xaxis, made.yaxis):
        axis.major_label_text_color = colours["text"]
        axis.major_label_text_font_size = "12px"
        axis.major_label_text_font = FONT
        axis.axis_line_color = axis.major_tick_line_color = axis.minor_tick_line_color = None
    return made


def _source(plot: "Plot", places: list[Any]) -> Any:
    models = _models()

    columns: dict[str, Any] = {"at": places, "place": [plot.place_text(position) for position in range(len(places))]}
    for number, one in enumerate(plot.series):
        columns[f"t{number}"] = [one.text(value) for value in one.values]
        if one.drawn:
            columns[f"v{number}"] = [value / 10**one.scale for value in one.values]
    return models.ColumnDataSource(columns)


def _line(plot: "Plot", figure: Any, source: Any, colours: dict[str, Any], _width_ms: float) -> None:
    models = _models()

    first = None
    for number, one in enumerate(plot.series):
        if not one.drawn:
            continue
        colour = _next_colour(colours, number)
        if first is None and plot.from_zero:
            figure.varea("at", 0, f"v{number}", source=source, fill_color=colour, fill_alpha=0.1)
        options: dict[str, Any] = {"line_color": colour, "line_width": 2}
        drawn = figure.line("at", f"v{number}", source=source, **options)
        if sum(1 for _position in plot.seen) <= MOST_MARKS:
            figure.scatter("at", f"v{number}", source=source, size=7, fill_color=colour, line_color=colours["paper"])
        first = first or drawn
    # What does not begin at zero is told apart by its last digits: rates between 1.21 and 1.24.
    figure.yaxis.formatter = _numbers() if plot.from_zero else models.BasicTickFormatter(use_scientific=False)
    figure.yaxis.ticker.desired_num_ticks = 5
    figure.add_tools(models.HoverTool(renderers=[first], mode="vline", tooltips=_tooltips(plot)), _crosshair(colours))


def _next_colour(colours: dict[str, Any], place: int) -> str:
    return str(colours["series"][place % len(colours["series"])])


def _bars(plot: "Plot", figure: Any, source: Any, colours: dict[str, Any], width: float) -> None:
    models = _models()

    drawn = [one for one in plot.series if one.drawn]
    names = [f"v{number}" for number, one in enumerate(plot.series) if one.drawn]
    fills = [colours["tones"].get(one.tone, _next_colour(colours, place)) for place, one in enumerate(drawn)]
    bars = figure.vbar_stack(
        names, x="at", width=width * 0.8, source=source, fill_color=fills, line_color=colours["paper"], line_width=0.5
    )
    figure.yaxis.formatter = _numbers()
    figure.yaxis.ticker.desired_num_ticks = 5
    figure.add_tools(models.HoverTool(renderers=[bars[0]], mode="vline", tooltips=_tooltips(plot)))
    if len(names) > 1:
        items = [models.LegendItem(label=say(one.label), renderers=[bar]) for one, bar in zip(drawn, bars, strict=True)]
        legend = models.Legend(
            items=items, orientation="horizontal", ncols=2, border_line_color=None, background_fill_color=None,
            label_text_color=colours["text"], label_text_font_size="12px", label_text_font=FONT,
            glyph_width=12, glyph_height=12,
            label_standoff=5, spacing=12, margin=4, padding=2, location="left",
        )  # fmt: skip
        figure.add_layout(legend, "below")


def _average(plot: "Plot", figure: Any, colours: dict[str, Any], start: float) -> None:
    models = _models()

    one = plot.series[0]
    height = plot.mean / 10**one.scale
    figure.add_layout(
        models.Span(
            location=height, dimension="width", line_color=colours["average"], line_dash="dashed", line_width=1.5
        )
    )
    words = say(_("Average %(amount)s", amount=one.text(plot.mean)))
    figure.add_layout(
        models.Label(
            x=start, y=height, x_offset=6, y_offset=3, text=words, text_color=colours["average"],
            text_font_size="12px", text_font=FONT, text_font_style="bold", background_fill_color=colours["paper"],
            background_fill_alpha=0.75,
        )
    )  # fmt: skip


def _strip(figure: Any, source: Any, colours: dict[str, Any], days: list[int], *, narrow: bool) -> Any:
    models = _models()

    # A range of its own: the strip shows all days, whatever part of them is seen above.
    strip = _figure(
        STRIP_HEIGHT, colours, x_axis_type="datetime", x_range=models.Range1d(days[0], max(days[-1], days[0] + DAY_MS)),
    )  # fmt: skip
    strip.varea("at", 0, "v0", source=source, fill_color=colours["shade"], fill_alpha=0.45)
    strip.yaxis.visible = False
    strip.ygrid.grid_line_color = None
    tool = models.RangeTool(x_range=figure.x_range)
    tool.overlay.fill_color, tool.overlay.fill_alpha = colours["series"][0], 0.15
    tool.overlay.line_color = colours["series"][0]
    strip.add_tools(tool)
    _date_axis(strip, narrow=narrow)
    return strip


def _crosshair(colours: dict[str, Any]) -> Any:
    models = _models()

    return models.CrosshairTool(dimensions="height", line_color=colours["shade"], line_alpha=0.6)


def _tooltips(plot: "Plot") -> list[tuple[str, str]]:
    rows = [(say(one.label), f"@t{number}") for number, one in enumerate(plot.series)]
    return [(say(plot.head), "@place"), *rows]


def _date_axis(figure: Any, *, narrow: bool) -> None:
    models = _models()

    # BokehJS knows only the English names of months.
    day, month = ("%d %b", "%b\n%Y") if speech().code == "en" else ("%d/%m", "%m\n%Y")
    figure.xaxis.formatter = models.DatetimeTickFormatter(hours=day, days=day, months=month, years="%Y")
    figure.xaxis.ticker.desired_num_ticks = 3 if narrow else 7


def _numbers() -> Any:
    models = _models()

    return models.NumeralTickFormatter(format="0.[0]a")


def _models() -> Any:
    import bokeh.models  # noqa: PLC0415 - as above

    return bokeh.models


def _ms(day: dt.date) -> int:
    """The day as BokehJS counts: from the epoch, without any zone."""
    return (day - dt.date(1970, 1, 1)).days * DAY_MS


def _positions(plot: "Plot") -> list[int]:
    """Where each place stands. A first bar of fewer days, where the period begins, stands as far off as the others."""
    days = [_ms(place) for place in plot.places if isinstance(place, dt.date)]
    if plot.shape is Shape.BARS and len(days) > 2:  # noqa: PLR2004 - two bars have no usual distance
        days[0] = min(days[0], 2 * days[1] - days[2])
    return days


def _width(days: list[int]) -> float:
    return min((after - before for before, after in pairwise(days)), default=DAY_MS)


def _is_positive(plot: "Plot") -> bool:
    return all(value >= 0 for one in plot.series if one.drawn for value in one.values)
