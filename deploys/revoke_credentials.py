"""Revoke all former passwords now, even if somebody still uses them.

With `--data registry_rotate_account=NAME`, only that account's.
"""

from pathlib import Path

from pyinfra import local
from pyinfra.api.exceptions import PyinfraError

if not Path("deploy.py").is_file():
    raise PyinfraError(f"run it from the project's folder: cd {Path(__file__).resolve().parents[1]}")

from tasks.run.context import current

current().requests.add("revoke passwords")
local.include("deploy.py")
