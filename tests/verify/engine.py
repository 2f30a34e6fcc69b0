"""A host's Docker Engine, used as a person uses it, and left as it was."""

from __future__ import annotations

from typing import Any

from tests.verify.backend import Host, last_line
from tests.verify.deployment import Login

CERTS = "/etc/docker/certs.d"
UNTRUSTED = "certificate signed by unknown authority"
"""What the engine says where it knows no CA for a certificate."""

NO_LOGIN = ("unauthorized", "no basic auth credentials")
"""What it says, in one version or another, where the registry wants to know who asks."""


class Engine:
    """Docker on a host, with a folder of its own for logins and images that are all removed at the end."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._folder = host.output("mktemp -d /tmp/homelab-verify-XXXXXXXX")
        self._images: set[str] = set()
        self._endpoints: set[str] = set()
        # With an entry in it, docker does not look for a key ring of the user's to keep the login in.
        config = '{"auths": {"homelab-verify.invalid": {}}}'
        host.run_with_input(config, "umask 077; cat > %s", f"{self._folder}/config.json")

    def close(self) -> None:
        """Remove all that was made; one line where something stays."""
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
        """Log in, as every other command of this engine is then; the password goes in on standard input."""
        arguments = ("login", "--username", login.name, "--password-stdin", endpoint)
        return self.host.run_with_input(login.password, *self._command(arguments))

    def docker(self, *arguments: str) -> Any:
        """Run a docker command."""
        return self.host.run(*self._command(arguments))

    def works(self, remedy: str, *arguments: str) -> str:
        """Run a docker command that has to work, and return what it prints."""
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

    def trust(self, name: str, ca_pem: str) -> None:
        """Give the engine a CA for a spelling that nothing else uses."""
        self._endpoints.add(name)
        self.host.output("mkdir -p %s", f"{CERTS}/{name}")
        done = self.host.run_with_input(ca_pem, "cat > %s", f"{CERTS}/{name}/ca.crt")
        assert done.rc == 0, (
            f"{self.host.name}: {CERTS}/{name} cannot be written ({last_line(done)}); mend that"
        )

    def _command(self, arguments: tuple[str, ...]) -> tuple[str, ...]:
        return (f"DOCKER_CONFIG=%s docker{' %s' * len(arguments)}", self._folder, *arguments)


def wants_login(done: Any) -> bool:
    """Tell whether a command got as far as the registry and was refused for want of a right login."""
    said = f"{done.stdout}\n{done.stderr}".lower()
    return done.rc != 0 and any(sign in said for sign in NO_LOGIN)
