"""The page of one's own passkeys: by them an approver signs."""

from .pages import PASSKEYS, passkeys_of

__all__ = ["PASSKEYS", "passkeys_of"]
