"""The books: a chart, pure recipes, one writer, and the checks that prove them. See docs/ledger.md."""
