"""A journal told as a story: the steps with their durations, what the boundary said, what it cost, how it ended."""

from .axis import Axis, worked
from .fold import story_of, tell
from .governed import governed
from .lines import QUIET, Line, Lines, escalation_text, mismatch_text, outcome_text
from .parts import Doubt, Happening, Question, Shift, Short, Step, Story
from .reading import as_list, as_object, body, changed_parts, error_name, fields, kind_name

__all__ = [
    "Axis",
    "Line",
    "Lines",
    "QUIET",
    "escalation_text",
    "mismatch_text",
    "outcome_text",
    "Doubt",
    "Happening",
    "Question",
    "Shift",
    "Short",
    "Step",
    "Story",
    "as_list",
    "as_object",
    "body",
    "changed_parts",
    "error_name",
    "fields",
    "governed",
    "kind_name",
    "story_of",
    "tell",
    "worked",
]
