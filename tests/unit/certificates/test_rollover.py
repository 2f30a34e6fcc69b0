"""What holds at each stage of a rollover, and that openssl takes what is then served for what hosts then trust."""

from __future__ import annotations

import datetime as dt
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.certificates import ca, rollover
from tasks.certificates.ca import AuthorityError, Pair
from tasks.certificates.rollover import Authorities, Successor
from tasks.clients import certs_d
from tasks.cluster_control import pull_secrets
from tasks.cluster_nodes.runtimes import k3s_rke2
from tasks.cluster_nodes.runtimes.k3s_rke2 import Distribution
from tests.unit.certificates.test_ca import section, shown
from tests.unit.cluster_nodes.runtimes import test_containerd, test_k3s_rke2

NOW = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
NAMES = ["registry.homelab.local", "192.168.1.10"]
OUTSIDE = "registry.example.org"
OVERLAP = 30


def day(count: float) -> dt.datetime:
    return NOW + dt.timedelta(days=count)


@pytest.fixture(scope="module")
def old() -> Pair:
    return ca.make_authority(NAMES, 3650, NOW)


@pytest.fixture(scope="module")
def begun(old: Pair) -> Successor:
    """A successor, made 100 days later for a name more."""
    return rollover.succeed(old, [*NAMES, OUTSIDE], 3650, day(100))


@pytest.mark.parametrize(
    ("switched", "retiring", "now", "stage", "until"),
    [
        (None, False, day(100), "spreading", None),
        (None, False, day(3649), "spreading", None),
        (None, False, day(3650), "retiring", None),  # the old one has run out
        (day(110), False, day(110), "overlap", day(140)),
        (day(110), False, day(139), "overlap", day(140)),
        (day(110), False, day(140), "retiring", None),
        (day(110), False, day(1000), "retiring", None),
        (day(3640), False, day(3641), "overlap", day(3650)),  # not longer than it lives
        (day(110), True, day(110), "retiring", None),
    ],
)  # fmt: skip
def test_the_stage_follows_from_what_was_decided_and_the_day(
    old: Pair, begun: Successor, switched: dt.datetime | None, retiring: bool, now: dt.datetime,
    stage: str, until: dt.datetime | None,
) -> None:  # fmt: skip
    successor = replace(begun, switched=switched and switched.date(), retiring=retiring)
    found = rollover.stage_at(old, successor, OVERLAP, now)
    assert (found.stage, found.until) == (stage, until and until.date())
    assert found.ran_out is (now >= day(3650))


def test_without_a_successor_there_is_no_rollover(old: Pair) -> None:
    found = rollover.stage_at(old, None, OVERLAP, day(1))
    assert (found.stage, found.issuer, found.chain, found.trusted) == (None, old, "", old.certificate_pem)
    assert rollover.pending(found) is None


def test_the_verification_takes_an_overlap_for_one_until_a_run_has_ended_it(
    old: Pair, begun: Successor
) -> None:
    switched = replace(begun, switched=day(110).date())
    assert rollover.stage_at(old, switched, None, day(1000)).stage == "overlap"
    assert rollover.stage_at(old, replace(switched, retiring=True), None, day(111)).stage == "retiring"


STAGES = {
    "spreading": (None, False),
    "overlap": (day(110).date(), False),
    "retiring": (day(110).date(), True),
}


@pytest.fixture(params=STAGES)
def stage(request: pytest.FixtureRequest, old: Pair, begun: Successor) -> Authorities:
    switched, retiring = STAGES[request.param]
    return rollover.stage_at(old, replace(begun, switched=switched, retiring=retiring), OVERLAP, day(111))


EXPECTED = {
    # stage: (issuer, certificates in the chain, trusted, connects: old alone, both, new alone)
    "spreading": ("old", 0, ["old", "new"], (True, True, False)),
    "overlap": ("new", 1, ["old", "new"], (True, True, True)),
    "retiring": ("new", 1, ["new"], (True, True, True)),
}


