"""Take over a registry host whose `state/` is lost, with a new CA and new passwords. Images are kept.

See docs/by-task.md, "The state is lost", before running it.
"""

from pathlib import Path

from pyinfra import local
from pyinfra.api.exceptions import PyinfraError

if not Path("deploy.py").is_file():
    raise PyinfraError(f"run it from the project's folder: cd {Path(__file__).resolve().parents[1]}")

from tasks.run.context import current

current().requests.add("adopt")
local.include("deploy.py")
