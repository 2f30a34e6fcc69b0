"""A plan prints what a run would do and touches nothing; a run says what went wrong in one line for each host.

The hosts are fake, and so is what they answer: pyinfra's `@fake` connector gives the answers that stand in the
inventory, and records the commands it is asked to run. Everything else is real: the command line, the
project's `config.py`, and `apply_steps`, which in part of the tests is called by a small deploy file made here.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasks.certificates import ca as authority
from tasks.registry import images, web
from tasks.settings.load import Settings
from tasks.state.store import Store
from tests import printed
from tests.operations.runs import ROOT, Ran, pyinfra
from tests.operations.test_command_line import SECRET, STEM, answering_hosts

# The whole deploy.py as a plan.

PORT_443 = "/etc/docker/certs.d/registry.homelab.local"


def plan(folder: Path, state: Path, *more: str) -> Ran:
    """Plan on fresh hosts."""
    (folder / f"{STEM}.py").write_text(answering_hosts())
    return pyinfra(
        "--dry", *more, "--data", f"registry_state_dir={state}", str(folder / f"{STEM}.py"), "deploy.py"
    )


def steps(ran: Ran, host: str) -> list[str]:
    return printed.steps(ran.output, host)


def snapshot(folder: Path) -> dict[str, tuple[int, int, str]]:
    """Every file and folder with its mode, its time and its content."""
    return {
        str(path): (
            path.stat().st_mode,
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in [folder, *folder.rglob("*")]
    }


def on_registry_host(ran: Ran) -> list[str]:
    """The steps after those on the controller."""
    found = steps(ran, "@fake/nas")
    return found[next(number for number, text in enumerate(found) if text.startswith("build the image")) :]


IMAGES_FOLDER = "/var/lib/homelab-registry"


def expected_on_registry_host(state: Path, *marks: str) -> list[str]:
    tags = {
        role: image.name
        for role, image in images.wanted(Settings(), {}, images.read_scripts(ROOT / "files")).items()
    }
    folder = "/etc/homelab-registry"
    made = [
        folder,
        *(
            f"{folder}/{name}"
            for name in ("gateway", "gateway/tls", "gateway/typed", "registry", "run", *web.FOLDERS)
        ),
    ]
    written = (
        "gateway/nginx.conf",
        "registry/config.yml",
        "registry/htpasswd",
        *marks,
    )
    return [
        f"build the image {tags['registry']} from the package docker-registry: it is missing",
        f"build the image {tags['gateway']} from the package nginx-light: it is missing",
        *(f"make {path}: it is missing" for path in [*made, IMAGES_FOLDER]),
        f"write {IMAGES_FOLDER}/.homelab-registry: it is missing",
        f"write {folder}/storage: it is missing",
        *(f"write {folder}/{name}: it is missing" for name in written),
        "write 13 files of the web page: they are missing",
        f"write {folder}/gateway/tls/current.pem: it is missing",
        "make the network homelab-registry: it is missing",
        "create the container homelab-registry: it does not exist",
        "create the container homelab-registry-gateway: it does not exist",
        "ask the gateway for its certificate: it has a new one",
        f"note {IMAGES_FOLDER} as the folder of the images: it is new to {state}",
        *ON_DOCKER_HOST,
    ]


ON_DOCKER_HOST = [
    "make /etc/docker/certs.d: it is missing",
    f"make {PORT_443}: it is missing",
    f"write {PORT_443}/ca.crt: it is missing",
    "write /etc/hosts: our entry is missing",
]


def test_a_first_plan_prints_every_step_and_makes_no_state(tmp_path: Path) -> None:
    state = tmp_path / "state"
    ran = plan(tmp_path, state)
    assert ran.exit_code == 0
    assert steps(ran, "@fake/nas") == [
        f"make a certificate authority in {state}: there is none yet",
        f"write {state}/ca.crt: it is missing",
        f"note @fake/nas as the registry host: it is new to {state}",
        "make a certificate for registry.homelab.local, 192.0.2.10: there is none yet",
        "generate a password for admin: it has none yet",
        "generate a password for ci: it has none yet",
        "generate a password for cluster: it has none yet",
        f"write {state}/htpasswd: admin is new or has a new password, ci is new or has a new password, "
        "cluster is new or has a new password",
        f"write {state}/http.secret: there is none yet",
        *expected_on_registry_host(state),
    ]
    assert steps(ran, "@fake/pi") == ON_DOCKER_HOST
    count = len(printed.steps(ran.output))
    assert ran.output.splitlines()[-1] == f"{count} steps; nothing was changed."
    assert len(ran.output.splitlines()) == count + 2  # pyinfra says first that it loads config.py
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__") == [f"{STEM}.py"]


def test_a_plan_with_a_state_changes_no_byte_and_no_time_of_it(tmp_path: Path) -> None:
    store, now = Store(tmp_path / "state"), dt.datetime.now(dt.UTC)
    names = ["registry.homelab.local", "192.0.2.10"]
    ca = authority.make_authority(names, 3650, now)
    store.authorities.write(ca)
    store.write_leaf(authority.make_leaf(ca, names, 10, now - dt.timedelta(days=9)))
    store.write_password("admin", SECRET)
    store.write_record("@fake/nas", {}, None)
    (store.folder / "authorities" / ".new-killed").mkdir()
    before = snapshot(store.folder)
    ran = plan(tmp_path, store.folder)
    assert ran.exit_code == 0
    end = now + dt.timedelta(days=1)
    assert [text for text in steps(ran, "@fake/nas") if text not in on_registry_host(ran)] == [
        f"write {store.folder}/ca.crt: it is missing",
        f"make a certificate for registry.homelab.local, 192.0.2.10: it expires on {end:%Y-%m-%d}",
        "generate a password for ci: it has none yet",
        "generate a password for cluster: it has none yet",
        f"write {store.folder}/htpasswd: admin is new or has a new password, ci is new or has a new password, "
        "cluster is new or has a new password",
        f"write {store.folder}/http.secret: there is none yet",
    ]
    assert on_registry_host(ran) == expected_on_registry_host(store.folder, "gateway/typed/admin")
    assert SECRET not in ran.output
    assert snapshot(store.folder) == before


def test_with_y_a_plan_does_not_say_that_there_is_nothing_to_do(tmp_path: Path) -> None:
    """With -y pyinfra skips change detection, so there is no plan."""
    ran = plan(tmp_path, tmp_path / "state", "-y")
    assert "Nothing to do" not in ran.output


@pytest.mark.parametrize("mode", ["-y", "--dry"])
def test_a_taken_port_is_found_before_anything_is_made(tmp_path: Path, mode: str) -> None:
    """Docker's proxy listens there, for a container of somebody else."""
    taken = answering_hosts().replace("'listener|'", "'listener|docker-proxy (pid 7)', 'holder|traefik'")
    (tmp_path / f"{STEM}.py").write_text(taken)
    state = tmp_path / "state"
    ran = pyinfra(mode, "--data", f"registry_state_dir={state}", str(tmp_path / f"{STEM}.py"), "deploy.py")
    assert (ran.exit_code, printed.steps(ran.output)) == (1, [])
    assert printed.not_finished(ran.output)[0] == (
        "[@fake/nas] port 443 is taken by the container traefik; "
        "stop it (docker stop traefik), or set registry_port to another port, and run again"
    )
    assert Store(state).read().is_empty


