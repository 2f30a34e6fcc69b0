"""Docker Engine and nothing else: what the bench itself runs on."""

from tasks import docker_engine, machines

if machines.look():
    docker_engine.install()
