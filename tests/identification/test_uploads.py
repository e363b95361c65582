"""Hostile uploads (P42): what is refused, what is made harmless, and that nothing of the original is ever kept."""

import io
import struct
import zipfile
import zlib
from typing import Any

import pytest
from PIL import Image
from reportlab.lib.pdfencrypt import StandardEncryption

from payadmin.actions import identification
from payadmin.actions.identification import files
from payadmin.config import current_settings
from payadmin.kernel import papers, redrawing
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.papers import PaperType
from tests.identification.conftest import K, Office, pdf, picture, png_chunk, png_of

EVIL = b"<script>alert(document.cookie)</script>"


def archive() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr("run.js", EVIL)
    return out.getvalue()


def with_exif() -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "SECRET-CAMERA"
    exif[0x0112] = 6  # lies on its side
    return picture(exif=exif, comment=EVIL)


def scripted() -> bytes:
    """A PDF that would run a script, start a program and carry a file, if anything let it."""
    body = pdf(1)
    catalog = b"/Type /Catalog"
    evil = (
        b"/Type /Catalog /OpenAction << /S /JavaScript /JS (app.alert\\(1\\)) >> "
        b"/AA << /WC << /S /Launch /F (calc.exe) >> >> /Names << /EmbeddedFiles << /Names [(x) << >>] >> >>"
    )
    return body.replace(catalog, evil, 1)


def huge_pages() -> bytes:
    return pdf(1, pagesize=(200_000, 200_000))


def bomb_pdf() -> bytes:
    """Nine forms, each of which draws the next ten times: a thousand million pages' worth of work in a small file."""
    depth = 9
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R /Resources << /XObject << /F 5 0 R >> >> >>",
        b"<< /Length 5 >>\nstream\n/F Do\nendstream",
    ]
    for number in range(5, 5 + depth):
        draws = b"/F Do " * 10 if number < 4 + depth else b"0 0 m 500 500 l S " * 10
        inner = b"/Resources << /XObject << /F %d 0 R >> >>" % (number + 1) if number < 4 + depth else b""
        head = b"<< /Type /XObject /Subtype /Form /BBox [0 0 600 800] %s /Length %d >>" % (inner, len(draws))
        objects.append(head + b"\nstream\n" + draws + b"\nendstream")
    parts, places = [b"%PDF-1.4\n"], []
    for number, body in enumerate(objects, 1):
        places.append(sum(map(len, parts)))
        parts.append(b"%d 0 obj\n" % number + body + b"\nendobj\n")
    start = sum(map(len, parts))
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    parts.append(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + table)
    parts.append(b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start))
    return b"".join(parts)


def cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


def lying_png() -> bytes:
    """Says 200 by 200, and unpacks to a gigabyte."""
    return png_of(200, 200, zlib.compress(b"\0" * 300_000_000, 9))


# name of the case, what the sender calls it, the file, and what becomes of it: a part of the sentence, or None.
CASES: list[tuple[str, str, Any, str | None]] = [
    ("empty", "passport.pdf", lambda: b"", "is empty"),
    ("oversized", "passport.jpg", lambda: picture() + b"\0" * papers.MAX_BYTES, "too large: at most 5 MB"),
    ("a page named as a PDF", "passport.pdf", lambda: b"<!doctype html>" + EVIL, "not a PDF"),
    ("a drawing with a script", "passport.png", lambda: b"<svg onload='x()'>" + EVIL, "not a PDF"),
    ("an archive", "passport.pdf", archive, "archive"),
    ("another picture format", "passport.jpg", lambda: picture(kind="GIF", mode="P"), "not a PDF"),
    ("a picture with an archive behind it", "passport.jpg", lambda: picture() + archive(), "hidden behind"),
    ("a picture with a page behind it", "passport.png", lambda: picture(kind="PNG") + EVIL, "hidden behind"),
    ("a PDF with a program behind it", "passport.pdf", lambda: pdf() + b"MZ\x90" + EVIL, "hidden behind"),
    ("a PDF behind something else", "passport.pdf", lambda: b"GIF89a" + pdf(), "not a PDF"),
    ("a picture of 41 megapixels", "passport.png", lambda: png_of(8_200, 5_000), "40 megapixels"),
    ("a picture of four gigapixels", "passport.png", lambda: png_of(65_535, 65_535), "40 megapixels"),
    ("a picture that unpacks to much more than it says", "passport.png", lying_png, None),
    ("a PDF that takes for ever", "passport.pdf", bomb_pdf, "more time or memory"),
    ("a PDF with 21 pages", "passport.pdf", lambda: pdf(21), "too many pages"),
    ("an encrypted PDF", "passport.pdf", lambda: pdf(encrypt=StandardEncryption("", "owner")), "password or encrypted"),
    ("a PDF cut off", "passport.pdf", lambda: cut(pdf(6)), "damaged or cut off"),
    ("a picture cut off", "passport.jpg", lambda: cut(picture(size=(900, 900))), "damaged or cut off"),
    ("a PDF with scripts, programs and files in it", "passport.pdf", scripted, None),
    ("a picture with notes in it", "../../../etc/passwd\x00.jpg", with_exif, None),
    ("a turned name with two endings", "pass\u202egpj.exe.png", lambda: picture(kind="PNG"), None),
]  # fmt: skip


