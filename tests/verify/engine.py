"""A host's Docker Engine, used as a person uses it, and left as it was."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from tests.verify.backend import Host, last_line
from tests.verify.deployment import Login

CERTS = "/etc/docker/certs.d"
UNTRUSTED = "certificate signed by unknown authority"
"""The engine's message for a certificate without a known CA."""

NO_LOGIN = ("unauthorized", "no basic auth credentials")
"""The engine's messages, by version, if the registry asks for a login."""


class Engine:
    """Docker on a host, with a folder of its own for logins; all that it makes is removed at the end."""

    title = "Docker"

    def __init__(self, host: Host) -> None:
        self.host = host
        self._folder = host.output("mktemp -d /tmp/homelab-verify-XXXXXXXX")
        self._images: set[str] = set()
        self._endpoints: set[str] = set()
        # With an entry in it, docker does not look for a credential helper to store the login.
        config = '{"auths": {"homelab-verify.invalid": {}}}'
        host.run_with_input(config, "umask 077; cat > %s", f"{self._folder}/config.json")

    def close(self) -> None:
        """Remove all that was made; `AssertionError` with one line if something is left."""
        for reference in self._images:
            self.host.run("docker image rm -f %s", reference)
        for name in self._endpoints:
            self.host.run("rm -f %s && rmdir %s", f"{CERTS}/{name}/ca.crt", f"{CERTS}/{name}")
        self.host.run("rm -rf -- %s", self._folder)
        left = [name for name in self._images if self.host.run("docker image inspect %s", name).rc == 0]
        folders = [self._folder, *(f"{CERTS}/{name}" for name in self._endpoints)]
        left += [path for path in folders if self.host.file(path).exists]
        assert not left, f"{self.host.name}: {', '.join(left)} could not be removed; remove it by hand"

    def login(self, endpoint: str, login: Login) -> Any:
        """Log in for all further commands; the password is on standard input."""
        arguments = ("login", "--username", login.name, "--password-stdin", endpoint)
        return self.host.run_with_input(login.password, *self._command(arguments))

    def docker(self, *arguments: str) -> Any:
        """Run a docker command."""
        return self.host.run(*self._command(arguments))

    def run_checked(self, remedy: str, *arguments: str) -> str:
        """Run a docker command and return what it prints; `AssertionError` with the remedy if it fails."""
        done = self.docker(*arguments)
        assert done.rc == 0, f"{self.host.name}: docker {arguments[0]} fails ({last_line(done)}); {remedy}"
        return str(done.stdout)

    def make_image(self, reference: str) -> None:
        """Make an image of one file of random bytes."""
        self._images.add(reference)
        self.host.output(
            "cd %s && head -c 64 /dev/urandom > verify && tar -c verify | docker import - %s",
            self._folder,
            reference,
        )

    def pull(self, reference: str) -> Any:
        """Pull an image."""
        self._images.add(reference)
        return self.docker("pull", reference)

    def pull_without_login(self, reference: str) -> Any:
        """Pull an image that everybody may read."""
        return self.pull(reference)

    def remove(self, reference: str) -> Any:
        """Remove the name of an image, and the image if that was its only one."""
        return self.docker("image", "rm", reference)

    def has(self, reference: str, _signs: Collection[str]) -> bool:
        """Return whether there is an image of that name; other names of the same image stay at its removal."""
        return bool(self.docker("image", "inspect", reference).rc == 0)

    def trust(self, name: str, ca_pem: str) -> None:
        """Give the engine a CA for a spelling of the name that nothing else uses."""
        self._endpoints.add(name)
        self.host.output("mkdir -p %s", f"{CERTS}/{name}")
        done = self.host.run_with_input(ca_pem, "cat > %s", f"{CERTS}/{name}/ca.crt")
        assert done.rc == 0, (
            f"{self.host.name}: {CERTS}/{name} cannot be written ({last_line(done)}); fix that and run again"
        )

    def _command(self, arguments: tuple[str, ...]) -> tuple[str, ...]:
        return (f"DOCKER_CONFIG=%s docker{' %s' * len(arguments)}", self._folder, *arguments)


def login_refused(done: Any) -> bool:
    """Return whether a command reached the registry and was refused for its login."""
    printed = f"{done.stdout}\n{done.stderr}".lower()
    return done.rc != 0 and any(sign in printed for sign in NO_LOGIN)
