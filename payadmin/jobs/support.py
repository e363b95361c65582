"""Files of tickets: swept when no row names them."""

from typing import TYPE_CHECKING

from payadmin.actions import support
from payadmin.actions.support.store import FOLDER
from payadmin.jobs.sweeping import sweep_folder
from payadmin.work import SYSTEM

if TYPE_CHECKING:
    from payadmin.config import Settings


def sweep_ticket_files(settings: "Settings") -> int:
    """Delete files that no row names, left behind by whoever died between the file and its row; how many."""
    return sweep_folder(settings.files_folder / FOLDER, lambda files: support.files_in_use(SYSTEM, files))