@pytest.mark.once
@pytest.mark.parametrize(("case", "name", "build", "sentence"), CASES, ids=[case[0] for case in CASES])
def test_a_hostile_upload_is_refused_or_made_harmless(
    office: Office, monkeypatch: pytest.MonkeyPatch, case: str, name: str, build: Any, sentence: str | None
) -> None:
    officer, customer_id = office.officer(), office.customer()
    monkeypatch.setattr(redrawing, "PATIENCE_SECONDS", 8)
    data = build()
    sent = [identification.Sent(K.PASSPORT, name, data, "files")]
    if sentence is not None:
        with pytest.raises(Invalid) as refused:
            identification.receive(officer, customer_id, sent, current_settings())
        assert sentence in refused.value.sentence
        assert refused.value.field == "files"
        assert (office.kept(), office.documents(customer_id)) == ([], [])
        return
    identification.receive(officer, customer_id, sent, current_settings())
    [document] = office.documents(customer_id)
    assert document.file is not None
    # Its name is ours and says nothing, wherever the sender wanted it to lie.
    path = files.path_of(current_settings(), document.file)
    assert path.is_file()
    assert path.name == document.file
    assert len(document.file) == 32
    assert path.resolve().is_relative_to(current_settings().files_folder.resolve() / "documents")
    assert path.stat().st_mode & 0o077 == 0
    kept = path.read_bytes()
    page = identification.page_of(current_settings(), document.file, 1)
    for trace in (b"script", b"SECRET", b"JavaScript", b"Launch", b"EmbeddedFile", b"JFIF", b"%PDF"):
        assert trace not in kept, "the disk holds only what is sealed"
    for trace in (b"script", b"SECRET", b"JavaScript", b"Launch", b"EmbeddedFile", b"Exif", b"%PDF"):
        assert trace not in page
    with Image.open(io.BytesIO(page)) as drawn:
        assert (drawn.format, drawn.getexif()) == ("JPEG", Image.Exif())
    assert not set(document.file_name) & set("/\\\x00\u202e")
    assert document.sha256 == papers.check(data).sha256


@pytest.mark.once
def test_there_are_21_cases() -> None:
    assert len(CASES) == 21


@pytest.mark.once
def test_what_telephones_write_behind_their_photos_is_dropped_and_their_turn_is_kept() -> None:
    for rest in (picture("gain map"), b"\0" * 64, b"SEFHe\0\0\0\x01\0SEFT"):
        data = picture() + rest
        [page] = redrawing.redraw(data, papers.check(data).type)
        assert len(page) < len(data) + 20_000
        papers.check(page)
    turned = with_exif()
    [page] = redrawing.redraw(turned, papers.check(turned).type)
    assert Image.open(io.BytesIO(page)).size == (300, 400)


@pytest.mark.once
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK"])
def test_every_kind_of_picture_becomes_plain_red_green_and_blue(mode: str) -> None:
    data = picture(kind="JPEG" if mode == "CMYK" else "PNG", mode=mode)
    [page] = redrawing.redraw(data, papers.check(data).type)
    with Image.open(io.BytesIO(page)) as drawn:
        assert (drawn.mode, drawn.size) == ("RGB", (400, 300))


@pytest.mark.once
def test_a_large_photo_is_made_smaller_and_a_huge_sheet_too() -> None:
    data = picture(kind="PNG", size=(6_000, 5_000))
    [page] = redrawing.redraw(data, papers.check(data).type)
    assert max(Image.open(io.BytesIO(page)).size) == 2_400
    [page] = redrawing.redraw(huge_pages(), PaperType.PDF)
    assert max(Image.open(io.BytesIO(page)).size) <= 2_401


@pytest.mark.once
@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"\xff\xd8\xff\xd9", papers.BROKEN),
        (b"\xff\xd8\xff\xe0\x00\x01", papers.BROKEN),
        (b"\xff\xd8" + b"\xff" * 100, papers.BROKEN),
        (b"\x89PNG\r\n\x1a\n", papers.BROKEN),
        (b"\x89PNG\r\n\x1a\n" + png_chunk(b"IEND", b""), papers.BROKEN),
        (b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 2**31 - 1) + b"IHDR", papers.BROKEN),
        (picture(kind="PNG")[:-5] + b"12345", papers.BROKEN),
        (png_of(99, 400), papers.TOO_SMALL),
        (b"%PDF-9.9\n%%EOF", papers.BROKEN),
        (b"%PDF-1.4\n", papers.BROKEN),
        (b"\0\0\0\x18ftypheic" + b"\0" * 99, papers.HEIC),
        (b"\xd0\xcf\x11\xe0" + b"\0" * 99, papers.OFFICE),
    ],
)
def test_damaged_frames_are_named(data: bytes, sentence: str) -> None:
    with pytest.raises(Invalid) as refused:
        papers.check(data)
    assert refused.value.sentence == sentence


@pytest.mark.once
def test_the_child_is_ended_when_it_takes_too_long() -> None:
    with pytest.raises(Invalid, match="more time or memory"):
        redrawing.redraw(pdf(20), PaperType.PDF, patience=0.01)


@pytest.mark.once
def test_a_sealed_page_opens_only_in_its_own_place(office: Office) -> None:
    told = current_settings()
    one, two = (
        files.seal_pages(told, [picture("a"), picture("b")]),
        files.seal_pages(told, [picture("c"), picture("d")]),
    )
    assert identification.page_of(told, one, 2) == picture("b")
    assert files.path_of(told, one).read_bytes() != files.path_of(told, two).read_bytes()
    files.path_of(told, two).write_bytes(files.path_of(told, one).read_bytes())
    for number in (1, 2):
        with pytest.raises(Conflict, match="cannot be opened"):
            identification.page_of(told, two, number)
    path = files.path_of(told, one)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(Conflict, match="cannot be opened"):
        identification.page_of(told, one, 2)
    for damaged in (b"", b"payadmin drawings 1\n", b"payadmin drawings 1\n\0\x05abc"):
        path.write_bytes(damaged)
        with pytest.raises(Conflict, match="cannot be opened"):
            identification.page_of(told, one, 1)
    path.unlink()
    with pytest.raises(Conflict, match="not where it should be"):
        identification.page_of(told, one, 1)
