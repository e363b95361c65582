"""The WSGI entry that gunicorn and `flask` load: settings from the environment, pages from payadmin."""

from payadmin import create_app_from_env

app = create_app_from_env()
