"""Approvals: what a human is shown, who may answer, and how an answer is bound to exactly that.

`consent` is the stage at the boundary, `enquiry` what a trail says of it, `shown` what is shown and its digest,
`answering` whether an answer counts, `approvers` whom to ask, `precedents` what was decided before,
`notices` who hears of it.
"""

__all__: list[str] = []  # modules of this room are imported whole
