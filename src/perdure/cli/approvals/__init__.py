"""Commands about approvals: the answers, and the keys and sign-ins that sign them."""

__all__: list[str] = []
