"""Watermarks: who looks at a document, and when, across every page of it, so that a copy tells where it came from."""

import io
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from payadmin.kernel.pdf import FONTS, REGULAR

ANGLE: Final = 30
QUALITY: Final = 85
INK: Final = (180, 35, 24)
STRENGTH: Final = 90  # of 255: read easily, and the document beneath it too
_LETTERS_ACROSS: Final = 60


def marked(page: bytes, words: str) -> bytes:
    """A page as a JPEG with `words` across it."""
    return _jpeg(_marked(page, words))


def as_file(pages: Sequence[bytes], words: str) -> tuple[bytes, str]:
    """All pages with `words` across them as one file, and its media type: a JPEG for one page, else a PDF."""
    drawn = [_marked(page, words) for page in pages]
    if len(drawn) == 1:
        return _jpeg(drawn[0]), "image/jpeg"
    out = io.BytesIO()
    drawn[0].save(out, "PDF", save_all=True, append_images=drawn[1:], resolution=200)
    return out.getvalue(), "application/pdf"


def _marked(page: bytes, words: str) -> Image.Image:
    # Our own drawing, unsealed with our own key: there is nothing to fear from decoding it here.
    with Image.open(io.BytesIO(page), formats=("JPEG",)) as opened:
        image = opened.convert("RGB")
    stamp = _stamp(words, max(12, max(image.size) // _LETTERS_ACROSS))
    across, down = stamp.width + stamp.width // 6, stamp.height
    for row, top in enumerate(range(-down // 2, image.height, down)):
        for left in range(-across // 2 * (row % 2), image.width, across):
            image.paste(INK, (left, top), stamp)
    return image


@lru_cache(maxsize=32)
def _stamp(words: str, size: int) -> Image.Image:
    font = ImageFont.truetype(FONTS / f"{REGULAR}.ttf", size)
    left, top, right, bottom = font.getbbox(words)
    flat = Image.new("L", (int(right - left) + size, int(bottom - top) + size))
    ImageDraw.Draw(flat).text((size // 2 - left, size // 2 - top), words, font=font, fill=STRENGTH)
    return flat.rotate(ANGLE, resample=Image.Resampling.BICUBIC, expand=True)


def _jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()
