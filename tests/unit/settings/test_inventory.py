"""Inventory files that pyinfra cannot use, or not as their user meant them: a line for each, with the place."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.forks import ROOT

GOOD = 'registry = ["@fake/nas"]\n'


@dataclass(frozen=True)
class Bad:
    """An inventory (`files["lab.py"]` unless `path` is another) and all lines about it; {0} is its folder."""

    name: str
    content: str | bytes
    lines: tuple[str, ...]
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    path: str = "lab.py"


AS_DATA = 'write ("builder", {{"ssh_hostname": "192.0.2.11"}})'
A_HOST = "a host is a name, or a name and its data"
AN_INVENTORY = 'an inventory is Python here: registry = ["nas"], as in inventories/homelab.py'
SETTINGS = "settings are Python here: registry_port = 5443, and texts in quotes"
IN_QUOTES = 'a word without quotes (NameError); write texts and hosts in quotes, as in "nas"'
THAT_LINE = "correct that line, or the one before it"

BAD = [
    # Not the inventory.
    Bad("a folder", GOOD, ("{0} is a folder; give an inventory file in it ({0}/lab.py)",), path=""),
    Bad("a misspelled file", GOOD, ("{0}/lob.py is not an inventory file; did you mean {0}/lab.py?",), path="lob.py"),
    Bad("no file", GOOD, ("{0}/x is not an inventory file; give one, for example inventories/local.py",), path="x"),
    Bad("YAML", "registry:\n  - nas\n", (
        "{0}/lab.yml: an inventory is a Python file here, not .yml; begin with cp inventories/homelab.py {0}/lab.py",
    ), path="lab.yml"),
    Bad("group data", "", ("{0}/group_data/lab.py has settings; the inventory is {0}/lab.py",), path="group_data/lab.py"),
    Bad("the deployment", "", (
        "{0}/deploy.py is what to run, and no inventory; give the inventory first: pyinfra -y INVENTORY {0}/deploy.py",
    ), path="deploy.py"),
    # Not Python.
    Bad("YAML in a Python file", "registry:\n  - nas\n", (
        "{0}/lab.py line 1 is YAML, and an inventory is Python here: registry = [\"nas\"], as in inventories/homelab.py",
    )),
    Bad("a bracket", 'registry = [\n    "nas",\n', (f"{{0}}/lab.py line 1: '[' was never closed (SyntaxError); {THAT_LINE}",)),
    Bad("a quote", 'registry = ["nas]\n', (
        f"{{0}}/lab.py line 1: unterminated string literal (detected at line 1) (SyntaxError); {THAT_LINE}",
    )),
    Bad("typographic quotes", "registry = [“nas”]\n", (
        '{0}/lab.py line 1: “ (U+201C) is no quote to Python; write " instead, at both ends of a text',
    )),
    Bad("a blank of a web page", "registry\u00a0= []\n", (
        "{0}/lab.py line 1 has a blank that is none to Python (U+00A0); write a plain one",
    )),
    Bad("an address without quotes", "registry = [192.0.2.10]\n", (
        '{0}/lab.py line 1: an address needs quotes; write "192.0.2.10"',
    )),
    Bad("INI", "# Ansible's\n[registry]\n192.0.2.10 ansible_user=pi\n", (f"{{0}}/lab.py line 2 is INI, and {AN_INVENTORY}",)),
    Bad("INI that is Python", "[registry]\nnas\n", (f"{{0}}/lab.py line 1 is INI, and {AN_INVENTORY}",)),
    Bad("YAML that is Python", f'{GOOD}docker_hosts: ["pi"]\n', (f"{{0}}/lab.py line 2 is YAML, and {AN_INVENTORY}",)),
    Bad("a NUL byte", f"{GOOD}\0", ("{0}/lab.py line 2 has a NUL byte; save the file as plain text in UTF-8",)),
    Bad("a comma between a host and a name", 'registry = [("nas", {}) "pi"]\n', (
        f"{{0}}/lab.py line 1: invalid syntax. Perhaps you forgot a comma? (SyntaxError); {THAT_LINE}",
    )),
    Bad("an indented line", f"{GOOD}  docker_hosts = []\n", (
        f"{{0}}/lab.py line 2: unexpected indent (IndentationError); {THAT_LINE}",
    )),
    Bad("tabs and blanks", "if True:\n        a = 1\n\tb = 2\n", (
        f"{{0}}/lab.py line 3: inconsistent use of tabs and spaces in indentation (TabError); {THAT_LINE}",
    )),
    Bad("Latin-1", f"# für\n{GOOD}".encode("latin-1"), (
        "{0}/lab.py line 1 has a character that is not UTF-8; save the file as UTF-8, or write plain letters",
    )),
    Bad("UTF-16", GOOD.encode("utf-16"), ("{0}/lab.py is in UTF-16; save it as UTF-8",)),
    Bad("a byte order mark", GOOD.encode("utf-8-sig"), (
        "{0}/lab.py begins with a byte order mark, which Python takes for a part of the first line; take it away: "
        "sed -i '1s/^\\xef\\xbb\\xbf//' {0}/lab.py",
    )),
    # Python that fails.
    Bad("a name without quotes", f"{GOOD}docker_hosts = [hunter2]\n", (f"{{0}}/lab.py line 2: {IN_QUOTES}",)),
    Bad("JSON's true", 'registry = [("nas", {"registry_system_trust": true})]\n', (
        "{0}/lab.py line 1: true is not Python; write True",
    )),
    Bad("a comma between two hosts", 'registry = ["nas"]\ndocker_hosts = [\n    ("a", {})\n    ("b", {}),\n]\n', (
        "{0}/lab.py line 3: a comma is missing between two values; put it at the end of that line",
    )),
    Bad("a comma between two lists", 'registry = (["nas"]\n["pi"])\n', (
        "{0}/lab.py line 1: a comma is missing between two values; put it at the end of that line",
    )),
    Bad("an exception in a library", 'import os\nregistry = [os.environ["NO_SUCH_NAME"]]\n', (
        "{0}/lab.py line 2: KeyError: 'NO_SUCH_NAME'; correct that line",
    )),
    Bad("a module that is not there", "import no_such_module\n", (
        "{0}/lab.py line 1: ModuleNotFoundError: No module named 'no_such_module'; correct that line",
    )),
    Bad("an exit", "exit(3)\n", ("{0}/lab.py line 1: SystemExit: 3; correct that line",)),
    # No groups of hosts.
    Bad("a text for a group", 'registry = "@local"\n', (
        "registry = '@local' ({0}/lab.py line 1): must be a list of hosts; write registry = [\"@local\"]",
    )),
    Bad("a tuple for a group", 'registry = "nas", "pi"\n', (
        "registry = ['nas', 'pi'] ({0}/lab.py line 1): must be a list of hosts; write registry = [\"nas\", \"pi\"]",
    )),
    Bad("a dict for a group", f'{GOOD}docker_hosts = {{"nas": {{}}}}\n', (
        'docker_hosts = a dict ({0}/lab.py line 2): must be a list of hosts, as in docker_hosts = ["nas"]',
    )),
    Bad("a tuple that is no group", f"{GOOD}ports = (80, 443)\n", (
        "ports = [80, 443] ({0}/lab.py line 2): pyinfra takes each list and tuple here for a group of hosts; write _ports",
    )),
    Bad("an address for the data", f'{GOOD}docker_hosts = [\n    ("builder", "192.0.2.11"),\n]\n', (
        f"{{0}}/lab.py line 3: {A_HOST}; {AS_DATA}",
    )),
    Bad("no data in brackets", 'registry = [("nas",)]\n', (f'{{0}}/lab.py line 1: {A_HOST}; write "nas"',)),
    Bad("a number for a host", f"{GOOD}docker_hosts = [5]\n", (
        '{0}/lab.py line 2: 5 is no host; write "nas" or ("nas", {{"ssh_hostname": "ADDRESS"}})',
    )),
    Bad("an empty name", f'{GOOD}docker_hosts = [""]\n', ("{0}/lab.py line 2: a host has no name",)),
    # Hosts that cannot be connected to.
    Bad("a user in the name", f'{GOOD}docker_hosts = ["pi@192.0.2.10"]\n', (
        '{0}/lab.py line 2: "pi@192.0.2.10" is no name or address alone; write ("192.0.2.10", {{"ssh_user": "pi"}})',
    )),
    Bad("a user and a port in the address", 'registry = [("nas", {"ssh_hostname": "pi@192.0.2.10:2222"})]\n', (
        '{0}/lab.py line 1: "pi@192.0.2.10:2222" is no name or address alone; write '
        '("nas", {{"ssh_hostname": "192.0.2.10", "ssh_user": "pi", "ssh_port": 2222}})',
    )),
    Bad("a URL", f'{GOOD}docker_hosts = ["ssh://nas"]\n', (
        '{0}/lab.py line 2: "ssh://nas" is no name or address alone; write "nas"',
    )),
    Bad("a blank in the name", f'{GOOD}docker_hosts = ["my nas"]\n', (
        '{0}/lab.py line 2: "my nas" is no name that SSH can look up; write ("my nas", {{"ssh_hostname": "ADDRESS"}})',
    )),
    Bad("a blank behind the name", f'{GOOD}docker_hosts = ["pi "]\n', (
        '{0}/lab.py line 2: "pi " is no name or address alone; write "pi"',
    )),
    Bad("an address of IPv6 in brackets", f'{GOOD}docker_hosts = ["[fd00::10]"]\n', (
        '{0}/lab.py line 2: "[fd00::10]" is no name or address alone; write "fd00::10"',
    )),
    Bad("Ansible's keys", 'registry = [("nas", {"ansible_host": "192.0.2.10"})]\n', (
        "ansible_host ({0}/lab.py line 1): that is Ansible's; pyinfra's key is ssh_hostname",
    )),
    Bad("two addresses of a host", 'registry = [("nas", {"ssh_hostname": "192.0.2.10"})]\n'
        'docker_hosts = [\n    ("nas", {"ssh_hostname": "192.0.2.11"}),\n]\n', (
        '{0}/lab.py line 3: "nas" has ssh_hostname twice, with two values; keep its data in one place',
    )),
    Bad("a port as text", 'registry = [("nas", {"ssh_port": "2222"})]\n', (
        "ssh_port = '2222' ({0}/lab.py line 1): must be a whole number, as in 2222",
    )),
    Bad("Ansible's way", 'registry = [\n    ("nas", {\n        "ssh_host": "192.0.2.10",\n    })\n]\n', (
        "ssh_host ({0}/lab.py line 3): pyinfra has no such key; did you mean ssh_hostname?",
    )),
    Bad("a number for a password, in group data", GOOD.replace("@fake/", ""), (
        "ssh_password ({0}/group_data/all.py line 2): must be a text",
    ), files={"group_data/all.py": "ssh_user = 'op'\nssh_password = 12345\n"}),
    Bad("an unknown connector", f'{GOOD}docker_hosts = ["@dokcer/nas"]\n', (
        "{0}/lab.py line 2: '@dokcer/nas' begins with no connector of pyinfra's; did you mean \"@docker/nas\"?",
    )),
    Bad("more than one of this machine", 'registry = ["@local/nas"]\n', (
        "{0}/lab.py: Cannot have more than one @local; correct that host's name",
    )),
    Bad("a container without a name", f'{GOOD}docker_hosts = ["@docker"]\n', (
        "{0}/lab.py: No docker base ID provided!; correct that host's name",
    )),
    # Group data.
    Bad("group data that fails", GOOD, (
        "{0}/group_data/all.py line 2: ZeroDivisionError: division by zero; correct that line",
    ), files={"group_data/all.py": "\nx = 1 / 0\n"}),
    Bad("group data that is no Python", GOOD, (
        f"{{0}}/group_data/lab.py line 1: invalid syntax (SyntaxError); {THAT_LINE}",
    ), files={"group_data/lab.py": "registry_port = = 5443\n"}),
    Bad("None for what has another default", GOOD, (
        "registry_port = None ({0}/group_data/lab.py): must be a port, 1 to 65535",
    ), files={"group_data/lab.py": "registry_port = None\nregistry_address = None\n"}),
    Bad("YAML for group data", GOOD, (f"{{0}}/group_data/lab.py line 2 is YAML, and {SETTINGS}",),
        files={"group_data/lab.py": "x = 1\nregistry_port: 5443\n"}),
    Bad("YAML that is no Python for group data", GOOD, (f"{{0}}/group_data/lab.py line 1 is YAML, and {SETTINGS}",),
        files={"group_data/lab.py": "registry_extra_names:\n  - images.home.arpa\n"}),
    Bad("YAML with words for group data", GOOD, (f"{{0}}/group_data/lab.py line 1 is YAML, and {SETTINGS}",),
        files={"group_data/lab.py": "registry_hostname: registry.home.arpa\n"}),
    Bad("group data in Latin-1", GOOD, (
        "{0}/group_data/lab.py line 2 has a character that is not UTF-8; save the file as UTF-8, or write plain letters",
    ), files={"group_data/lab.py": b"x = 1\ny = '\xfc'\n"}),
]  # fmt: skip

WORKS = {
    "Windows' line ends": b'registry = ["nas"]\r\ndocker_hosts = [\r\n    ("pi", {"ssh_port": 2222}),\r\n]\r\n',
    "hosts' names that are no addresses": b'registry = [("my nas", {"ssh_hostname": "192.0.2.10"}), ]\n',
    "an address of IPv6": b'registry = ["fd00::10"]\n',
    "the same data of a host twice": b'registry = [("nas", {"x": 1})]\ndocker_hosts = [("nas", {"x": 1, "y": 2})]\n',
    "annotations with values": b'registry: list[str] = ["nas"]\n',
    "letters of all languages": 'registry = ["nas"]  # für Büro\n'.encode(),
    "lists and numbers that are no groups": b'registry = ["nas"]\nports = [80, 443]\ncount = 3\n_x = ("a", "b")\n',
    "a group with data": b'registry = (["nas"], {"ssh_user": "pi"})\n',
}

MISSING = ("lob.py", "x")
"""Paths of cases in which there is no such file."""

# pyinfra's command line patches the standard library, which only a process of its own bears.
LOAD = """
import sys
from tasks.settings.inventory import read
from tasks.settings.load import SettingsError
for path in sys.stdin.read().splitlines():
    try:
        read(path)
    except SettingsError as error:
        print(*(f"{path}\\t{line}" for line in str(error).splitlines()), sep="\\n")
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, list[str]]]:
    """By name of the case, its folder and what is said about it; one process reads them all."""
    cases = [
        *(Bad(name, content, ()) for name, content in WORKS.items()),
        *BAD,
    ]
    folders, paths = {}, {}
    for case in cases:
        folders[case.name] = folder = tmp_path_factory.mktemp("inventories")
        files = {"lab.py": GOOD, **case.files}
        if case.path not in MISSING:
            files[case.path or "lab.py"] = case.content
        for file, content in files.items():
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())
        paths[case.name] = str(folder / case.path)
    done = subprocess.run(
        [sys.executable, "-c", LOAD], input="\n".join(paths.values()), cwd=ROOT, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    lines = [line.partition("\t") for line in done.stdout.splitlines()]
    return {
        name: (folders[name], [text for where, _, text in lines if where == path])
        for name, path in paths.items()
    }


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_it_is_refused_with_the_place_and_what_to_write(
    said: dict[str, tuple[Path, list[str]]], bad: Bad
) -> None:
    folder, lines = said[bad.name]
    assert lines == [line.format(folder) for line in bad.lines]


@pytest.mark.parametrize("name", WORKS)
def test_it_is_good(said: dict[str, tuple[Path, list[str]]], name: str) -> None:
    assert said[name][1] == []


def test_no_secret_is_shown(said: dict[str, tuple[Path, list[str]]]) -> None:
    assert not [line for _, lines in said.values() for line in lines if "hunter2" in line or "12345" in line]
