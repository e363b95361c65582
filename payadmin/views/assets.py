"""Static files without a build step: one version for all, CSS imports inlined, text sent packed.

`payadmin.css` names its parts with `@import` and JavaScript modules name each other with relative paths, so the folder
works as it is behind any file server. Served from here, the parts of a style sheet travel as one file and every inner
address carries the version, so that browsers may keep everything for a year.
"""

import gzip
import hashlib
import mimetypes
import re
from dataclasses import dataclass
from pathlib import Path

from flask import Flask, Response, current_app, request, send_from_directory
from werkzeug.exceptions import NotFound
from werkzeug.security import safe_join

FOREVER = "public, max-age=31536000, immutable"
PACKED_SUFFIXES = frozenset({".css", ".js", ".json", ".svg", ".txt"})
PACKED_TYPES = frozenset(
    {"text/html", "text/css", "text/javascript", "text/plain", "image/svg+xml", "application/json"}
)
SMALLEST_PACKED = 1024

_CSS_IMPORT = re.compile(r'@import url\("([^"]+)"\) layer\(([a-z-]+)\);')
_CSS_ADDRESS = re.compile(r'url\("(\.\./[^"?]+)"\)')
_JS_IMPORT = re.compile(r'((?:from|import)\s*\(?\s*"\.{1,2}/[^"?]+\.js)"')


@dataclass(frozen=True)
class Packed:
    """One text file, ready to send."""

    content_type: str
    gzipped: bytes


class Assets:
    """The static folder: its version, its addresses and its packed files."""

    def __init__(self, folder: Path, address: str, *, keep: bool) -> None:
        self.folder = folder
        self._address = address
        self._keep = keep
        self._packed: dict[str, Packed] = {}
        self.version = self._fingerprint()

    def url(self, path: str) -> str:
        """The address of a file with the version of the whole folder, so that it may be kept for a year."""
        return f"{self._address}/{path}?v={self.version}"

    def packed(self, path: str) -> Packed:
        """The text file at `path` as it is sent; built at the first request and kept."""
        if path in self._packed:
            return self._packed[path]
        inside = safe_join(str(self.folder), path)
        if inside is None or not Path(inside).is_file():
            raise NotFound
        text = self._built(Path(inside))
        content_type = mimetypes.guess_type(path)[0] or "text/plain"
        packed = Packed(f"{content_type}; charset=utf-8", gzip.compress(text.encode(), mtime=0))
        if self._keep:
            self._packed[path] = packed
        return packed

    def _built(self, file: Path) -> str:
        text = file.read_text(encoding="utf-8")
        if "vendor" in file.parts:
            return text
        if file.suffix == ".css":
            inlined = _CSS_IMPORT.sub(lambda found: self._layer(file.parent / found[1], found[2]), text)
            return _CSS_ADDRESS.sub(rf'url("\1?v={self.version}")', inlined)
        if file.suffix == ".js":
            return _JS_IMPORT.sub(rf'\1?v={self.version}"', text)
        return text

    @staticmethod
    def _layer(part: Path, layer: str) -> str:
        return f"@layer {layer} {{\n{part.read_text(encoding='utf-8')}}}\n"

    def _fingerprint(self) -> str:
        digest = hashlib.sha256()
        for file in sorted(self.folder.rglob("*")):
            if file.is_file():
                digest.update(str(file.relative_to(self.folder)).encode())
                digest.update(file.read_bytes())
        return digest.hexdigest()[:10]


def init_assets(app: Flask) -> Assets:
    """Serve the static folder of `app` through `Assets`, and pack every larger text answer."""
    if app.static_folder is None or app.static_url_path is None:
        msg = "payadmin needs its static folder"
        raise RuntimeError(msg)
    assets = Assets(Path(app.static_folder), app.static_url_path, keep=not app.debug)
    app.extensions["payadmin.assets"] = assets
    app.view_functions["static"] = _serve
    app.after_request(_pack)
    return assets


def _serve(filename: str) -> Response:
    assets: Assets = current_app.extensions["payadmin.assets"]
    if Path(filename).suffix in PACKED_SUFFIXES:
        response = _text_response(assets.packed(filename))
    else:
        response = send_from_directory(assets.folder, filename)
    # A page of an older release asks with an older version: it gets the file, but must not keep it under that address.
    current = request.args.get("v") == assets.version and not current_app.debug
    response.headers["Cache-Control"] = FOREVER if current else "no-cache"
    return response


def _text_response(packed: Packed) -> Response:
    if _takes_gzip():
        response = Response(packed.gzipped, content_type=packed.content_type, headers={"Content-Encoding": "gzip"})
    else:
        response = Response(gzip.decompress(packed.gzipped), content_type=packed.content_type)
    response.vary.add("Accept-Encoding")
    response.add_etag()
    response.make_conditional(request)
    return response


def _pack(response: Response) -> Response:
    """Pack what is text, complete and worth it; a stream keeps flowing as it is."""
    if response.mimetype not in PACKED_TYPES or response.is_streamed or response.direct_passthrough:
        return response
    response.vary.add("Accept-Encoding")
    if "Content-Encoding" in response.headers or not _takes_gzip():
        return response
    plain = response.get_data()
    if len(plain) >= SMALLEST_PACKED:
        response.set_data(gzip.compress(plain, compresslevel=5))
        response.headers["Content-Encoding"] = "gzip"
    return response


def _takes_gzip() -> bool:
    return request.accept_encodings.quality("gzip") > 0
