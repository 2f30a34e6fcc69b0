"""Our entries in a `registries.yaml` of the user's: added and removed, and all else as it was."""

from __future__ import annotations

import pytest
import yaml

from tasks.accounts.logins import Login
from tasks.cluster_nodes.runtimes import registries_yaml
from tasks.remote.steps import Conflict

NAME, CA, PATH = "registry.homelab.local:5443", "/etc/rancher/k3s/ca.crt", "/r.yaml"
LOGIN = Login("cluster", "p\"w\\ é: #'")
TLS = f"    tls:\n      ca_file: {CA}\n"
OURS = f'  "{NAME}":\n{TLS}'
AUTH = '    auth: # homelab-registry\n      username: "cluster"\n      password: "p\\"w\\\\ é: #\'"\n'
LOGGED_IN = f'  "{NAME}":\n{AUTH}{TLS}'
USER = """# mine
mirrors:
  docker.io:   # all of it
    endpoint: ["https://mirror.example"]
    rewrite: {"^x": 'y'}
configs:   # logins
    # first
    'a.b:5000':
        auth:
          username: x
          password: "y"
    # last

# the end
"""
DEEPER = OURS.replace("\n  ", "\n    ").replace("  ", "    ", 1)


def merge(text: str, login: Login | None = None, *names: str) -> str:
    return registries_yaml.merge(text, names or (NAME,), CA, login, PATH)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f"configs:\n{OURS}"),
        ("# only a comment", f"# only a comment\nconfigs:\n{OURS}"),
        ("---\n", f"---\nconfigs:\n{OURS}"),
        ("configs:\n", f"configs:\n{OURS}"),
        ("configs:\n\n# c\nmirrors: {}\n", f"configs:\n{OURS}\n# c\nmirrors: {{}}\n"),
        ("configs: {} # none\n", f"configs:  # none\n{OURS}"),
        ("configs: ~\nmirrors: {}\n", f"configs: \n{OURS}mirrors: {{}}\n"),
        ("mirrors:\n  a:\n    endpoint:\n      - x\n\n# tail\n",
         f"mirrors:\n  a:\n    endpoint:\n      - x\nconfigs:\n{OURS}\n# tail\n"),
        ("mirrors: {a: {endpoint: [x]}}", f"mirrors: {{a: {{endpoint: [x]}}}}\nconfigs:\n{OURS}"),
        ("mirrors:\n  a:\n", f"mirrors:\n  a:\nconfigs:\n{OURS}"),
        ("mirrors:\n  a:\n# c\n", f"mirrors:\n  a:\nconfigs:\n{OURS}# c\n"),
        ("x:\n- 1\n-\n", f"x:\n- 1\n-\nconfigs:\n{OURS}"),
        ("x: |\n  text\n\n...\n", f"x: |\n  text\n\nconfigs:\n{OURS}...\n"),
        (USER, USER.replace("# logins\n", f"# logins\n    {DEEPER.strip()}\n")),
        (f"configs:\n  {NAME}:\n", f"configs:\n  {NAME}:\n{TLS}"),
        (f"configs:\n  {NAME}: {{}}\n", f"configs:\n  {NAME}: \n{TLS}"),
        (f"configs:\n  {NAME}:\n    tls:\n      cert_file: /x\n", f"configs:\n  {NAME}:\n{TLS}      cert_file: /x\n"),
        (f"configs:\n  {NAME}:\n    tls:\n      ca_file:\n", f"configs:\n  {NAME}:\n{TLS}"),
        (f"configs:\n  {NAME}:\n    tls:\n      ca_file: ~\n", f"configs:\n  {NAME}:\n{TLS}"),
        (f"configs:\n  {NAME}:\n    tls:\n      ca_file:\n      cert_file: /x\n",
         f"configs:\n  {NAME}:\n{TLS}      cert_file: /x\n"),
        (f"configs:\n  {NAME}:\n    tls:\n      insecure_skip_verify: false\n",
         f"configs:\n  {NAME}:\n{TLS}      insecure_skip_verify: false\n"),
        (f"configs:\n  {NAME}:\n    auth:\n      username: u\n", f"configs:\n  {NAME}:\n{TLS}    auth:\n      username: u\n"),
        (f"configs:\n  {NAME}: {{tls: {{ca_file: {CA}}}}}\n", f"configs:\n  {NAME}: {{tls: {{ca_file: {CA}}}}}\n"),
        ("configs:\r\n  a:\r\n    auth: {username: x}\r\n",
         "configs:\r\n" + OURS.replace("\n", "\r\n") + "  a:\r\n    auth: {username: x}\r\n"),
        # Tabs where Go's parser takes them.
        ("mirrors:\t# the cache\n  a:\t{}\n", f"mirrors:\t# the cache\n  a:\t{{}}\nconfigs:\n{OURS}"),
        ("configs:\t\n  a:\n    tls:\n      ca_file:\t/x\t# c\n",
         f"configs:\t\n{OURS}  a:\n    tls:\n      ca_file:\t/x\t# c\n"),
        ("mirrors: {\n\ta: {}\n}\n", f"mirrors: {{\n\ta: {{}}\n}}\nconfigs:\n{OURS}"),
        # What Go's parser takes for nothing unusual.
        ("\ufeffconfigs:\n  a: {}\n", f"\ufeffconfigs:\n{OURS}  a: {{}}\n"),
        ("\ufeffconfigs: {}\n", f"\ufeffconfigs: \n{OURS}"),
        ("x: 1\nx: 2\n", f"x: 1\nx: 2\nconfigs:\n{OURS}"),
        ("mirrors:\n  a: {}\n  a: {}\n", f"mirrors:\n  a: {{}}\n  a: {{}}\nconfigs:\n{OURS}"),
        ("a: 1\n---\nb: [\n", f"a: 1\nconfigs:\n{OURS}---\nb: [\n"),
        ("a: !!bool maybe\n", f"a: !!bool maybe\nconfigs:\n{OURS}"),
        ("a: &x [*x]\n", f"a: &x [*x]\nconfigs:\n{OURS}"),
        (f"a: {'[' * 900}{']' * 900}\n", f"a: {'[' * 900}{']' * 900}\nconfigs:\n{OURS}"),
        ("a: &x 1\nb:\n- *x\n", f"a: &x 1\nb:\n- *x\nconfigs:\n{OURS}"),
        ("configs: &all\n  a: {}\n", f"configs: &all\n{OURS}  a: {{}}\n"),
        ("a: 'x\u2028y\x85z'\nconfigs:\n  b: {}\n", f"a: 'x\u2028y\x85z'\nconfigs:\n{OURS}  b: {{}}\n"),
        ("configs:\r  a: {}\r", f"configs:\r{OURS}  a: {{}}\r"),
        (f"configs:\n  {NAME}:\n    tls:\n      ca_file: # todo\n", f"configs:\n  {NAME}:\n    tls:\n      ca_file: {CA} # todo\n"),
        (f"configs:\n  {NAME}:\n    tls: {{ca_file: }}\n", f"configs:\n  {NAME}:\n    tls: {{ca_file: {CA}}}\n"),
        (f"configs:\n  {NAME}:\n    tls:\n      insecure_skip_verify: off\n",
         f"configs:\n  {NAME}:\n{TLS}      insecure_skip_verify: off\n"),
    ],
)  # fmt: skip
def test_our_entry_is_added_and_all_else_stays(before: str, after: str) -> None:
    assert merge(before) == after
    assert merge(after) == after


