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
from tasks.registry.desired import FOLDER, STORAGE_RECORD
from tasks.registry.storage import MARK
from tasks.settings.load import Settings
from tasks.state.store import Store


def expected_steps(state: Path) -> list[str]:
    """Return what only deploy.py does: it marks the images' folder, and compares a digest in the containers' labels."""
    folder = Settings().registry_storage_path
    names = (containers.REGISTRY, containers.GATEWAY)
    return [
        *(f"write {path}: it is missing" for path in (f"{folder}/{MARK}", f"{FOLDER}/{STORAGE_RECORD}")),
        *(f"create the container {name}: it does not exist" for name in names),
        f"note {folder} as the folder of the images: it is new to {state}",
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
        if (found := deploy(inventory, *arguments).changes) != expected_steps(hosts.state):
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
    store.write_record("registry", {}, None)
