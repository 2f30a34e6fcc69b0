"""Docker Engine and nothing else: what the bench itself runs on."""

from pyinfra import host

from tasks import docker_engine
from tasks.run.inspect import inspect_host

if inspect_host(host):
    docker_engine.install()
