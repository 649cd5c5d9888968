"""The boundary that every call crosses, and what it does to the world.

`stages` are what a call passes, by its `terms`; `effects` and `attempts` make it, `doubt` settles what nobody knows;
`diagnosis`, with its `symptoms`, says what an error means, `retry` whether to try again; `spending` keeps the accounts.
"""

__all__: list[str] = []  # modules of this room are imported whole
