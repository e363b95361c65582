"""Batches in the browser: the upload with its templates, the page of one batch, its confirmation, and the report."""

from payadmin.views.batches import pages  # noqa: F401 - marks its page
from payadmin.views.batches.upload import init_batch_transaction

__all__ = ["init_batch_transaction"]
