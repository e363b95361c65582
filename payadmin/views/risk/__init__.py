"""Pages of anti-fraud: applications, blocks, the summary of all transactions, and rules that watch payments."""

from payadmin.views.risk import applications, blocks

__all__ = ["applications", "blocks"]