def verified(folder: Path, leaf: Pair, chain: str, trusted: str, now: dt.datetime, *more: str) -> str:
    """What openssl says of a leaf with what is sent behind it, by the name and strictly."""
    for name, text in {"leaf": leaf.certificate_pem, "chain": chain, "trusted": trusted}.items():
        (folder / name).write_text(text)
    done = subprocess.run(
        ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-attime", str(int(now.timestamp()) + 60),
         "-no-CApath", "-no-CAstore", "-CAfile", "trusted", *(["-untrusted", "chain"] if chain else []),
         *(more or ("-verify_hostname", NAMES[0])), "leaf"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def test_who_connects_at_each_stage(old: Pair, begun: Successor, stage: Authorities, tmp_path: Path) -> None:
    issuer, length, trusted, connects = EXPECTED[stage.stage or ""]
    pairs = {"old": old, "new": begun.pair}
    assert stage.issuer is pairs[issuer]
    assert stage.chain.count("BEGIN CERTIFICATE") == length
    assert stage.trusted == "".join(pairs[name].certificate_pem for name in trusted)
    leaf = ca.make_leaf(stage.issuer, NAMES, 397, day(111))
    both = old.certificate_pem + begun.pair.certificate_pem
    stores = (old.certificate_pem, both, begun.pair.certificate_pem)
    for by in (("-verify_hostname", NAMES[0]), ("-verify_ip", NAMES[1])):
        told = [verified(tmp_path, leaf, stage.chain, store, day(111), *by) for store in stores]
        assert tuple(text.endswith("leaf: OK\n") for text in told) == connects, told


def test_the_cross_certificate_is_for_the_new_key_while_both_are_good(old: Pair, begun: Successor) -> None:
    assert begun.cross
    text = shown(Pair(begun.cross, begun.pair.key))
    assert section(text, "Basic Constraints") == "critical\nCA:TRUE, pathlen:0"
    assert section(text, "Key Usage") == "critical\nCertificate Sign, CRL Sign"
    assert section(text, "Name Constraints") == section(shown(begun.pair), "Name Constraints")
    assert "DNS:example.org" in section(text, "Name Constraints")
    of_new, of_old = (section(shown(pair), "Subject Key Identifier") for pair in (begun.pair, old))
    assert section(text, "Subject Key Identifier") == of_new
    assert section(text, "Authority Key Identifier") == of_old
    assert "Not Before: Jun  9 11:00:00 2026 GMT" in text  # the new one's, an hour before it was made
    assert "Not After : Feb 27 12:00:00 2036 GMT" in text  # the old one's
    subject, issuer = begun.cross.subject, begun.cross.issuer
    assert (subject, issuer) == (begun.pair.certificate.subject, old.certificate.subject)
    assert subject != issuer


def test_clients_of_the_old_one_are_cut_off_when_it_has_run_out_and_others_are_not(
    old: Pair, begun: Successor, tmp_path: Path
) -> None:
    switched = replace(begun, switched=day(3640).date())
    leaf = ca.make_leaf(begun.pair, NAMES, 397, day(3640))
    before, after = (rollover.stage_at(old, switched, OVERLAP, day(count)) for count in (3649, 3651))
    assert verified(tmp_path, leaf, before.chain, old.certificate_pem, day(3649)).endswith("OK\n")
    assert "expired" in verified(tmp_path, leaf, before.chain, old.certificate_pem, day(3651))
    assert (after.chain, after.trusted) == ("", begun.pair.certificate_pem)
    assert verified(tmp_path, leaf, after.chain, after.trusted, day(3651)).endswith("OK\n")


def test_the_successor_of_one_that_has_run_out_stands_alone_at_once(old: Pair) -> None:
    made = rollover.succeed(old, [*NAMES, OUTSIDE], 3650, day(3700))
    assert (made.cross, made.switched, made.retiring) == (None, day(3700).date(), True)
    found = rollover.stage_at(old, made, OVERLAP, day(3700))
    assert (found.stage, found.issuer, found.chain) == ("retiring", made.pair, "")
    assert found.trusted == made.pair.certificate_pem
    assert (found.servable([*NAMES, OUTSIDE]), found.to_come([OUTSIDE])) == ([*NAMES, OUTSIDE], [])


def test_names_beyond_the_old_one_come_in_at_its_end(
    old: Pair, begun: Successor, stage: Authorities, tmp_path: Path
) -> None:
    assert (stage.servable([*NAMES, OUTSIDE]), stage.to_come([*NAMES, OUTSIDE])) == (NAMES, [OUTSIDE])
    ended = rollover.stage_at(begun.pair, None, OVERLAP, day(200))
    assert (ended.servable([*NAMES, OUTSIDE]), ended.to_come([OUTSIDE])) == ([*NAMES, OUTSIDE], [])
    # The reason: clients that know the old one alone would refuse the leaf for every name.
    leaf = ca.make_leaf(begun.pair, [*NAMES, OUTSIDE], 397, day(111))
    assert begun.cross
    cross = ca.pem(begun.cross)
    assert "permitted subtree violation" in verified(tmp_path, leaf, cross, old.certificate_pem, day(111))
    assert verified(tmp_path, leaf, cross, begun.pair.certificate_pem, day(111)).endswith("OK\n")


def test_names_beyond_both_and_a_change_of_all_names_are_refused(stage: Authorities) -> None:
    with pytest.raises(AuthorityError, match=r"^registry\.example\.com: outside what the new .*retire_ca"):
        stage.servable([*NAMES, "registry.example.com"])
    with pytest.raises(AuthorityError, match=r"^registry\.example\.org: .*no other name is left"):
        stage.servable([OUTSIDE])


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (day(3650 - 366), None),
        (day(3650 - 365), "runs out on 2036-02-27 (365 days left): run deploys/rotate_ca.py"),
        (day(3650 - 20), "runs out on 2036-02-27 (20 days left): run deploys/rotate_ca.py"),
    ],
)
def test_a_year_before_its_end_every_run_says_so(old: Pair, now: dt.datetime, said: str | None) -> None:
    told = rollover.warning(rollover.stage_at(old, None, OVERLAP, now), now)
    assert (told and told.removeprefix("the certificate authority ")) == said
    replaced = rollover.succeed(old, NAMES, 3650, now)
    assert rollover.warning(rollover.stage_at(old, replaced, OVERLAP, now), now) is None


