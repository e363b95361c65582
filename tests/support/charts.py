"""Charts in a real browser: waiting until they are drawn, and what they say under the mouse."""

from playwright.sync_api import Page, expect

TRIES = 50


def drawn(page: Page, *names: str) -> None:
    """Wait until these charts stand there: BokehJS comes when one is looked at."""
    for name in names:
        chart = page.locator(f"#chart-{name}")
        chart.scroll_into_view_if_needed()
        expect(chart).not_to_have_attribute("aria-busy", "true", timeout=30_000)
        expect(chart.locator(".bk-Figure").first).to_be_visible()


def hovered(page: Page, name: str, share: float = 0.5) -> str:
    """What a chart says when the mouse is at this share of its width."""
    chart = page.locator(f"#chart-{name}")
    chart.scroll_into_view_if_needed()
    # Every chart has its own; the one that is under the pointer has words.
    tip = page.locator(".bk-Tooltip:visible").first
    page.mouse.move(0, 0)
    expect(tip).to_have_count(0)
    for step in range(TRIES):
        # A chart that was just scrolled answers the next move, not the pointer that stands still.
        box = chart.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] * share + step % 5, box["y"] + box["height"] * 0.5)
        page.wait_for_timeout(100)
        if tip.count():
            return str(tip.evaluate("tip => (tip.shadowRoot ?? tip).textContent"))
    raise AssertionError(f"the chart {name} says nothing")
