from tests.places import PostgresServer

__all__ = ["PostgresServer"]
