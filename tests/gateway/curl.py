"""curl on the registry host: over both HTTP versions to the gateway, or directly to the registry behind it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from tests.bench.hosts import BenchHost
from tests.gateway.gateway import ACCOUNTS, NAME, SOCKET, Gateway


@dataclass(frozen=True)
class SavedAnswer:
    """An answer whose body was saved to a file; `size` and `sha256` are those of the file."""

    version: str
    status: int
    headers: dict[str, str]
    size: int
    sha256: str


@dataclass(frozen=True)
class Curl:
    """curl with the account of a role, over one version of HTTP (`1.1` or `2`)."""

    gateway: Gateway
    role: str
    version: str = "1.1"

    def start(self) -> str:
        """Return the beginning of a command; its configuration file has the login and the CA."""
        gateway, account = self.gateway, ACCOUNTS[self.role]
        path = write_config(gateway.host, account, gateway.password(self.role))
        return f"curl -K {path} --http{self.version}"

    def get(self, target: str, options: str = "", *, bare: bool = False) -> SavedAnswer:
        """Send one request, through the gateway or (`bare`) directly to the registry. `AssertionError` if nothing answers."""
        url = (
            f"--http1.1 --unix-socket {SOCKET} 'http://{NAME}{target}'"
            if bare
            else f"'https://{NAME}{target}'"
        )
        result = self.gateway.host.run(
            f"rm -f /tmp/got; {self.start()} -D /dev/stderr -o /tmp/got -w '%{{http_version}} %{{http_code}} ' "
            f"{options} {url} ; touch /tmp/got && stat -c %s /tmp/got && sha256sum < /tmp/got"
        )
        version, status, size, sha256 = result.stdout.split()[:4]
        return SavedAnswer(version, int(status), parse(result.stderr), int(size), sha256)


@cache
def write_config(host: BenchHost, account: str, password: str) -> str:
    """Install curl on the host, and return the path of a configuration with this login that trusts only our CA."""
    path = f"/root/curl-{account}"
    ca = f"/etc/docker/certs.d/{NAME}/ca.crt"
    host.run("command -v curl || { apt-get update -q && apt-get install -q -y curl; }")
    host.write(path, f'silent\nshow-error\nuser = "{account}:{password}"\ncacert = "{ca}"\n', "0600")
    return path


def parse(text: str) -> dict[str, str]:
    """Return the headers of the last answer in the output of `curl -D`, with names in lower case."""
    last = text.replace("\r", "").strip().split("\n\n")[-1]
    pairs = (line.partition(":") for line in last.split("\n")[1:] if ":" in line)
    return {name.lower(): value.strip() for name, _, value in pairs}
