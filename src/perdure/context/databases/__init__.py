"""SQL databases as tools that read: which queries may be run, and what is kept of their answers."""

from .answer import Answer, Column, DatabaseResult, TableTold
from .prepared import checked, form_of, numbered, values_of
from .selects import Dialect, admitted

__all__ = [
    "Answer",
    "Column",
    "DatabaseResult",
    "Dialect",
    "TableTold",
    "admitted",
    "checked",
    "form_of",
    "numbered",
    "values_of",
]
