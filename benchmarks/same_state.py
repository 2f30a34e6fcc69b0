"""deploy.py and the playbook make the same: each finds nothing to do where the other has been.

Both begin with the same passwords, since deploy.py knows its own by their form. Then the playbook's keys and
certificates become the state of deploy.py.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.hosts import Hosts
from benchmarks.runs import deploy, playbook
from tasks.accounts import passwords
from tasks.certificates.ca import read_key_pair
from tasks.registry import containers
from tasks.settings.load import Settings
from tasks.state.store import Store

# deploy.py compares a digest in a label on each container, which no other tool writes.
EXPECTED_STEPS = [
    f"create the container {name}: it does not exist" for name in (containers.REGISTRY, containers.GATEWAY)
]


def write_passwords(hosts: Hosts) -> None:
    """Make the passwords that the playbook takes; it would make others where there are none."""
    folder = hosts.secrets / "accounts"
    folder.mkdir(mode=0o700, parents=True)
    for name in Settings().registry_accounts:
        (folder / f"{name}.password").write_text(passwords.generate() + "\n")


def check_same_state(tools: Path, hosts: Hosts, count: int) -> None:
    """Leave hosts, bare before, as both tools want them; `RuntimeError` where one is not content with the other."""
    write_passwords(hosts)
    playbook(tools, hosts, count)
    _import_playbook_state(hosts)
    hosts.fleet.hosts["registry"].run(f"docker rm -f {containers.REGISTRY} {containers.GATEWAY}")
    inventory = hosts.for_pyinfra(count)
    for arguments in (["--dry"], ["-y"]):
        if (found := deploy(inventory, *arguments).changes) != EXPECTED_STEPS:
            raise RuntimeError(f"after the playbook deploy.py has to do: {'; '.join(found)}")
    if found := playbook(tools, hosts, count).changes:
        raise RuntimeError(f"after deploy.py the playbook has to do: {'; '.join(found)}")


def _import_playbook_state(hosts: Hosts) -> None:
    store, secrets = Store(hosts.state), hosts.secrets
    authority = read_key_pair((secrets / "ca.crt").read_text(), (secrets / "ca.key").read_text())
    store.authorities.write(authority)
    store.write_ca_bundle(authority.certificate_pem)
    store.write_leaf(read_key_pair((secrets / "leaf.crt").read_text(), (secrets / "leaf.key").read_text()))
    for name in Settings().registry_accounts:
        store.write_password(name, (secrets / "accounts" / f"{name}.password").read_text().strip())
    htpasswd = hosts.fleet.hosts["registry"].read("/etc/homelab-registry/registry/htpasswd")
    hashes = passwords.read_htpasswd(htpasswd)
    store.write_hashes({name: hashes[name] for name in Settings().registry_accounts})
    store.write_http_secret((secrets / "http.secret").read_text().strip())
    store.write_record("registry", {})
