"""Pages of redeem requests."""
