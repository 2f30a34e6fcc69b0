"""Why a host cannot be connected to, where the user's own files say so, and the command that tries it."""

from __future__ import annotations

import errno
import getpass
import os
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path

import paramiko
from paramiko.ssh_exception import NoValidConnectionsError
from pyinfra.api.exceptions import ConnectError, PyinfraError
from pyinfra.api.host import Host
from pyinfra.connectors.ssh import SSHConnector

from tasks.cli.ssh_config import HostConfig, address
from tasks.remote.ssh_command import ssh, try_login
from tasks.run.context import Run
from tasks.settings.places import host_place, joined_names, key_place
from tasks.settings.redact import printable

PRIVATE_KEY = b"PRIVATE KEY-----"
DEFAULT_PORT = 22
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
MAX_LENGTH = 200
"""How much of another program's words a problem quotes."""


def note_failure(run: Run, host: Host, error: ConnectError) -> None:
    """Report a host that pyinfra failed to connect to."""
    run.report.problem(host.name, *explain(run.inventory, host, error))


def explain(inventory: str, host: Host, error: BaseException) -> tuple[str, str]:
    """Return why a host of an inventory (its path) cannot be reached, and what to do."""
    if not isinstance(host.connector, SSHConnector):
        return (
            f"cannot be reached: {_words(error)}",
            f"correct {host_place(inventory, host.name)} and run again",
        )
    failure = _Failure(inventory, host, error)
    problem, remedy = failure.explain()
    return f"cannot be reached: {problem}", f"{remedy}, and try: {try_login(host.name, host.data.dict())}"


