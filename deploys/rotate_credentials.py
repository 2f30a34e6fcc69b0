"""Give every account a new generated password, or with `--data registry_rotate_account=NAME` one of them.

The old password is good beside the new one until every user and pull secret has the new one.
"""

from pyinfra import local

from tasks.run.context import current

current().requests.add("new passwords")
local.include("deploy.py")
