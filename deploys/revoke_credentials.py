"""Revoke all former passwords now, even if somebody still uses them.

With `--data registry_rotate_account=NAME`, only that account's.
"""

from pyinfra import local

from tasks.run.context import current

current().requests.add("revoke passwords")
local.include("deploy.py")
