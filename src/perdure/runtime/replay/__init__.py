"""Record or replay: what a segment reads of its journal, writes to it, and in which order its branches go on.

`recorder` reads and writes, `turns` keeps the order, `history` folds the journal, `scope` names the steps; `rehearsal`,
`fork` and `acceptance` are replays of another kind.
"""

__all__: list[str] = []  # modules of this room are imported whole
