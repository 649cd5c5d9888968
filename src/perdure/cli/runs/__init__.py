"""Commands about runs: start, look, steer, fork, export, prune; what was handed to people."""

__all__: list[str] = []
