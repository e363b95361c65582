"""Reads that are more than a list: one function, one question, one statement."""
