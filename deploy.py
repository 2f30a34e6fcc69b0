"""The order of the work. Run it with `make deploy`, or `.venv/bin/pyinfra -y INVENTORY deploy.py`."""

from tasks import cluster_control, cluster_nodes, docker_engine, docker_hosts, machines, registry, rotations

if machines.look():
    docker_engine.install()
    registry.serve()
    docker_hosts.trust()
    cluster_nodes.trust()
    cluster_control.serve()
    rotations.finish()
