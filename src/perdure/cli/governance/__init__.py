"""Commands about what is allowed: policies and their trials, budgets and costs, breakers."""

__all__: list[str] = []
