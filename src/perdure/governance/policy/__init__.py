"""What an agent may do, decided outside its prompt: Cedar policies over typed calls, with a human as the third answer.

Needs the extra `policy`.
"""

from .policies import Policies, Policy, PolicyFile, read_folder
from .provenance import TRUSTED, UNTRUSTED, Origin, Source, traced, untrusted, unvouched
from .schema import PolicySchema, ToolForm
from .verdict import Decision, PolicyCall, Verdict, judge

__all__ = [
    "TRUSTED",
    "UNTRUSTED",
    "Decision",
    "Origin",
    "Policies",
    "Policy",
    "PolicyCall",
    "PolicyFile",
    "PolicySchema",
    "Source",
    "ToolForm",
    "Verdict",
    "judge",
    "read_folder",
    "traced",
    "untrusted",
    "unvouched",
]
