"""Generate a new password for every account, or for one with `--data registry_rotate_account=NAME`.

The old password is accepted beside the new one until every user and pull secret has the new one.
"""

from pathlib import Path

from pyinfra import local
from pyinfra.api.exceptions import PyinfraError

if not Path("deploy.py").is_file():
    raise PyinfraError(f"run it from the project's folder: cd {Path(__file__).resolve().parents[1]}")

from tasks.run.context import current

current().requests.add("new passwords")
local.include("deploy.py")
