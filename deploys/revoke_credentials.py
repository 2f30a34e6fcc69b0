"""Refuse former passwords from now on, whoever still uses them.

With `--data registry_rotate_account=NAME` that of one account.
"""

from pyinfra import local

from tasks.run.context import current

current().requests.add("revoke passwords")
local.include("deploy.py")
