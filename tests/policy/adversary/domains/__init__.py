"""Five desks: what each agent has at hand, what it is asked for, and what it may do.

The policies were written, and committed, before there was any attack, and were not changed after.
"""

from .bank import BANK
from .chat import CHAT
from .code_host import HOST
from .desk import Domain, Step, Task, ToolSpec
from .mail import MAIL
from .travel import TRAVEL

__all__ = ["DOMAINS", "Domain", "Step", "Task", "ToolSpec"]

DOMAINS = (MAIL, BANK, TRAVEL, CHAT, HOST)
