"""Clear the pull-through caches: one image, or everything. They go on serving, and nothing is asked of the internet."""

from pathlib import Path

from pyinfra import host
from pyinfra.api.exceptions import PyinfraError

if not Path("deploy.py").is_file():
    raise PyinfraError(f"run it from the project's folder: cd {Path(__file__).resolve().parents[1]}")

from tasks.caches import deploy as caches
from tasks.run.inspect import inspect_host

if "registry" in host.groups and inspect_host(host):
    caches.clear()
