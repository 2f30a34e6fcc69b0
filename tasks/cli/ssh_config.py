"""What `~/.ssh/config` says about a host, as pyinfra reads it, and what pyinfra cannot do of that."""

from __future__ import annotations

import re

from pyinfra.api.host import Host
from pyinfra.connectors.sshuserclient.client import get_ssh_config


def address(host: Host) -> str:
    """Return the name or address that pyinfra connects to, before `~/.ssh/config` is asked."""
    return str(host.data.get("ssh_hostname") or host.name)


class HostConfig:
    """The values for one host. There are none if the file cannot be parsed: that is what the connection failed with."""

    def __init__(self, host: Host) -> None:
        self.file = str(host.data.get("ssh_config_file") or "~/.ssh/config")
        self._name, self._own_file = address(host), host.data.get("ssh_config_file")

    def get(self, key: str, name: str = "") -> str | None:
        """Return the value of a keyword (lower case) for the host, or for another name."""
        try:
            config = get_ssh_config(self._own_file)
            return config.lookup(name or self._name).get(key) if config else None
        except (
            Exception
        ):  # paramiko raises errors of several kinds, and needs a package that is not there for `Match exec`
            return None

    @property
    def via(self) -> str:
        """What it goes through to the host, or nothing."""
        jump = self.get("proxyjump")
        return f"ProxyJump {jump}" if jump else "ProxyCommand" if self.get("proxycommand") else ""

    def jump_problem(self) -> tuple[str, str] | None:
        """Return problem and remedy if the ProxyJump is none that pyinfra can follow.

        For a jump host it looks for a ProxyJump as well, and then connects to it without (`SSHClient.parse_config`).
        """
        jump = self.get("proxyjump") or ""
        if jump.lower() == "none":
            return (
                f"pyinfra takes ProxyJump none in {self.file} for a host",
                "leave it out there, and use Host * !NAME",
            )
        first = re.sub(r"^.*@|:\d+$", "", jump.partition(",")[0])
        if not first or (own := self.get("proxyjump", first)) is None:
            return None
        if own == jump:
            return (
                f"ProxyJump {jump} in {self.file} is for {first} itself as well, which never ends",
                f"leave that host out there (Host * !{first})",
            )
        return (
            f"it is reached through {first}, which has a ProxyJump of its own in {self.file}, and pyinfra does not "
            "follow that",
            f"name all jumps at this host (ProxyJump {own},{jump})",
        )
