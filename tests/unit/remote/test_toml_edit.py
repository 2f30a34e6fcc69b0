"""One value set in a user's TOML file: what is added, and that everything else stays."""

from __future__ import annotations

import tomllib

import pytest

from tasks.remote import toml_edit
from tasks.remote.steps import Conflict

KEYS = ("plugins", "io.x.y", "registry", "config_path")
ADDED = '[plugins."io.x.y".registry]\nconfig_path = "/certs"\n'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ADDED),
        ("# mine\n", f"# mine\n\n{ADDED}"),
        ("version = 2", f"version = 2\n\n{ADDED}"),
        ('a = 1\n\n[plugins]\n  [plugins."io.x.y"]  # mine\n    x = 1\n\n[other]\ny = """\n[z]\n"""\n\n',
         f'a = 1\n\n[plugins]\n  [plugins."io.x.y"]  # mine\n    x = 1\n\n[other]\ny = """\n[z]\n"""\n\n\n{ADDED}'),
        ('[plugins."io.x.y".registry.headers]\nX = ["a"]\n', f'[plugins."io.x.y".registry.headers]\nX = ["a"]\n\n{ADDED}'),
        ('plugins."io.x.y".z = 1\n', f'plugins."io.x.y".z = 1\n\n{ADDED}'),
        ('[plugins."io.x.y".registry]\n\n[x]\na = 1\n',
         '[plugins."io.x.y".registry]\nconfig_path = "/certs"\n\n[x]\na = 1\n'),
        ('[plugins."io.x.y".registry]', '[plugins."io.x.y".registry]\nconfig_path = "/certs"\n'),
        ('  [plugins."io.x.y".registry]\n    a = 1 # b\n',
         '  [plugins."io.x.y".registry]\n    config_path = "/certs"\n    a = 1 # b\n'),
        ("[plugins.'io.x.y'.registry]\r\n  a = 1\r\n",
         "[plugins.'io.x.y'.registry]\r\n  config_path = \"/certs\"\r\n  a = 1\r\n"),
        ("a = 1\r\n", "a = 1\r\n\r\n" + ADDED.replace("\n", "\r\n")),
        # The end of a file stays as it is, and so does a byte order mark.
        ('[plugins."io.x.y".registry]\n  config_path = ""\n\n[debug]\n  level = "info"',
         '[plugins."io.x.y".registry]\n  config_path = "/certs"\n\n[debug]\n  level = "info"'),
        ('[plugins."io.x.y".registry]\nconfig_path = \'a:b\'', '[plugins."io.x.y".registry]\nconfig_path = "/certs"'),
        ('[plugins."io.x.y".registry]\n[debug]', '[plugins."io.x.y".registry]\nconfig_path = "/certs"\n[debug]'),
        ("\ufeffversion = 2\n", f"\ufeffversion = 2\n\n{ADDED}"),
        ('\ufeff[plugins."io.x.y".registry]\n', f"\ufeff{ADDED}"),
        # What looks like the table, and is not.
        (f'x = """\n{ADDED}"""\n[plugins."io.x.y".registry]\n', f'x = """\n{ADDED}"""\n{ADDED}'),
        ('# \u2028[plugins."io.x.y".registry]\n[plugins."io.x.y".registry]\n',
         f'# \u2028[plugins."io.x.y".registry]\n{ADDED}'),
        ('[plugins."io.x.y".registry]\n  # c\n  config_path = ""   # keep\n\n  [plugins."io.x.y".registry.mirrors]\n',
         '[plugins."io.x.y".registry]\n  # c\n  config_path = "/certs"   # keep\n\n  [plugins."io.x.y".registry.mirrors]\n'),
        ("[plugins.'io.x.y']\nregistry.config_path = 'a:b'\n", "[plugins.'io.x.y']\nregistry.config_path = \"/certs\"\n"),
        ('plugins."io.x.y".registry.headers.x = ["a"]\nversion = 2\n',
         'plugins."io.x.y".registry.config_path = "/certs"\nplugins."io.x.y".registry.headers.x = ["a"]\nversion = 2\n'),
        ('[plugins."io.x.y"]\nregistry = {}  # c\n[y]\nb = 1\n',
         '[plugins."io.x.y"]\nregistry = {config_path = "/certs"}  # c\n[y]\nb = 1\n'),
        ('[a]\nconfig_path = "/a"\n[plugins."io.x.y".registry]\nconfig_path = "/b"\n',
         '[a]\nconfig_path = "/a"\n[plugins."io.x.y".registry]\nconfig_path = "/certs"\n'),
    ],
)  # fmt: skip
def test_a_value_is_set_and_everything_else_stays(before: str, after: str) -> None:
    assert toml_edit.put(before, KEYS, "/certs", "/f") == after
    assert toml_edit.put(after, KEYS, "/certs", "/f") == after
    assert (
        tomllib.loads(after.removeprefix("\ufeff"))["plugins"]["io.x.y"]["registry"]["config_path"]
        == "/certs"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("plugins = 3\n", "/f line 1 is not a table"),
        ("a = 1\nplugins = [1]\n", "/f line 2 is not a table"),
        ('plugins = {"io.x.y" = {x = 1}} # c\n',
         "/f line 1 is written in a way that this project cannot add to"),
        ("a = 1\nb = \n", "/f line 2 is not TOML"),
        ("[a\n", "/f line 1 is not TOML"),
        ("a = 1\n\na = 'password'\n", "/f line 3 is not TOML"),
        ('a = "', "/f line 1 is not TOML"),
    ],
)  # fmt: skip
def test_a_conflict_names_the_line(text: str, problem: str) -> None:
    with pytest.raises(Conflict) as raised:
        toml_edit.put(text, KEYS, "/certs", "/f")
    assert raised.value.problem == problem


@pytest.mark.parametrize(
    ("keys", "line"),
    [(["a"], 1), (["x"], 3), (["x", "y z"], 3), (["x", "y z", "b"], 4), (["x", "y z", "c", "d"], 5), (["u"], 7), (["no"], 1)],
)  # fmt: skip
def test_a_line_is_found_by_its_keys(keys: list[str], line: int) -> None:
    assert toml_edit.line_of('a = 1\n\n[x."y z"] # c\nb = 1\nc.d = 2\n\n[[u]]\n', keys) == line


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 5000 + "]" * 5000])
def test_what_python_cannot_read_is_a_conflict_too(value: str) -> None:
    with pytest.raises(Conflict) as raised:
        toml_edit.read(f"a = {value}\n", "/f")
    assert raised.value.problem == "/f has a number that is too long, or is nested too deeply"
