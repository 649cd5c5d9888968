"""Databases: the implementations of the ports that the journal declares, one folder or file a backend."""

__all__: list[str] = []
