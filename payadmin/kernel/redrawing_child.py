"""Draws one file anew, as a program of its own: `python -I redrawing_child.py PDF < file > pages`.

It trusts nothing that it reads: it limits its own time and memory first, writes no file, opens no address, and knows no
secret. Its answer is one line with a word, and after `done` each page as a JPEG behind its length. It imports nothing
of payadmin, so that it starts quickly and has nothing to lose.
"""

import io
import sys
import warnings
from collections.abc import Iterator
from typing import Any

LONG_SIDE = 2_400  # A4 at 200 dots an inch: small print can be read
QUALITY = 85
MEMORY_BYTES = 800 * 2**20  # 40 megapixels with transparency need 600
CPU_SECONDS = 20
DOTS_PER_POINT = 200 / 72
MOST_DRAWN_BYTES = 40 * 2**20  # of all pages: what answers the request holds them; scans have half a megabyte a page


class Refused(Exception):
    """A word that says why."""


def main() -> int:
    """Answer for the file on standard input."""
    kind, most_pixels, most_pages = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    _limit()
    data = sys.stdin.buffer.read()
    warnings.simplefilter("ignore")
    out = sys.stdout.buffer
    try:
        drawn = list(_few(_pdf(data, most_pages) if kind == "PDF" else _picture(data, kind, most_pixels)))
    except Refused as refused:
        out.write(f"{refused}\n".encode())
    except MemoryError:
        out.write(b"toomuch\n")
    except Exception:  # noqa: BLE001 - whatever a decoder says about a stranger's file
        out.write(b"broken\n")
    else:
        out.write(b"done\n")
        for page in drawn:
            out.write(len(page).to_bytes(4, "big") + page)
    out.flush()
    return 0


def _limit() -> None:
    try:
        import resource  # noqa: PLC0415 - not on every system; there the parent's patience is the only limit
    except ImportError:
        return
    for what, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (allowed, allowed))


def _few(pages: Iterator[bytes]) -> Iterator[bytes]:
    """The pages, as long as they are not too much together: one picture of noise on every page is a small file."""
    total = 0
    for page in pages:
        total += len(page)
        if total > MOST_DRAWN_BYTES:
            raise Refused("toomuch")
        yield page


def _picture(data: bytes, kind: str, most_pixels: int) -> Iterator[bytes]:
    from PIL import Image, ImageOps  # noqa: PLC0415 - within the limits

    with Image.open(io.BytesIO(data), formats=(kind,)) as image:
        if image.width * image.height > most_pixels:
            raise Refused("pixels")
        image.draft("RGB", (LONG_SIDE, LONG_SIDE))
        image.load()
        yield _jpeg(ImageOps.exif_transpose(image))


def _pdf(data: bytes, most_pages: int) -> Iterator[bytes]:
    import pypdfium2  # noqa: PLC0415 - within the limits

    try:
        found = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        raise Refused("encrypted" if "password" in str(error).lower() else "broken") from error
    if pypdfium2.raw.FPDF_GetSecurityHandlerRevision(found) != -1:
        raise Refused("encrypted")
    if not len(found):
        raise Refused("broken")
    if len(found) > most_pages:
        raise Refused("pages")
    found.init_forms()  # so that what was filled in is seen; scripts are not compiled in
    for page in found:
        width, height = page.get_size()
        if not (0 < width < 1e6 and 0 < height < 1e6):  # noqa: PLR2004 - points; no sheet is a kilometre long
            raise Refused("broken")
        scale = min(DOTS_PER_POINT, LONG_SIDE / max(width, height))
        if min(width, height) * scale < 1:
            raise Refused("broken")
        bitmap = page.render(scale=scale, may_draw_forms=True)
        yield _jpeg(bitmap.to_pil())
        bitmap.close()
        page.close()


def _jpeg(image: Any) -> bytes:
    """Only the pixels: no comment, no place where it was taken, no colour profile, nothing behind the end."""
    from PIL import Image  # noqa: PLC0415

    if image.mode.startswith("I"):  # 16 bits of grey
        image = image.point(lambda value: value / 256).convert("L")
    elif image.mode == "P" or (image.mode in {"L", "RGB"} and "transparency" in image.info):
        image = image.convert("RGBA")
    image.thumbnail((LONG_SIDE, LONG_SIDE), reducing_gap=2.0)
    if image.mode in {"RGBA", "LA", "PA", "RGBa", "La"}:
        seen = image.convert("RGBA")
        image = Image.new("RGB", seen.size, "white")
        image.paste(seen, mask=seen.getchannel("A"))
    elif image.mode != "RGB":
        image = image.convert("RGB")
    bare = Image.frombytes("RGB", image.size, image.tobytes())
    out = io.BytesIO()
    bare.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()


if __name__ == "__main__":
    sys.exit(main())
