"""How to tell what kind of failure an error is, by library.

Types are known by their names and their attributes: no library is imported to look at an error of another. A reader
answers for what it knows, and the first that does decides; more special ones come first.
"""

from __future__ import annotations

from .databases import read_database
from .finding import Finding, Inside, Reader, Seen, type_names
from .http import read_status
from .mail import read_mail
from .models import read_model
from .system import read_own, read_retrier, read_system
from .transport import read_transport

__all__ = ["READERS", "Finding", "Inside", "Reader", "Seen", "type_names"]

READERS: tuple[Reader, ...] = (
    read_own,
    read_retrier,
    read_model,
    read_mail,  # before `read_status`: an SMTP code is no HTTP status
    read_database,
    read_status,
    read_transport,
    read_system,
)
"""All readers, in the order in which they are asked."""
