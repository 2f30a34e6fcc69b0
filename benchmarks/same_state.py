"""Check that deploy.py and the playbook produce the same state: after one, the other finds nothing to do.

The playbook is given passwords that deploy.py generates, since that recognizes its own by their form. Afterwards the
playbook's keys and certificates become the state of deploy.py.
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

# deploy.py recreates both containers, because it compares a digest in a label that only it writes.
EXPECTED_STEPS = [
    f"create the container {name}: it does not exist" for name in (containers.REGISTRY, containers.GATEWAY)
]


def write_passwords(hosts: Hosts) -> None:
    """Write generated passwords for the playbook, which would generate its own otherwise."""
    folder = hosts.secrets / "accounts"
    folder.mkdir(mode=0o700, parents=True)
    for name in Settings().registry_accounts:
        (folder / f"{name}.password").write_text(passwords.generate() + "\n")


def check_same_state(environment: Path, hosts: Hosts, count: int) -> None:
    """Run both tools on hosts that were reset; raise `RuntimeError` if the second finds more than expected to do."""
    write_passwords(hosts)
    playbook(environment, hosts, count)
    _import_playbook_state(hosts)
    hosts.fleet.hosts["registry"].run(f"docker rm -f {containers.REGISTRY} {containers.GATEWAY}")
    inventory = hosts.for_pyinfra(count)
    for arguments in (["--dry"], ["-y"]):
        if (found := deploy(inventory, *arguments).changes) != EXPECTED_STEPS:
            raise RuntimeError(f"after the playbook, deploy.py still changes: {'; '.join(found)}")
    if found := playbook(environment, hosts, count).changes:
        raise RuntimeError(f"after deploy.py, the playbook still changes: {'; '.join(found)}")


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
