"""Use cases: what can be done. The only code that writes, each verb a function behind a permission."""
