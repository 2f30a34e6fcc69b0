"""Make room in the registry: delete the tags that `registry_retention` lets go and that nothing uses."""

from pathlib import Path

from pyinfra import local
from pyinfra.api.exceptions import PyinfraError

if not Path("deploy.py").is_file():
    raise PyinfraError(f"run it from the project's folder: cd {Path(__file__).resolve().parents[1]}")

from tasks.run.context import current

current().requests.add("make room")
local.include("deploy.py")