def test_a_state_that_cannot_be_read_is_one_line_in_a_plan(tmp_path: Path) -> None:
    """As if another user than the owner of the state makes a plan; here the folder is a file."""
    (tmp_path / "state").write_text("mine\n")
    ran = plan(tmp_path, tmp_path / "state")
    assert ran.exit_code == 1
    assert "Traceback" not in ran.output
    assert "Nothing to do" not in ran.output
    assert str(tmp_path / "state") in ran.output
    assert (tmp_path / "state").read_text() == "mine\n"


# apply_steps, in a deploy file of our own.

DEPLOY = """
import atexit, errno, json, sys
from pyinfra import host
from pyinfra.api.facts import FactBase
from pyinfra.api.operation import operation
from tasks.remote.fact_scripts import read_answer
from tasks.certificates.ca import AuthorityError
from tasks.run.machines import Machine
from tasks.remote.steps import Conflict, Step
from tasks.run.apply import LocalStep, RemoteStep, apply_steps, read_fact
from tasks.run.context import current
from tasks.state.files import StateError

FOLDER, SECRET = {folder!r}, {secret!r}


class Known(FactBase):
    def command(self):
        return "look"

    def process(self, output):
        return read_answer(output).one("known")


def tell(text):
    print(f"took {{text}}", file=sys.stderr, flush=True)


def fail(error):
    raise error


def steps(run):
    first, never = Step("first: it is missing", "run first", SECRET), Step("never: not after that", "run never")
    failing = [Step("fail: it is missing", "run fail", SECRET), never]
    if known := host.name in {{"@fake/known", "@fake/unknown", "@fake/cut"}}:
        known = read_fact(host, Known)
    return {{
        "@fake/three": lambda: [
            first,
            LocalStep("second: it is missing", lambda: tell("second")),
            RemoteStep(Step("third: it is missing", "run third"), lambda text: tell(f"third ({{text}})")),
        ],
        "@fake/idle": lambda: [],
        "@fake/known": lambda: [Step(f"known: {{known}}", "run known")],
        "@fake/unknown": lambda: [never],
        "@fake/cut": lambda: [never],
        "@fake/conflict": lambda: fail(Conflict("port 443 is taken by apache2 (pid 7)", "stop it and run again")),
        "@fake/state": lambda: fail(StateError("the leaf is damaged", "remove it")),
        "@fake/authority": lambda: fail(AuthorityError("a.b: not permitted by the name constraints", "make another")),
        "@fake/odd": lambda: fail(KeyError(SECRET)),
        "@fake/colourful": lambda: fail(Conflict("\\x1b]0;x\\x07/a\\r\\n\\x1b[2J is no é", "move it\\u202e")),
        "@fake/telling": lambda: failing,
        "@fake/unheard": lambda: failing,
        "@fake/wordless": lambda: failing,
        "@fake/on-stdout": lambda: failing,
        "@fake/then": lambda: [
            RemoteStep(Step("pull x: it is missing", "run pull"), lambda _: fail(ValueError("no digest of x"))),
            never,
        ],
        "@fake/full": lambda: [
            LocalStep("note it: new", lambda: fail(OSError(errno.ENOSPC, "No space left on device", "/s/x"))),
            never,
        ],
        "@fake/denied": lambda: [
            LocalStep("note it: new", lambda: fail(PermissionError(errno.EACCES, "Permission denied", "/s/x"))),
            never,
        ],
        "@fake/lost": lambda: [LocalStep("note it: new", lambda: fail(StateError("it is lost", "find it"))), never],
    }}[host.name]()


@operation()
def work():
    yield from apply_steps(host, steps, "all is as it should be")


@operation()
def more():
    yield from apply_steps(host, lambda run: [Step("more: always", "run more")])


@atexit.register
def keep(host=getattr(host, "_get_module", lambda: host)()):
    with open(f"{{FOLDER}}/{{host.name.removeprefix('@fake/')}}.json", "w") as file:
        json.dump(host.connector.executed_commands, file)


current().machines[host.name] = Machine("root", 0.0, "debian ", "running", True)
work(name="work")
more(name="more")
"""

