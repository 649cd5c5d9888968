"""Commands about the store as a whole: migrations, checks, copies."""

__all__: list[str] = []
