"""Batches: upload, check, replace, process, discard."""

from payadmin.actions.batches.columns import COLUMNS, template
from payadmin.actions.batches.processing import (
    PROCESS_ACT,
    discard_batch,
    process_batch,
    process_subject,
    resume_batch,
)
from payadmin.actions.batches.reading import MAX_ROWS
from payadmin.actions.batches.uploads import upload_batch
from payadmin.actions.batches.validation import check_again

__all__ = [
    "COLUMNS",
    "MAX_ROWS",
    "PROCESS_ACT",
    "check_again",
    "discard_batch",
    "process_batch",
    "process_subject",
    "resume_batch",
    "template",
    "upload_batch",
]
