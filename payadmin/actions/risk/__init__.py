"""Risk: blocks, set and lifted; and rules that watch payments, tried before they are switched on (S3:142-155)."""

from payadmin.actions.risk.blocks import block, end_block, lift_block

__all__ = ["block", "end_block", "lift_block"]
