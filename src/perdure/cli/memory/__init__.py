"""Commands about what agents remember beyond one run."""

__all__: list[str] = []