@pytest.mark.parametrize("text", ["", USER, f"configs:\n{OURS}"])
def test_a_login_comes_and_goes_without_a_trace(text: str) -> None:
    without = merge(text)
    logged_in = merge(text, LOGIN)
    assert registries_yaml.auth_of(logged_in, NAME, PATH) == (LOGIN.account, LOGIN.password)
    assert merge(logged_in, LOGIN) == merge(without, LOGIN) == logged_in
    assert merge(logged_in) == without


def test_the_text_of_a_login_and_of_a_new_password() -> None:
    assert merge("", LOGIN) == f"configs:\n{LOGGED_IN}"
    assert merge(f"configs:\n{LOGGED_IN}", Login("ci", "new")) == (
        f'configs:\n  "{NAME}":\n    auth: # homelab-registry\n      username: "ci"\n      password: "new"\n{TLS}'
    )


def test_a_login_of_the_user_s_is_kept_and_contradicts_ours() -> None:
    text = f"configs:\n{OURS}    auth:\n      username: u\n      password: secret\n"
    assert merge(text) == text
    assert problem(text, LOGIN) == f"{PATH} line 5 has a login of its own for our registry"
    same = f"configs:\n{OURS}    auth:\n      username: cluster\n      password: x\n"
    assert merge(same, Login("cluster", "x")) == same


