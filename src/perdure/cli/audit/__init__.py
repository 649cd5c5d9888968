"""Commands of the auditor: the log and its checkpoints, search, proofs, bundles, feeds, erasure."""

__all__: list[str] = []
