"""The room of the auditor: who did it, for whom, who let it, whether it worked; and whether the past is what it was."""

from .pages import AUDIT

__all__ = ["AUDIT"]
