"""Generate a new password for every account, or for one with `--data registry_rotate_account=NAME`.

The old password is accepted beside the new one until every user and pull secret has the new one.
"""

from pyinfra import local

from tasks.run.context import current

current().requests.add("new passwords")
local.include("deploy.py")
