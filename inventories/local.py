"""This machine alone: the registry, and a Docker host that trusts it."""

registry = ["@local"]
docker_hosts = ["@local"]