def test_what_is_still_to_come_is_said(stage: Authorities) -> None:
    said = rollover.pending(stage) or ""
    assert {"spreading": "does not serve yet", "overlap": "until 2026-07-19", "retiring": "is dropped"}[
        stage.stage or ""
    ] in said
    assert "\n" not in said


@pytest.mark.parametrize("kind", [k3s_rke2.K3S, k3s_rke2.RKE2])
def test_k3s_and_rke2_get_both_without_a_restart(old: Pair, begun: Successor, kind: Distribution) -> None:
    """Their containerd reads the file at every pull."""
    both = old.certificate_pem + begun.pair.certificate_pem
    found = test_k3s_rke2.converged(kind)
    (step,) = test_k3s_rke2.steps(found, kind=kind, ca_pem=both)
    assert (step.text, step.stdin) == (f"write {kind.ca_file}: its content is not as it should be", both)
    found = test_k3s_rke2.with_file(found, kind.ca_file, both)
    (step,) = test_k3s_rke2.steps(found, kind=kind, ca_pem=begun.pair.certificate_pem)
    assert step.stdin == begun.pair.certificate_pem


def test_containerd_gets_both_without_a_restart(old: Pair, begun: Successor) -> None:
    both = old.certificate_pem + begun.pair.certificate_pem
    (step,) = test_containerd.steps(test_containerd.converged(), ca_pem=both)
    path = f"{test_containerd.FOLDER}/ca.crt"
    assert (step.text, step.stdin) == (f"write {path}: its content is not as it should be", both)


def test_a_file_with_both_holds_no_certificate_of_another_authority(old: Pair, begun: Successor) -> None:
    both = old.certificate_pem + begun.pair.certificate_pem
    certs_d.check(["/x/ca.crt"], {"/x/ca.crt": both})


def test_builders_in_a_cluster_get_both(old: Pair, begun: Successor) -> None:
    both = old.certificate_pem + begun.pair.certificate_pem
    assert pull_secrets.ca(both).data == {"ca.crt": both}
