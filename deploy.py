"""The order of the work. Run it with `make deploy`, or `.venv/bin/pyinfra -y INVENTORY deploy.py`."""

from pathlib import Path

from pyinfra import host
from pyinfra.api.exceptions import PyinfraError

if not Path("deploy.py").is_file():
    raise PyinfraError(f"run it from the project's folder: cd {Path(__file__).resolve().parent}")

from tasks import docker_engine
from tasks.backup import deploy as backup
from tasks.clients import deploy as clients
from tasks.cluster_control import deploy as cluster_control
from tasks.cluster_nodes import deploy as cluster_nodes
from tasks.docker_hosts import deploy as docker_hosts
from tasks.metrics import deploy as metrics
from tasks.registry import deploy as registry
from tasks.room import deploy as room
from tasks.rotations import deploy as rotations
from tasks.run.inspect import inspect_host

if inspect_host(host):
    docker_engine.install()
    registry.serve()
    docker_hosts.trust()
    cluster_nodes.trust()
    cluster_control.serve()
    clients.ask()
    rotations.finish()
    clients.prove_address()
    backup.save_by_timer()
    room.make()
    metrics.tell()
