"""What every template can say: icons, badges, amounts, moments and versioned addresses, ready-made for speed.

A list of fifty rows asks for hundreds of icons and badges, so nothing here builds an address or renders a template.
"""

import datetime as dt
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

from flask import Flask
from jinja2 import StrictUndefined
from markupsafe import Markup

from payadmin.texts import Speech
from payadmin.views.assets import Assets, init_assets
from payadmin.views.language import say, speech
from payadmin.views.security import csp_nonce

TONES = frozenset({"ok", "warn", "bad", "info", "vio", "plain"})
NOTHING = Markup('<span class="muted">\u2013</span>')

_ICON = Markup('<svg class="{}" aria-hidden="true"><use href="{}#{}"/></svg>')
_BADGE = Markup('<span class="badge b-{}">{}</span>')
# Joined rather than formatted: hundreds of each on a page, and joining escapes in C.
_JOIN = Markup("").join
_AMOUNT = (Markup('<span class="amt">'), Markup(" <small>"), Markup("</small></span>"))
_TIME = (Markup('<time datetime="'), Markup('">'), Markup("</time>"))


def init_ui(app: Flask) -> None:
    """Give the templates of `app` their words, and refuse names that nobody defined."""
    assets = init_assets(app)
    environment = app.jinja_env
    environment.undefined = StrictUndefined
    environment.trim_blocks = True
    environment.lstrip_blocks = True
    environment.globals.update(
        amount=amount,
        badge=badge,
        icon=icon_maker(assets),
        initials=initials,
        nonce=csp_nonce,
        static_v=assets.url,
        when=moment_writer(app.extensions["payadmin.settings"].zone),
    )


def icon_names(sprite: Path) -> frozenset[str]:
    """The icons that exist."""
    return frozenset(re.findall(r'<symbol id="([^"]+)"', sprite.read_text(encoding="utf-8")))


def icon_maker(assets: Assets) -> Callable[..., Markup]:
    """The `icon(name, cls="")` of the templates; a name that is not in the sprite is a mistake and says so."""
    names = icon_names(assets.folder / "icons.svg")
    sprite = assets.url("icons.svg")

    @lru_cache(maxsize=1024)
    def icon(name: str, cls: str = "") -> Markup:
        if name not in names:
            msg = f"there is no icon {name!r} in static/icons.svg"
            raise LookupError(msg)
        return _ICON.format(f"i {cls}".rstrip(), sprite, name)

    return icon


def badge(label: str, tone: str = "plain") -> Markup:
    """A status as a word with a coloured dot, in the reader's language."""
    return _badge(label if isinstance(label, Markup) else say(label), tone)


@lru_cache(maxsize=4096)
def _badge(label: str, tone: str) -> Markup:
    if tone not in TONES:
        msg = f"there is no tone {tone!r}; tones are {', '.join(sorted(TONES))}"
        raise LookupError(msg)
    return _BADGE.format(tone, label)


def amount(minor: int | None, unit: str, scale: int, tongue: Speech | None = None) -> Markup:
    """An amount in minor units, with its unit in small print; a column gives its language along, looked up once."""
    if minor is None:
        return NOTHING
    return _JOIN((_AMOUNT[0], (tongue or speech()).amount(minor, scale), _AMOUNT[1], unit, _AMOUNT[2]))


def moment_writer(zone: ZoneInfo, tongue: Speech | None = None) -> Callable[[dt.datetime | None], Markup]:
    """The `when(moment)` of the templates: business time to read, UTC in the markup; `tongue` as in `amount`."""

    def when(moment: dt.datetime | None) -> Markup:
        if moment is None:
            return NOTHING
        exact = moment.astimezone(dt.UTC).isoformat(timespec="seconds")
        return _JOIN((_TIME[0], exact, _TIME[1], (tongue or speech()).moment(moment.astimezone(zone)), _TIME[2]))

    return when


def initials(name: str) -> str:
    """Up to two letters that stand for a person."""
    words = [word for word in re.split(r"[\s._-]+", name) if word]
    return "".join(word[0] for word in (words[:1] + words[-1:] if len(words) > 1 else words)).upper()
