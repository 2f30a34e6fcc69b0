"""The verbs of make in messages: `make rotate-ca` becomes a line that can be pasted from the project's folder.

Messages name a verb, and never the file of `deploys/` that it runs. What shows a message to people adds the inventory,
which most of the code does not know.
"""

from __future__ import annotations

import re
import shlex

VERBS = (
    "deploy", "plan", "verify", "status", "timer", "timer-off", "password", "rotate-certificate", "rotate-passwords",
    "revoke-passwords", "rotate-ca", "retire-ca", "adopt", "backup", "restore", "make-room", "repair", "cache-clear",
    "workstation",
)  # fmt: skip
"""The goals of the Makefile that take an inventory."""

_GIVEN = r"(?:ACCOUNT|DATA|FROM|REPOSITORY|OLDER|DEEP|IMAGE)=[\w=@*,.:/-]*[\w*]"
_COMMAND = re.compile(rf"(?>\bmake (?:{'|'.join(VERBS)})(?![\w-])(?: {_GIVEN})*)(?! INVENTORY=)")


def with_inventory(message: str, inventory: str) -> str:
    """Return a message in which each verb of make that names no inventory names this one (its path)."""
    return _COMMAND.sub(lambda found: f"{found[0]} INVENTORY={shlex.quote(inventory)}", message)
