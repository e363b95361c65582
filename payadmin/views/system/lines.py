"""Small lines over time, as BokehJS draws them under the strict content policy: data only, no code in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from payadmin.views.language import say

HEIGHT = 110
LIGHT = {"line": "#444ce7", "grid": "#e4e7ec", "text": "#475467", "area": "#eef2ff"}
DARK = {"line": "#8098f9", "grid": "#1f2937", "text": "#98a2b3", "area": "#1e2547"}


@dataclass(frozen=True)
class Line:
    """What a line shows: its values divided by `divisor` are in `unit`."""

    title: str
    unit: str
    divisor: int


def drawn(line: Line, points: Sequence[tuple[int, int]], *, dark: bool) -> dict[str, Any]:
    """The chart as JSON.

    Args:
        points: (epoch second, value), in order.
        dark: whether the page is dark: what is on a canvas cannot read the page's colours.
    """
    # Bokeh takes a while to import; only those who look at a line wait for it.
    from bokeh.embed import json_item  # noqa: PLC0415
    from bokeh.models import ColumnDataSource, HoverTool, NumeralTickFormatter  # noqa: PLC0415
    from bokeh.plotting import figure  # noqa: PLC0415

    colours = DARK if dark else LIGHT
    source = ColumnDataSource(
        {"at": [at * 1000 for at, _ in points], "value": [value / line.divisor for _, value in points]}
    )
    plot: Any = figure(
        height=HEIGHT, sizing_mode="stretch_width", x_axis_type="datetime", toolbar_location=None, tools="",
        min_border=2, background_fill_color=None, border_fill_color=None, outline_line_color=None,
    )  # fmt: skip
    plot.varea("at", 0, "value", source=source, fill_color=colours["area"])
    drawn_line = plot.line("at", "value", source=source, line_color=colours["line"], line_width=1.6)
    if len(points) == 1:
        plot.scatter("at", "value", source=source, fill_color=colours["line"], line_color=None, size=5)
    shown = f"@value{{0,0.[0]}} {line.unit}".strip()
    times = "@at{%d %b, %H:%M} UTC"
    plot.add_tools(
        HoverTool(
            renderers=[drawn_line], mode="vline", tooltips=[("", times), (say(line.title), shown)],
            formatters={"@at": "datetime"},
        )
    )  # fmt: skip
    plot.y_range.start = 0
    plot.yaxis.formatter = NumeralTickFormatter(format="0,0.[0]")
    plot.yaxis.ticker.desired_num_ticks = 3
    plot.xaxis.ticker.desired_num_ticks = 4
    plot.xgrid.visible = False
    plot.ygrid.grid_line_color = colours["grid"]
    for axis in (plot.xaxis, plot.yaxis):
        axis.major_label_text_color = colours["text"]
        axis.major_label_text_font_size = "11px"
        axis.axis_line_color = axis.major_tick_line_color = axis.minor_tick_line_color = None
    return cast("dict[str, Any]", json_item(plot))
