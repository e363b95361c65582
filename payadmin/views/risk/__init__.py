"""Pages of anti-fraud: applications, blocks, the summary of all transactions, and rules that watch payments."""

from payadmin.views.risk import applications, blocks, watch
from payadmin.views.risk.summary import init_summary

__all__ = ["applications", "blocks", "init_summary", "watch"]
