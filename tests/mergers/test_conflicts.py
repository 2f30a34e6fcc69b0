"""Files that are only read, for what contradicts ours: what they say counts, and not how it is written.

Each text is judged by Python's parser: what that reads, written in one plain style, must be judged alike.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tasks.cluster_nodes.node import Node, NodeTarget
from tasks.cluster_nodes.runtimes import registries_conf
from tasks.cluster_nodes.runtimes.crio_podman import CRIO, Crio
from tasks.docker_hosts import conflicts
from tasks.remote.steps import Conflict
from tasks.settings.load import Settings
from tests.mergers import json_texts, registries_conf_texts, toml_texts
from tests.mergers.outcome import outcome
from tests.mergers.shapes import NAME
from tests.mergers.test_readers import toml

ADDRESS = "192.168.1.10"
HOST, _, PORT = NAME.partition(":")
SETTINGS = Settings(registry_hostname=HOST, registry_port=int(PORT))
NETWORKS = ("192.168.1.0/24", "192.168.1.77/24", "10.0.0.0/8", "0.0.0.0/0", "::/0", f"{ADDRESS}/32", "a/b")


def plain(says: Mapping[str, Any]) -> str:
    """Return values as TOML, a line for each member of the top table."""
    return "".join(f"{json.dumps(key, ensure_ascii=False)} = {toml(value)}\n" for key, value in says.items())


def problem(check: Callable[[str], object], text: str, path: str) -> str:
    """Return what is said of a text, "" if that is nothing; its line must be one of the text."""
    found = outcome(check, text)
    if not isinstance(found, Conflict):
        return ""
    said = re.fullmatch(rf"{re.escape(path)} line (\d+) (.+)", found.problem)
    assert said
    assert 1 <= int(said[1]) <= text.count("\n") + 1
    return said[2]


def line(check: Callable[[str], object], text: str) -> str:
    """Return the line that a conflict is about, "" if there is none."""
    found = outcome(check, text)
    number = re.search(r" line (\d+) ", found.problem) if isinstance(found, Conflict) else None
    return text.split("\n")[int(number[1]) - 1] if number else ""


def in_network(entry: str) -> bool:
    try:
        return "/" in entry and ip_address(ADDRESS) in ip_network(entry, strict=False)
    except ValueError:
        return False


@given(text=registries_conf_texts.files())
def test_registries_conf(soak: bool, text: str) -> None:
    def check(text: str) -> None:
        registries_conf.check({registries_conf.CONFIG: text}, [NAME])

    said = problem(check, text, registries_conf.CONFIG)
    assert said == problem(check, plain(tomllib.loads(text.removeprefix("\ufeff"))), registries_conf.CONFIG)
    words = {"blocked": "blocked", "a mirror": "mirror", "to another": "location", "insecure": "example"}
    for told, written in words.items():
        assert told not in said or re.search(rf"{written}|registry\.example", line(check, text))


@st.composite
def crio_files(draw: st.DrawFn) -> str:
    names = draw(
        st.lists(st.sampled_from([NAME, HOST, "*.example", f"{NAME}/x", f"{NAME}0", *NETWORKS]), max_size=3)
    )
    inner = ", ".join([toml_texts.quoted(name, draw(toml_texts.STYLES)) for name in names])
    value = f"{draw(toml_texts.keys('insecure_registries'))}{draw(toml_texts.SPACE)}= [{inner}]"
    image = draw(toml_texts.headers("crio", "image"))
    others = draw(toml_texts.lines_of(("pause_image", "x-y"), draw(toml_texts.SPACE)))
    lines = draw(
        st.sampled_from([
            [image, value, *others],
            [image, *others, value],
            [draw(toml_texts.headers("crio")), f"image . {value}", *others],
            [f"crio.image.{value}", draw(toml_texts.headers("x")), *others],
            [f"crio = {{image = {{{value}}}}}"],
            [draw(toml_texts.headers("crio", "runtime")), value, *others],
        ])
    )  # fmt: skip
    return draw(toml_texts.finished("\n".join([draw(toml_texts.commented("", "# ")), *lines])))


@given(text=crio_files())
def test_crio_conf(soak: bool, text: str) -> None:
    says = tomllib.loads(text.removeprefix("\ufeff"))

    def check(text: str) -> None:
        paths = dict.fromkeys(Crio().paths([NAME]))
        Crio().steps(SETTINGS, NodeTarget("", ADDRESS, ["crio"]), Node(paths=paths, texts={CRIO: text}))

    said = problem(check, text, CRIO)
    assert said == problem(check, plain(says), CRIO)
    entries = says["crio"].get("image", {}).get("insecure_registries", [])
    bad = [entry for entry in entries if entry == NAME or in_network(entry)]
    assert (bad[0] if bad else "") == (said.split('"')[1] if said else "")
    assert not bad or bad[0] in line(check, text)


DAEMON = "/etc/docker/daemon.json"
INSECURE = st.lists(
    st.one_of(
        st.sampled_from([
            NAME, NAME.upper(), f"https://{NAME}", HOST, "other.example", f"{HOST}:1", "[::1]:5000", *NETWORKS,
        ]),
        json_texts.NUMBERS.map(json_texts.Raw),
        st.none(),
    ),
    max_size=3,
)  # fmt: skip


@st.composite
def daemon_files(draw: st.DrawFn) -> str:
    member = st.one_of(
        st.tuples(st.just(conflicts.KEY), st.one_of(INSECURE, INSECURE, json_texts.WORDS)),
        st.tuples(st.sampled_from(["registry-mirrors", "x", "dns"]), st.one_of(INSECURE, json_texts.ANY)),
    )
    value = json_texts.Members(draw(st.lists(member, max_size=4)))
    layout = draw(
        st.sampled_from([("", "", ":"), ("\n", "\t", ": "), ("\r\n", "  ", " : "), ("\n", "", ":")])
    )
    text = draw(json_texts.written(value, layout))
    return draw(st.sampled_from(["", "", "\ufeff", "\n"])) + text + draw(st.sampled_from(["", "\n"]))


@given(text=daemon_files())
def test_daemon_json(soak: bool, text: str) -> None:
    says = json.loads(text.removeprefix("\ufeff"), parse_int=float)
    found = outcome(conflicts.check_configuration, DAEMON, text, SETTINGS, ADDRESS)
    given = says.get(conflicts.KEY)
    bad = [
        entry
        for entry in (given if isinstance(given, list) else [])
        if isinstance(entry, str)
        and (entry.lower().removeprefix("https://") in {NAME, HOST} or in_network(entry))
    ]
    if not bad:
        assert found is None
        return
    assert isinstance(found, Conflict)
    assert found.problem.split('"')[1] == bad[0]
    assert f'"{bad[0]}"' in line(
        lambda text: conflicts.check_configuration(DAEMON, text, SETTINGS, ADDRESS), text
    )


@st.composite
def hosts_tomls(draw: st.DrawFn) -> str:
    url = draw(st.sampled_from([f"https://{NAME}", "https://mirror.example"]))
    members = [
        f"{draw(toml_texts.keys(key))}{draw(toml_texts.SPACE)}={draw(toml_texts.SPACE)}{value}"
        for key, value in draw(
            st.lists(
                st.sampled_from([("skip_verify", "true"), ("skip_verify", "false"), ("ca", '"/x.crt"')]),
                unique_by=lambda each: each[0],
            )
        )
    ]
    top = draw(st.sampled_from(["", " ", "\n", "# x", f'server = "{url}"']))
    table = draw(st.sampled_from([[], [draw(toml_texts.headers("host", url)), *members], members]))
    text = "\n".join([*([top] if top else []), *table])
    return draw(st.sampled_from([text, text, text.replace("\n", "\r\n"), ""])) + draw(
        st.sampled_from(["", "\n"])
    )


@given(text=hosts_tomls())
def test_hosts_toml_beside_a_ca_for_docker(soak: bool, text: str) -> None:
    """The image store reads the CA only if there is no byte in the file (containerd's hosts.go, `loadHostDir`)."""
    path = "/etc/docker/certs.d/x/hosts.toml"
    found = outcome(conflicts.check_hosts_toml, path, text)
    assert isinstance(found, Conflict) == bool(text)
    if isinstance(found, Conflict) and "so no certificate is checked there" in found.problem:
        says = tomllib.loads(text)
        assert any(table.get("skip_verify") for table in [says, *says.get("host", {}).values()])
        assert "skip_verify" in line(lambda text: conflicts.check_hosts_toml(path, text), text)
