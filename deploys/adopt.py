"""Take over a registry host that the state does not know. Images are kept.

CA and passwords of a state are kept, so that the registry may move to another machine. If the state is lost, both are
made. See docs/by-task.md, "The registry on another machine" and "The state is lost".
"""

from pathlib import Path

from pyinfra import local
from pyinfra.api.exceptions import PyinfraError

if not Path("deploy.py").is_file():
    raise PyinfraError(f"run it from the project's folder: cd {Path(__file__).resolve().parents[1]}")

from tasks.run.context import current

current().requests.add("adopt")
local.include("deploy.py")