class _Failure:
    """An SSH connection that failed, and what can be found out about it without connecting again."""

    def __init__(self, inventory: str, host: Host, error: BaseException) -> None:
        self.inventory, self.host = inventory, host
        self.causes = list(_causes(error))
        self.config = HostConfig(host)
        self.port = host.data.get("ssh_port") or int(self.config.get("port") or DEFAULT_PORT)
        self.where = f"{self.config.get('hostname') or address(host)} port {self.port}"
        self.here = host_place(inventory, host.name)

    def explain(self) -> tuple[str, str]:
        """Return problem and remedy; the first cause that is known, or else what was raised."""
        for cause in self.causes:
            if found := self._explain(cause):
                return found
        return _words(next(iter(self.causes[1:]), self.causes[0])), f"correct {self.here}"

    def _explain(self, cause: BaseException) -> tuple[str, str] | None:
        match cause:
            case paramiko.BadHostKeyException():
                return self._changed_host_key(cause)
            case paramiko.AuthenticationException():
                return self._refused_login(cause)
            case _ if found := self.config.jump_problem():
                return found
            case socket.gaierror():
                return self._name(cause)
            case paramiko.SSHException():
                return self._no_ssh(cause)
            case OSError() | EOFError():
                return self._no_connection(cause)
            case PyinfraError():
                return self._key()
        return None

    def _place(self, *keys: str) -> str:
        """Return where the first of these keys is set that is, or else where the host is written."""
        for key in keys:
            if key in self.host.inventory.get_override_data():
                return f"{key} on the command line"
            if self.host.data.get(key) is not None:
                return f"{key} ({key_place(self.inventory, self.host.name, self.host.groups, key)})"
        return self.here

    def _name(self, error: socket.gaierror) -> tuple[str, str]:
        name = address(self.host)
        if parts := joined_names(self.inventory, name):
            written = " ".join(f'"{part}"' for part in parts)
            return f"a comma is missing: {written} is one name", f"put a comma between them ({self.here})"
        problem = f"the name {printable(name)} is not resolved ({error.strerror})"
        if via := self.config.via:
            return f"{via}: that name is not resolved ({error.strerror})", f"correct {self.config.file}"
        if "ssh_hostname" in self.host.data.dict():
            return problem, f"correct {self._place('ssh_hostname')}"
        return (
            problem,
            f'correct it, or give its address: ("{printable(name)}", {{"ssh_hostname": "ADDRESS"}}) ({self.here})',
        )

    def _no_connection(self, error: Exception) -> tuple[str, str] | None:
        where = self.where
        if isinstance(error, NoValidConnectionsError):
            (host, port, *_), error = next(iter(error.errors.items()))
            if via := self.config.via:
                where = f"{host} port {port} ({via} in {self.config.file})"
        match error:
            case EOFError() if self.host.data.get("ssh_strict_host_key_checking") == "ask":
                return self._unknown_host_key("there is no terminal to ask on")
            case ConnectionResetError() | BrokenPipeError() | EOFError():
                return self._no_ssh_server()
            case ConnectionRefusedError():
                here = ' (this machine, without SSH, is "@local")' if self.host.name in LOOPBACK else ""
                return (
                    f"nothing accepts connections at {where}",
                    f"start its SSH server, or correct {self._place('ssh_port', 'ssh_hostname')}{here}",
                )
            case TimeoutError() | OSError(errno=errno.EHOSTUNREACH | errno.ENETUNREACH | errno.EHOSTDOWN):
                why = "timed out" if isinstance(error, TimeoutError) else error.strerror
                return (
                    f"no answer from {where} ({why})",
                    "switch it on, let its firewall accept SSH, or correct "
                    f"{self._place('ssh_hostname', 'ssh_port')}",
                )
            case OSError(filename=str(file)):
                return f"{file}: {error.strerror}", f"make or correct that file (or {self.here})"
        return None

    def _no_ssh(self, error: paramiko.SSHException) -> tuple[str, str] | None:
        text = str(error)
        if "known_hosts" in text:
            return self._unknown_host_key(f"{self._place('ssh_strict_host_key_checking')} accepts no other")
        if "authentication methods" in text:
            return self._no_keys()
        if isinstance(error, paramiko.ChannelException):
            return f"{self.config.via} reaches nothing at {self.where} ({error.text})", f"correct {self.here}"
        if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
            return (
                f"the SSH server at {self.where} is too old: {_words(error)}",
                f"update it, or correct {self._place('ssh_port')}",
            )
        silent = "No existing session" in text and not getattr(self._transport, "remote_version", "")
        return self._no_ssh_server() if silent or "SSH protocol banner" in text else None

    def _no_ssh_server(self) -> tuple[str, str]:
        remedy = f"correct {self._place('ssh_port', 'ssh_hostname')}"
        if said := getattr(self._transport, "banner_lines", []):
            line = printable(said[0].strip())[:MAX_LENGTH]
            return f"what answers at {self.where} is no SSH server: {line}", remedy
        return (
            f"what answers at {self.where} is no SSH server, or ends each connection at once",
            f"see its log there (journalctl -u ssh), or {remedy}",
        )

    @property
    def _transport(self) -> object:
        return getattr(getattr(self.host.connector, "client", None), "_transport", None)

    def _unknown_host_key(self, why: str) -> tuple[str, str]:
        return (
            f"its SSH host key is in no known_hosts file, and {why}",
            "log in once by hand to accept it",
        )

    def _changed_host_key(self, error: paramiko.BadHostKeyException) -> tuple[str, str]:
        file = os.path.expanduser(str(self.host.data.get("ssh_known_hosts_file") or "~/.ssh/known_hosts"))
        entry = error.hostname if self.port == DEFAULT_PORT else f"[{error.hostname}]:{self.port}"
        return (
            f"its SSH host key is not the one in {file}: it was installed again, or another host has its address",
            "if it was installed again, forget the old key "
            f"(ssh-keygen -f {shlex.quote(file)} -R {shlex.quote(entry)})",
        )

    def _refused_login(self, error: paramiko.AuthenticationException) -> tuple[str, str]:
        if isinstance(error, paramiko.PasswordRequiredException):
            return "the SSH keys in ~/.ssh have a passphrase, and no ssh-agent has them", "run ssh-add"
        user = self.host.data.get("ssh_user") or self.config.get("user") or getpass.getuser()
        key = self.host.data.get("ssh_key")
        password = self.host.data.get("ssh_password")
        used = f"the key {key}" if key else "the password" if password else "the keys of ssh-agent and ~/.ssh"
        allowed = getattr(error, "allowed_types", [])
        if allowed and "publickey" not in allowed and not password:
            used += f" (it takes only {', '.join(allowed)})"
        copied = ssh(self.host.name, self.host.data.dict() | ({"ssh_key": f"{key}.pub"} if key else {}))
        return (
            f"the login as {user} with {used} was refused by {self.where}",
            f"correct {self._place('ssh_user', 'ssh_key')}, or let that key in "
            f"(ssh-copy-id{copied.removeprefix('ssh')})",
        )

    def _no_keys(self) -> tuple[str, str]:
        return (
            "there is no SSH key to log in with: no ssh-agent answers (SSH_AUTH_SOCK), no key is in ~/.ssh, and the "
            "inventory has no ssh_key",
            f'name one, as in ("{self.host.name}", {{"ssh_key": "~/.ssh/id_ed25519"}}) ({self.here})',
        )

    def _key(self) -> tuple[str, str] | None:
        """Return what is wrong with the host's own `ssh_key`, which pyinfra reads before it connects."""
        if not (key := self.host.data.get("ssh_key")):
            return None
        place, path = self._place("ssh_key"), Path(key).expanduser()
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return f"its SSH key {key} does not exist", f"correct {place}"
        except OSError as error:
            return f"its SSH key {key} cannot be read: {error.strerror}", f"correct {place}"
        if PRIVATE_KEY not in text:
            return (
                f"{key} is no private SSH key",
                f"correct {place}: the private key is the file without .pub",
            )
        if any("passphrase" in str(each) for each in self.causes):
            return (
                f"its SSH key {key} has a passphrase, and there is no terminal to ask for it on",
                f"give it to the agent (ssh-add {shlex.quote(str(key))}) and leave out {place}",
            )
        if any("private key file" in str(each) for each in self.causes):
            return (
                f"its SSH key {key} could not be read: wrong passphrase, or of an old kind (DSA)",
                f"correct {place}",
            )
        return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, and what it was raised from or for."""
    cause: BaseException | None = error
    while cause:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _words(error: BaseException) -> str:
    """Return an error in one line that a terminal can be sent."""
    text = printable(" ".join(str(error).split()))
    if not isinstance(error, (PyinfraError, paramiko.SSHException, OSError)):
        text = f"{type(error).__name__}: {text}"
    return text if len(text) < MAX_LENGTH else f"{text[:MAX_LENGTH]} ..."
