"""The pages of the bank: payment files, and the lines of its statements."""

from payadmin.views.banking import files, statements

__all__ = ["files", "statements"]
