"""The providers' own clients, as they are: each request to a model is a turn."""

__all__: list[str] = []
