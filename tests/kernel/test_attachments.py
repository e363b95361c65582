"""What may be attached: all of a file is looked into, whatever its beginning and its end say."""

import struct
import zlib

import pytest

from payadmin.kernel.attachments import MOST_BYTES, check_attachment
from payadmin.kernel.errors import Invalid
from tests.support.test_tickets import chunk, png

FAR = b"% nothing\n" * 20_000  # the middle is far from both ends
ZIP_END = b"PK\x05\x06" + b"\x00" * 18
SCRIPT = b"<< /S /JavaScript /JS (app.alert\\(1\\)) >>"


def pdf(*objects: bytes) -> bytes:
    """A PDF in outline, with objects in its middle."""
    parts = [b"%d 0 obj\n%s\nendobj\n" % (number, each) for number, each in enumerate(objects, 1)]
    return b"%PDF-1.7\n" + FAR + b"".join(parts) + FAR + b"trailer << /Root 1 0 R >>\nstartxref\n9\n%%EOF\n"


def stream(content: bytes, words: bytes = b"", *, packed: bool = True) -> bytes:
    body = zlib.compress(content) if packed else content
    return b"<< /Length %d /Filter /FlateDecode %s >>\nstream\n%s\nendstream" % (len(body), words, body)


def objects(content: bytes) -> bytes:
    return stream(b"7 0 " + content, b"/Type /ObjStm /N 1 /First 4")


def jpeg(inside: bytes = b"", behind: bytes = b"") -> bytes:
    comment = b"\xff\xfe" + struct.pack(">H", len(inside) + 2) + inside
    frame = b"\xff\xc0\x00\x0b\x08\x00\x01\x00\x01\x01\x01\x11\x00"
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + b"\x12" * 50_000
    return b"\xff\xd8" + comment + frame + scan + b"\xff\xd9" + behind


GOOD = {
    "plain": (pdf(b"<< /Type /Catalog /OpenAction [1 0 R /Fit] >>", stream(b"BT (Hello) Tj ET")), ".pdf"),
    "objects in a stream": (pdf(objects(b"<< /Type /Catalog /Lang (en#2F) >>")), ".pdf"),
    "a name that only begins so": (pdf(b"<< /LaunchDate (x) /JavaScripts 1 >>"), ".pdf"),
    "a picture in a PDF": (pdf(stream(b"\xff\xd8\xff\xe0 not packed", packed=False)), ".pdf"),
    "a picture": (png(), ".png"),
    "a photo of a telephone": (jpeg(b"notes", b"\x00\x00Image_UTC_DataSEFT"), ".jpg"),
    "a page as text": (b"<html><script>alert(1)</script></html>", ".txt"),
}
BAD = {
    "a script in the middle": pdf(SCRIPT),
    "a script in escapes": pdf(b"<< /S /Java#53cript /JS (x) >>"),
    "a script in a stream of objects": pdf(objects(SCRIPT)),
    "a script at the edge of a piece": pdf(objects(b" " * (2**20 - 12) + SCRIPT)),
    "a script in a stream that does not say what it is": pdf(stream(b"7 0 " + SCRIPT)),
    "objects packed twice": pdf(stream(zlib.compress(b"7 0 " + SCRIPT), b"/Type /ObjStm")),
    "objects packed in another way": pdf(stream(b"372030>", b"/Type /Obj#53tm", packed=False)),
    "a program to launch": pdf(b"<< /A << /S /Launch /F (cmd.exe) >> >>"),
    "a file in it": pdf(stream(b"MZ", b"/Type /EmbeddedFile")),
    "a form that sends": pdf(b"<< /S /SubmitForm /F (https://example.com) >>"),
    "encrypted": pdf(b"<< /Encrypt 2 0 R >>"),
    "unpacks to far too much": pdf(*[stream(b"\x00" * 70_000_000)] * 2),
    "something behind the end": pdf(b"<< >>") + b"PK\x03\x04 archive",
    "an archive in the middle": pdf(stream(ZIP_END, packed=False)),
    "a page in a picture": png(chunk(b"tEXt", b"Comment\0<ScRiPt>alert(1)</script>")),
    "an archive behind a picture": png() + ZIP_END,
    "an archive in a picture": png(chunk(b"prVt", ZIP_END)),
    "a damaged picture": png().replace(b"IDAT", b"IDAT\x01"),
    "a PDF in a photo": jpeg(b"%PDF-1.4 1 0 obj"),
    "an archive behind a photo": jpeg(b"", ZIP_END + b"SEFT"),
    "half a photo": jpeg()[:10] + b"\xff\xd9",
}


@pytest.mark.parametrize("case", GOOD)
def test_what_holds_only_what_it_shows_is_taken(case: str) -> None:
    content, ending = GOOD[case]
    assert check_attachment("a.bin", content).name == f"a{ending}"


@pytest.mark.parametrize("case", BAD)
def test_what_is_hidden_anywhere_in_a_file_is_found(case: str) -> None:
    assert len(BAD[case]) < MOST_BYTES
    with pytest.raises(Invalid) as refused:
        check_attachment("a.bin", BAD[case])
    assert refused.value.field == "files"
