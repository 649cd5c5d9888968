"""Commands that drive runs: workers, their supervisor, `dev`, schedules."""

__all__: list[str] = []
