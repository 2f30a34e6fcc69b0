"""The benchmark's playbook renders the project's templates with all their variables, and makes the same folders."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.nativetypes import NativeEnvironment

from tasks.registry.desired import GATEWAY_CONFIG, REGISTRY_CONFIG, Desired, Secrets, desire
from tasks.registry.storage import Record
from tasks.remote.files import File, Folder
from tasks.run.context import ROOT
from tasks.settings.load import Settings

PLAYBOOK = ROOT / "benchmarks/ansible"


@pytest.fixture(scope="module")
def desired() -> Desired:
    secrets = Secrets(certificate_pem="", key_pem="", htpasswd="", http_secret="s")
    images, record = {"registry": "r", "gateway": "g"}, Record("/var/lib/homelab-registry", "0" * 32)
    return desire(Settings(registry_web=False), secrets, images, str(ROOT / "templates"), record)


@pytest.fixture(scope="module")
def variables() -> dict[str, Any]:
    """The playbook's variables, with the values that they refer to."""
    found: dict[str, Any] = load("group_vars/all.yml") | {"registry_address": "192.0.2.10"}
    given: dict[str, Any] = load("roles/registry/vars/main.yml") | {"http_secret": "s"}
    return found | {key: resolve(value, found) for key, value in given.items()}


def load(path: str) -> Any:
    return yaml.safe_load((PLAYBOOK / path).read_text())


def resolve(value: Any, variables: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        return {key: resolve(each, variables) for key, each in value.items()}
    if not isinstance(value, str):
        return value
    native = NativeEnvironment(undefined=StrictUndefined)
    native.filters["b64encode"] = lambda text: b64encode(text.encode()).decode()
    return native.from_string(value).render(variables)


@pytest.mark.parametrize(
    ("template", "name"), [("gateway.conf.j2", GATEWAY_CONFIG), ("registry.yml.j2", REGISTRY_CONFIG)]
)
def test_the_playbook_writes_the_same_configuration(
    desired: Desired, variables: dict[str, Any], template: str, name: str
) -> None:
    (content,) = (
        file.content for file in desired.files if isinstance(file, File) and file.path.endswith(f"/{name}")
    )
    # As in Ansible, an included template loses its last newline.
    ansible = Environment(loader=FileSystemLoader(ROOT / "templates"), undefined=StrictUndefined)  # noqa: S701
    assert ansible.get_template(template).render(variables) + "\n" == content


def test_the_playbook_makes_the_same_folders(desired: Desired, variables: dict[str, Any]) -> None:
    (task,) = (task for task in load("roles/registry/tasks/main.yml") if "loop" in task)
    made = {resolve(path, variables) for path in task["loop"]}
    wanted = {file.path for file in desired.files if isinstance(file, Folder) and file.mode == "0700"}
    assert made == wanted
