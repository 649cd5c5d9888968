"""Commands about identity: the agents' keys, revocation, users' accounts and the vault."""

__all__: list[str] = []