ANSWERS: Mapping[str, Mapping[str, object]] = {
    "three": {"run third": "one\ntwo"},
    "idle": {},
    "known": {"look": ["known|yes", "end"]},
    "unknown": {"look": {"success": False, "stdout": ["known|yes", "end"], "stderr": "stat: broken"}},
    "cut": {"look": ["known|yes"]},
    "conflict": {},
    "state": {},
    "authority": {},
    "odd": {},
    "colourful": {},
    "telling": {
        "run fail": {
            "success": False,
            "stdout": ["writing", "Read-only file system, said later"],
            "stderr": ["cp: preparing", "cp: error writing 'x': No space left on device", "cp: giving up"],
        }
    },
    "unheard": {"run fail": {"success": False, "stderr": ["first", "  the last one  ", " "]}},
    "wordless": {"run fail": {"success": False, "stdout": ["", " "]}},
    "on-stdout": {"run fail": {"success": False, "stdout": ["a", "bind: address already in use", "b"]}},
    "then": {},
    "full": {},
    "denied": {},
    "lost": {},
}
DONE = {
    "three": ["run first", "run third", "run more"],
    "idle": ["run more"],
    "known": ["look", "run known", "run more"],
}
DECIDED = (ROOT / "tasks/run/apply.py").read_text().splitlines().index(
    "        steps = list(decide(run))"
) + 1
"""The line that asks the operation of DEPLOY for its steps."""

