"""Retire the old CA of a rollover now: remove it from every host, then delete its key."""

from pathlib import Path

from pyinfra import local
from pyinfra.api.exceptions import PyinfraError

if not Path("deploy.py").is_file():
    raise PyinfraError(f"run it from the project's folder: cd {Path(__file__).resolve().parents[1]}")

from tasks.run.context import current

current().requests.add("retire CA")
local.include("deploy.py")
