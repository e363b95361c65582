"""Rows, relations, constraints, states and questions: what is true. Importing this package maps every model."""