UNREAD = "what this host has could not be read (see above), and unknown is not taken as absent; fix that and run again"
STOPPED = {
    "unknown": UNREAD,
    "cut": UNREAD,
    "conflict": "port 443 is taken by apache2 (pid 7); stop it and run again",
    "state": "the leaf is damaged; remove it",
    "authority": "a.b: not permitted by the name constraints; make another",
    "odd": f"unexpected KeyError at tasks/run/apply.py:{DECIDED}; report this line, and what is special about that host",
    "colourful": r"\x1b]0;x\x07/a\r\n\x1b[2J is no é; move it\u202e",
}
"""The hosts where nothing is decided, so nothing is begun."""

FAILED = {
    "telling": "could not fail: cp: error writing 'x': No space left on device; free space there (df -h, df -i) and run again",
    "unheard": "could not fail: the last one; fix that and run again",
    "wordless": "could not fail: it printed no error; fix that and run again",
    "on-stdout": "could not fail: bind: address already in use; "
    "stop the program that uses the port, or set registry_port, and run again",
    "then": "could not pull x: no digest of x; fix that and run again",
    "full": "could not note it: on this machine: /s/x: No space left on device; free space there (df -h, df -i) and run again",
    "denied": "could not note it: on this machine: /s/x: Permission denied; fix that and run again",
    "lost": "it is lost; find it",
}
BEGUN = {"then": ["run pull"], "full": [], "denied": [], "lost": []}


Carried = tuple[Ran, dict[str, list[str]]]


