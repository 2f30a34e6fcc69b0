"""How scripts call Docker: the host's own engine, whatever root's client is configured to do.

A `config.json` of root's may put a proxy into containers, add headers, choose another engine or ask a helper that
hangs; variables may pin another version of the API, another platform, or ask for signatures
(docker/cli, docs/reference/commandline/docker.md).
"""

from __future__ import annotations

SOCKET = "unix:///var/run/docker.sock"
NO_CONFIG = "/nonexistent"
"""A folder that never exists (Debian policy 9.2.3): the client then has its defaults (docker/cli, cli/config.Load)."""

OWN_ENGINE = f"""
unset DOCKER_API_VERSION DOCKER_CERT_PATH DOCKER_CONTENT_TRUST DOCKER_CONTENT_TRUST_SERVER DOCKER_CONTEXT \\
    DOCKER_CUSTOM_HEADERS DOCKER_DEFAULT_PLATFORM DOCKER_TLS DOCKER_TLS_VERIFY
export DOCKER_HOST={SOCKET} DOCKER_CONFIG={NO_CONFIG}
"""
"""Shell lines that begin a script: each `docker` in it, also behind `timeout`, then talks to that engine alone."""
