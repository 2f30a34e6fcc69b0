"""Install only Docker Engine, for the bench itself."""

from pyinfra import host

from tasks import docker_engine
from tasks.run.inspect import inspect_host

if inspect_host(host):
    docker_engine.install()