def carried_out(folder: Path, names: Collection[str], *arguments: str) -> Carried:
    """Run the deploy file on these hosts; return its output and the commands of each host."""
    hosts = [(f"@fake/{name}", {"fake_responses": ANSWERS[name]}) for name in names]
    (folder / f"{STEM}.py").write_text(f'registry = ["@fake/idle"]\ndocker_hosts = {hosts!r}\n')
    (folder / "carry.py").write_text(DEPLOY.format(folder=str(folder), secret=SECRET))
    state = ("--data", f"registry_state_dir={folder}/state")
    ran = pyinfra(*arguments, *state, str(folder / f"{STEM}.py"), str(folder / "carry.py"))
    return ran, {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which each of the three runs below has its own."""
    return tmp_path_factory.mktemp("carried")


@pytest.fixture(scope="module")
def carried(folder: Path) -> Mapping[str, Carried]:
    """A run on all hosts, a plan on those on which it finds out nothing bad, and one on two of the others."""
    given = {
        "run": ([*DONE, *STOPPED, *FAILED], ["-y", "-v"]),
        "plan": ([*DONE, *FAILED], ["--dry"]),
        "stopped-plan": (["idle", "conflict", "unknown", "odd"], ["--dry"]),
    }
    for name in given:
        (folder / name).mkdir()
    with ThreadPoolExecutor(4) as pool:
        begun = {
            name: pool.submit(carried_out, folder / name, hosts, *mode)
            for name, (hosts, mode) in given.items()
        }
        return {name: each.result() for name, each in begun.items()}


@pytest.fixture
def ran(carried: Mapping[str, Carried]) -> Carried:
    return carried["run"]


@pytest.fixture
def planned(carried: Mapping[str, Carried]) -> Carried:
    return carried["plan"]


def lines(carried: Carried, host: str) -> list[str]:
    """Return what `apply_steps` printed for a host, each line with its mark."""
    found = re.findall(rf"^  ([+x=]) \[@fake/{host}\] (.*?){printed.TIME}$", carried[0].output, re.MULTILINE)
    return [" ".join(each) for each in found]


def not_finished(carried: Carried) -> dict[str, list[str]]:
    after = carried[0].output.partition("Not finished:")[2]
    found: dict[str, list[str]] = {}
    for host, problem in re.findall(r"\[@fake/(\S+)\] +(.*)", after):
        found.setdefault(host, []).append(problem)
    return found


def test_a_run_takes_the_steps_in_their_order(ran: Carried) -> None:
    assert {host: ran[1][host] for host in DONE} == DONE


def test_each_step_is_printed_once_when_it_is_done(ran: Carried) -> None:
    said = r"first: .*|second: .*|third: .*|^took second$|^took third \(one\ntwo\)$"
    own = "\n".join(
        line for line in ran[0].output.splitlines() if "[@fake/" not in line or "[@fake/three]" in line
    )
    assert re.findall(said, own, re.MULTILINE) == [
        "first: it is missing",
        "took second",
        "second: it is missing",
        "took third (one\ntwo)",
        "third: it is missing",
    ]
    assert lines(ran, "three") == [
        "+ first: it is missing",
        "+ second: it is missing",
        "+ third: it is missing",
        "+ more: always",
    ]


def test_the_reason_for_doing_nothing_is_printed_with_v_alone(ran: Carried, planned: Carried) -> None:
    assert lines(ran, "idle") == ["= nothing to do: all is as it should be", "+ more: always"]
    assert lines(planned, "idle") == ["+ more: always"]


@pytest.mark.parametrize("host", STOPPED)
def test_what_stops_a_host_is_one_line_and_nothing_is_begun(ran: Carried, host: str) -> None:
    assert lines(ran, host) == []
    assert not_finished(ran)[host] == [STOPPED[host]]
    assert ran[0].output.count(f"[@fake/{host}] {STOPPED[host]}") == 1
    assert ran[1][host] == (["look"] if STOPPED[host] == UNREAD else [])


def test_a_plan_that_fails_on_hosts_asks_no_question_and_continues_on_the_others(
    carried: Mapping[str, Carried],
) -> None:
    plan = carried["stopped-plan"]
    assert "Traceback" not in plan[0].output
    assert "continue?" not in plan[0].output
    assert not_finished(plan) == {host: [STOPPED[host]] for host in ("conflict", "unknown", "odd")}
    assert lines(plan, "idle") == ["+ more: always"]


@pytest.mark.parametrize("host", FAILED)
def test_a_step_that_fails_is_one_line_and_nothing_comes_after_it(ran: Carried, host: str) -> None:
    *before, last = lines(ran, host)
    assert before == []
    assert re.fullmatch(r"x (fail|pull x|note it): .*", last)
    assert not_finished(ran)[host] == [FAILED[host]]
    assert ran[0].output.count(f"[@fake/{host}] {FAILED[host]}") == 1
    assert ran[1][host] == BEGUN.get(host, ["run fail"])


def test_a_run_with_failed_hosts_exits_with_1_and_names_only_them(ran: Carried) -> None:
    assert ran[0].exit_code == 1
    assert set(not_finished(ran)) == {*STOPPED, *FAILED}
    assert set(ran[1]) == set(ANSWERS)


def test_a_plan_prints_the_same_steps_and_runs_nothing_but_facts(ran: Carried, planned: Carried) -> None:
    assert {host: commands for host, commands in planned[1].items() if commands} == {"known": ["look"]}
    for host in DONE:
        assert lines(planned, host) == [line for line in lines(ran, host) if line[0] == "+"]
    for host in FAILED:  # of a failure it cannot know
        failing = [line.replace("x ", "+ ", 1) for line in lines(ran, host)]
        assert lines(planned, host) == [*failing, "+ never: not after that", "+ more: always"]
    assert "took" not in planned[0].output
    assert not_finished(planned) == {}
    assert planned[0].exit_code == 0


def test_neither_shows_a_traceback_or_anything_from_standard_input(ran: Carried, planned: Carried) -> None:
    for output, commands in (ran, planned):
        assert "Traceback" not in output.output
        assert SECRET not in output.output
        assert SECRET not in json.dumps(commands)


def test_neither_leaves_a_folder_of_a_state_in_which_nothing_was_written(
    folder: Path, carried: Mapping[str, Carried]
) -> None:
    assert not [name for name in carried if (folder / name / "state").exists()]
    assert list((folder / "run" / "state").glob("[!.]*")) == []
