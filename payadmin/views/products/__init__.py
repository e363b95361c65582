"""Products of service providers, and what was sold of them."""
