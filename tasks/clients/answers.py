"""What a runtime's answer says about the registry."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from tasks.clients.questions import CANNOT_ASK, DOES_NOT_RUN, IMAGE, SECONDS

Meaning = Literal["trusts", "distrusts", "unreached", "unclear", "not asked"]

TIMED_OUT = 124
"""The exit code of timeout(1)."""

DISTRUSTS = re.compile(
    r"x509|SSL certificate problem|no alternative certificate|verify error|certificate verify failed"
    r"|HTTP response to HTTPS client",
    re.IGNORECASE,
)
PROXY = re.compile(
    r"proxyconnect|Proxy Authentication Required"
    r"|(?:^|: )(?:Forbidden|Bad Gateway|Gateway Time-?out|Service Unavailable|Method Not Allowed)\"?$",
    re.MULTILINE,
)
"""A proxy is away or refuses. Of its refusal Go keeps the status alone (net/http, `persistConn`)."""

UNREACHED = re.compile(
    r"no such host|could not resolve|name or service not known|name resolution|server misbehaving"
    r"|connection refused|connection reset|no route to host|network is unreachable|i/o timeout|timed? ?out"
    rf"|deadline exceeded|Client\.Timeout|failed to connect|connect:errno|{PROXY.pattern}",
    re.IGNORECASE | re.MULTILINE,
)
SILENT = re.compile(r"dial unix|Cannot connect to the Docker daemon|docker API at unix", re.IGNORECASE)
"""The runtime itself does not answer."""

TRUSTS = re.compile(
    r"no basic auth credentials|\bunauthorized\b|authentication required|manifest unknown"
    rf"|{re.escape(IMAGE)}: not found",
    re.IGNORECASE,
)
"""What the runtimes say to a 401, or to a 404 if they have a login of their own."""


@dataclass(frozen=True)
class Verdict:
    """What an answer means; `words` are the program's own, in one line."""

    meaning: Meaning
    words: str = ""


def read(how: str, code: int, output: str) -> Verdict:
    """Return what the answer of a function of `questions` means, from its exit code and its output."""
    if code in {CANNOT_ASK, DOES_NOT_RUN} or SILENT.search(output):
        return Verdict("not asked")
    if how in {"ask_tls", "ask_mirror"} and code == 0:
        return Verdict("trusts")
    if how == "ask_proxied":
        return Verdict("unreached", "its answer, not the caches'")
    if code == TIMED_OUT:
        return Verdict("unreached", f"no answer within {SECONDS} s")
    signs: tuple[tuple[Meaning, re.Pattern[str]], ...] = (
        ("distrusts", DISTRUSTS), ("unreached", UNREACHED), ("trusts", TRUSTS),
    )  # fmt: skip
    if how == "ask_mirror":  # a cache asks for no login; a server that does is another one
        signs = signs[:2]
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for meaning, sign in signs:
        if found := [line for line in lines if sign.search(line)]:
            return Verdict(meaning, _reason(found[-1]))
    return Verdict("unclear", _reason(lines[-1]) if lines else f"exit code {code}, and no word")


def _reason(line: str) -> str:
    r"""Return the end of a chain of errors, after the last `"URL": ` or `\"URL\": `."""
    tail = re.split(r"\\?\": ", line)[-1].removesuffix('"')
    return tail.removeprefix("Error response from daemon: ").removeprefix("Error: ")[-240:]


def remedy(words: str, *, host: str, endpoint: str, address: str, registry_host: str, managed: bool) -> str:
    """Return what to do about a verdict, by its words.

    `host` is the bare name in `endpoint`, `address` the registry's; `managed` says that `/etc/hosts` is ours to write.
    """
    if "not yet valid" in words or "expired" in words:
        return "set the clocks (timedatectl set-ntp true) and run again"
    if "IP SANs" in words or "is valid for" in words or DISTRUSTS.search(words):
        return (
            f"another certificate is served to it than {registry_host} serves, or it reads another file: see "
            f"openssl s_client -connect {host}:{port_of(endpoint)} -servername {host} there, and run again"
        )
    if PROXY.search(words):
        return f"add {host} to NO_PROXY where HTTPS_PROXY is set for it, restart it, and run again"
    if re.search("no such host|resol|not known|misbehaving", words, re.IGNORECASE):
        if not managed:
            entry = f"give {host} the address {address} in your name server"
            return f"{entry}, or set registry_manage_hosts_file to True, and run again"
        return f"see why it does not read /etc/hosts there (getent hosts {host}; /etc/nsswitch.conf), and run again"
    return (
        f"see whether a firewall on {registry_host} or on the way keeps port {port_of(endpoint)} of {address} from it "
        "(iptables -nvL DOCKER-USER; iptables -nvL FORWARD), and run again"
    )


def port_of(endpoint: str) -> str:
    """Return the port in an endpoint."""
    found = re.search(r":([0-9]+)$", endpoint)
    return found[1] if found and (endpoint.count(":") == 1 or "]" in endpoint) else "443"
