"""Nothing is deleted unless it was asked for, is allowed, and it is known what every host uses."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

from tests import printed
from tests.operations.runs import Ran, pyinfra
from tests.operations.test_command_line import STEM, answering_hosts

DEPLOY = "deploys/make_room.py"


def encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


NOTHING_STORED = ["absent|", "end"]
OFF = [
    f"unread|{encoded('Docker Engine')}|{encoded('it is off, and has containers in /var/lib/docker')}",
    "end",
]
AWAY = '("127.0.0.1", {"ssh_port": 1, "ssh_user": "root"})'


def plan(folder: Path, deploy: str, *more: str, used: list[str] | None = None, also: str = "") -> Ran:
    """Plan on hosts that answer what they use, and a registry that has nothing yet."""
    answers = {"ask_containerd": used or ["end"], "find -L repositories": NOTHING_STORED}
    hosts = answering_hosts().replace("_answers = {", f"_answers = {str(answers)[:-1]}, ")
    if also:
        hosts = hosts.replace("docker_hosts = [", f"docker_hosts = [{also}, ")
    (folder / f"{STEM}.py").write_text(hosts)
    state = folder / "state"
    return pyinfra(
        "--dry", *more, "--data", f"registry_state_dir={state}", str(folder / f"{STEM}.py"), deploy
    )


def test_an_empty_registry_has_no_tag_to_delete(tmp_path: Path) -> None:
    ran = plan(tmp_path, DEPLOY)
    assert ran.exit_code == 0, ran.output
    assert (
        "0 tags to delete, which frees 0 B; 0 tags to keep; hosts that are not in the inventory are not"
        in ran.output
    )


def test_an_engine_that_is_off_and_a_host_that_is_away_end_it(tmp_path: Path) -> None:
    ran = plan(tmp_path, DEPLOY, used=OFF, also=AWAY)
    off = "Docker Engine: it is off, and has containers in /var/lib/docker"
    (problem,) = [line for line in printed.not_finished(ran.output) if "nothing is deleted" in line]
    start, _, rest = problem.partition(": ")
    assert start == "[@fake/nas] what is in use is not known, so nothing is deleted"
    unread, _, remedy = rest.partition("; ")
    assert sorted(unread.split(", ")) == sorted(
        [
            "127.0.0.1 was not reached",
            *(each for name in ("nas", "pi") for each in f"@fake/{name}: {off}".split(", ")),
        ]
    )
    assert remedy.startswith("fix that and run again; if a host is gone for good, make make-room ")
    excused = plan(tmp_path, DEPLOY, "--data", "registry_excused_hosts=127.0.0.1", also=AWAY)
    assert "0 tags to delete" in excused.output


def test_with_deletes_off_it_is_refused(tmp_path: Path) -> None:
    ran = plan(tmp_path, DEPLOY, "--data", "registry_delete_enabled=False")
    assert printed.not_finished(ran.output) == [
        "[@fake/nas] registry_delete_enabled is off, so nothing is deleted; set it to True and run again"
    ]


def test_without_protection_nobody_is_asked_and_it_says_so(tmp_path: Path) -> None:
    ran = plan(tmp_path, DEPLOY, "--data", "registry_keep_running=False", used=OFF)
    assert "0 tags to keep; registry_keep_running is off: what runs may go" in ran.output


def test_a_usual_run_deletes_nothing_and_asks_nobody(tmp_path: Path) -> None:
    (rules := tmp_path / "group_data").mkdir()
    (rules / f"{STEM}.py").write_text('registry_retention = [{"repositories": "*", "keep_last": 1}]\n')
    ran = plan(tmp_path, "deploy.py", used=OFF)
    assert ran.exit_code == 0, ran.output
    assert "to keep" not in ran.output