def test_several_names_each_have_an_entry() -> None:
    merged = merge(USER, LOGIN, "a.local", "[fd00::1]:5443")
    says = yaml.safe_load(merged)
    assert (
        says["configs"].pop("a.local")
        == says["configs"].pop("[fd00::1]:5443")
        == {
            "auth": {"username": LOGIN.account, "password": LOGIN.password},
            "tls": {"ca_file": CA},
        }
    )
    assert says == yaml.safe_load(USER)
    kept = iter(merged.splitlines())
    assert all(line in kept for line in USER.splitlines())


SELF = f"mirrors:\n  {NAME}:\n    endpoint:\n"


@pytest.mark.parametrize(
    "endpoints",
    [[f"https://{NAME}"], [f"https://{NAME}/"], [f"https://{NAME}/v2"], [NAME], ["https://other:443", NAME]],
)
def test_a_mirror_of_our_registry_to_itself_stays(endpoints: list[str]) -> None:
    text = SELF + "".join(f"      - {each!r}\n" for each in endpoints)
    assert merge(text, None, NAME, "other") == f"{text}configs:\n  other:\n{TLS}{OURS}"


def problem(text: str, login: Login | None = None) -> str:
    with pytest.raises(Conflict) as raised:
        merge(text, login)
    assert raised.value.remedy.endswith("and run again")
    return raised.value.problem


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: [\n", "line 3 is not YAML"),
        ("a: 1\n\tb: secret\n", "line 2 is not YAML"),
        (f"a: {'[' * 9000}{']' * 9000}\n", "line 1 is not YAML"),
        ("a: 1\nb: *x\n", "line 2 is not YAML: found undefined alias"),
        ("configs: &x\n  <<: *x\n", "has a merge key that contains itself"),
        ("-\tx\n", "line 1 is not YAML"),
        (f"a: &x\n  insecure_skip_verify: yes\nconfigs:\n  {NAME}:\n    tls:\n      <<: *x\n",
         "line 2 switches the check of our certificate off (insecure_skip_verify)"),
        (f"a: &x\n  tls: {{insecure_skip_verify: On}}\nconfigs:\n  {NAME}:\n    <<: [*x]\n    tls:\n      ca_file: {CA}\n",
         "line 2 switches the check of our certificate off (insecure_skip_verify)"),
        (f"configs:\n  {NAME}:\n    tls: {{insecure_skip_verify: y}}\n    tls: {{}}\n",
         "line 3 switches the check of our certificate off (insecure_skip_verify)"),
        (f"a: &x\n  ca_file: /other\nconfigs:\n  {NAME}:\n    tls:\n      <<: *x\n",
         "line 2 names another CA for our registry: '/other'"),
        ("configs:\n  a: {}\nconfigs:\n", "line 3 is written in a way that this project cannot add to"),
        ("- a\n", "line 1 is YAML, but not a mapping"),
        ("{}\n", "line 1 is written in one line"),
        ("configs: {a: {tls: {ca_file: x}}}\n", "line 1 is written in one line, or somewhere else"),
        ("a: &x\n  b: 1\nconfigs: *x\n", "line 3 is written in one line, or somewhere else"),
        ("configs: text\n", "line 1 is written in one line, or somewhere else"),
        (f"configs:\n  {NAME}:\n    tls:\n      ca_file: /other\n", "line 4 names another CA for our registry: '/other'"),
        (f"configs:\n  {NAME}:\n    tls:\n      ca_file: [x]\n",
         "line 4 names another CA for our registry: 'a list or mapping'"),
        (f"configs:\n  {NAME}:\n    tls: {{insecure_skip_verify: true}}\n",
         "line 3 switches the check of our certificate off (insecure_skip_verify)"),
        (f"mirrors:\n  x:\n  {NAME}:\n    endpoint: []\n",
         "line 3 has a mirror for our registry, which could hand out private images without a login"),
        *(
            (f"{SELF}{lines}", "line 2 has a mirror for our registry, which could hand out private images without a login")
            for lines in (
                "      - https://cache.example\n", f"      - http://{NAME}\n", f"      - https://{NAME}\n      - https://x\n",
                f"      - https://x@{NAME}\n", f"      - https://{NAME}.example\n", f"      - https://{NAME}/v2/cache\n",
                "      - 1\n", "",
            )
        ),
        (f"mirrors:\n  {NAME}:\n    endpoint: https://{NAME}\n",
         "line 2 has a mirror for our registry, which could hand out private images without a login"),
        (f"mirrors:\n  'https://{NAME}':\n",
         "line 2 has a mirror for our registry, which could hand out private images without a login"),
    ],
)  # fmt: skip
def test_conflicts_name_the_line(text: str, expected: str) -> None:
    assert problem(text) == f"{PATH} {expected}"
