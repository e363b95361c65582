"""An installed wheel serves pages from any working directory, without a checkout beside it."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]

SERVE = """
import sys
from pathlib import Path
import payadmin
from payadmin import create_app
from payadmin.config import Settings
from payadmin.migrations import upgrade
here = Path.cwd()
assert Path(payadmin.__file__).is_relative_to(sys.argv[1]), payadmin.__file__
url = f"sqlite:///{here / 'wheel.db'}"
upgrade(url)
app = create_app(Settings(database_url=url, secret_key="x" * 40, totp_keys=(b"k" * 32,), secure_cookies=False))
client = app.test_client()
page = client.get("/login")
assert page.status_code == 200, page.status_code
import re
assets = re.findall(r'(?:href|src)="(/static/[^"]+)"', page.get_data(as_text=True))
assert assets
assert {client.get(asset).status_code for asset in assets} == {200}
assert len(app.extensions["payadmin.help"]) > 20
import payadmin.sample.source as source
assert any(Path(source.__file__).parent.glob("*.csv.gz"))
"""


def test_the_wheel_serves_pages_from_any_folder(tmp_path: Path) -> None:
    built = subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "-q",
            "--no-deps",
            "--no-build-isolation",
            "-w",
            str(tmp_path),
            str(ROOT),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    [wheel] = tmp_path.glob("*.whl")
    place = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(place)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    served = subprocess.run(
        [sys.executable, "-c", SERVE, str(place)],
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": str(place)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert served.returncode == 0, served.stderr
