"""Identification: the customers with their documents, and the page on which customers send them."""

from payadmin.views.identification import pages
from payadmin.views.identification.sending import init_sending

__all__ = ["init_sending", "pages"]
