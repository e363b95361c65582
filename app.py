"""The WSGI entry that gunicorn and `flask` load: settings from the environment, pages from payadmin."""

import os

from payadmin import create_app
from payadmin.config import Settings

app = create_app(Settings.from_env(os.environ))
