"""Each stage of a rollover, and whether openssl verifies the chain that is then served with what hosts then trust."""

from __future__ import annotations

import datetime as dt
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.certificates import ca, rollover
from tasks.certificates.ca import AuthorityError, KeyPair
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
def old() -> KeyPair:
    return ca.make_authority(NAMES, 3650, NOW)


@pytest.fixture(scope="module")
def successor(old: KeyPair) -> Successor:
    """A successor, made 100 days later for one more name."""
    return rollover.make_successor(old, [*NAMES, OUTSIDE], 3650, day(100))


@pytest.mark.parametrize(
    ("switched", "retiring", "now", "stage", "until"),
    [
        (None, False, day(100), "distributing", None),
        (None, False, day(3649), "distributing", None),
        (None, False, day(3650), "retiring", None),  # the old CA has expired
        (day(110), False, day(110), "overlap", day(140)),
        (day(110), False, day(139), "overlap", day(140)),
        (day(110), False, day(140), "retiring", None),
        (day(110), False, day(1000), "retiring", None),
        (day(3640), False, day(3641), "overlap", day(3650)),  # ends when the old CA expires
        (day(110), True, day(110), "retiring", None),
    ],
)  # fmt: skip
def test_the_stage_follows_from_the_stored_rollover_and_the_day(
    old: KeyPair, successor: Successor, switched: dt.datetime | None, retiring: bool, now: dt.datetime,
    stage: str, until: dt.datetime | None,
) -> None:  # fmt: skip
    decided = replace(successor, issuing_since=switched and switched.date(), retiring_old=retiring)
    found = rollover.stage_at(old, decided, OVERLAP, now)
    assert (found.stage, found.overlap_ends) == (stage, until and until.date())
    assert found.invalid == ("expired on 2036-02-27" if now >= day(3650) else None)


def test_without_a_successor_there_is_no_rollover(old: KeyPair) -> None:
    found = rollover.stage_at(old, None, OVERLAP, day(1))
    assert (found.stage, found.issuer, found.chain, found.ca_bundle) == (None, old, "", old.certificate_pem)
    assert rollover.describe_progress(found) is None


def test_without_overlap_days_the_overlap_lasts_until_a_run_has_stored_its_end(
    old: KeyPair, successor: Successor
) -> None:
    switched = replace(successor, issuing_since=day(110).date())
    assert rollover.stage_at(old, switched, None, day(1000)).stage == "overlap"
    assert rollover.stage_at(old, replace(switched, retiring_old=True), None, day(111)).stage == "retiring"


STAGES = {
    "distributing": (None, False),
    "overlap": (day(110).date(), False),
    "retiring": (day(110).date(), True),
}


@pytest.fixture(params=STAGES)
def stage(request: pytest.FixtureRequest, old: KeyPair, successor: Successor) -> Authorities:
    switched, retiring = STAGES[request.param]
    return rollover.stage_at(
        old, replace(successor, issuing_since=switched, retiring_old=retiring), OVERLAP, day(111)
    )


EXPECTED = {
    # stage: (issuer, certificates in the chain, trusted CAs, whether clients connect that trust: old, both, new)
    "distributing": ("old", 0, ["old", "new"], (True, True, False)),
    "overlap": ("new", 1, ["old", "new"], (True, True, True)),
    "retiring": ("new", 1, ["new"], (True, True, True)),
}


def openssl_verify(
    folder: Path, leaf: KeyPair, chain: str, trusted: str, now: dt.datetime, *more: str
) -> str:
    """Return what `openssl verify` prints for a leaf and the chain that is sent after it."""
    for name, text in {"leaf": leaf.certificate_pem, "chain": chain, "trusted": trusted}.items():
        (folder / name).write_text(text)
    done = subprocess.run(
        ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-attime", str(int(now.timestamp()) + 60),
         "-no-CApath", "-no-CAstore", "-CAfile", "trusted", *(["-untrusted", "chain"] if chain else []),
         *(more or ("-verify_hostname", NAMES[0])), "leaf"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def test_who_connects_at_each_stage(
    old: KeyPair, successor: Successor, stage: Authorities, tmp_path: Path
) -> None:
    issuer, length, trusted, connects = EXPECTED[stage.stage or ""]
    pairs = {"old": old, "new": successor.ca}
    assert stage.issuer is pairs[issuer]
    assert stage.chain.count("BEGIN CERTIFICATE") == length
    assert stage.ca_bundle == "".join(pairs[name].certificate_pem for name in trusted)
    leaf = ca.make_leaf(stage.issuer, NAMES, 397, day(111))
    both = old.certificate_pem + successor.ca.certificate_pem
    stores = (old.certificate_pem, both, successor.ca.certificate_pem)
    for by in (("-verify_hostname", NAMES[0]), ("-verify_ip", NAMES[1])):
        told = [openssl_verify(tmp_path, leaf, stage.chain, store, day(111), *by) for store in stores]
        assert tuple(text.endswith("leaf: OK\n") for text in told) == connects, told


def test_the_cross_certificate_signs_the_new_key_while_both_cas_are_valid(
    old: KeyPair, successor: Successor
) -> None:
    assert successor.cross_certificate
    text = shown(KeyPair(successor.cross_certificate, successor.ca.key))
    assert section(text, "Basic Constraints") == "critical\nCA:TRUE, pathlen:0"
    assert section(text, "Key Usage") == "critical\nCertificate Sign, CRL Sign"
    assert section(text, "Name Constraints") == section(shown(successor.ca), "Name Constraints")
    assert "DNS:example.org" in section(text, "Name Constraints")
    of_new, of_old = (section(shown(pair), "Subject Key Identifier") for pair in (successor.ca, old))
    assert section(text, "Subject Key Identifier") == of_new
    assert section(text, "Authority Key Identifier") == of_old
    assert "Not Before: Jun  9 11:00:00 2026 GMT" in text  # the new one's, an hour before it was made
    assert "Not After : Feb 27 12:00:00 2036 GMT" in text  # the old one's
    subject, issuer = successor.cross_certificate.subject, successor.cross_certificate.issuer
    assert (subject, issuer) == (successor.ca.certificate.subject, old.certificate.subject)
    assert subject != issuer


def test_once_the_old_ca_has_expired_only_clients_that_trust_it_alone_fail(
    old: KeyPair, successor: Successor, tmp_path: Path
) -> None:
    switched = replace(successor, issuing_since=day(3640).date())
    leaf = ca.make_leaf(successor.ca, NAMES, 397, day(3640))
    before, after = (rollover.stage_at(old, switched, OVERLAP, day(count)) for count in (3649, 3651))
    assert openssl_verify(tmp_path, leaf, before.chain, old.certificate_pem, day(3649)).endswith("OK\n")
    assert "expired" in openssl_verify(tmp_path, leaf, before.chain, old.certificate_pem, day(3651))
    assert (after.chain, after.ca_bundle) == ("", successor.ca.certificate_pem)
    assert openssl_verify(tmp_path, leaf, after.chain, after.ca_bundle, day(3651)).endswith("OK\n")


def test_the_successor_of_an_expired_ca_replaces_it_at_once(old: KeyPair) -> None:
    made = rollover.make_successor(old, [*NAMES, OUTSIDE], 3650, day(3700))
    assert (made.cross_certificate, made.issuing_since, made.retiring_old) == (None, day(3700).date(), True)
    found = rollover.stage_at(old, made, OVERLAP, day(3700))
    assert (found.stage, found.issuer, found.chain) == ("retiring", made.ca, "")
    assert found.ca_bundle == made.ca.certificate_pem
    assert (found.names_for_leaf([*NAMES, OUTSIDE]), found.postponed_names([OUTSIDE])) == (
        [*NAMES, OUTSIDE],
        [],
    )


def test_names_that_the_old_ca_does_not_permit_come_once_it_is_retired(
    old: KeyPair, successor: Successor, stage: Authorities, tmp_path: Path
) -> None:
    assert (stage.names_for_leaf([*NAMES, OUTSIDE]), stage.postponed_names([*NAMES, OUTSIDE])) == (
        NAMES,
        [OUTSIDE],
    )
    ended = rollover.stage_at(successor.ca, None, OVERLAP, day(200))
    assert (ended.names_for_leaf([*NAMES, OUTSIDE]), ended.postponed_names([OUTSIDE])) == (
        [*NAMES, OUTSIDE],
        [],
    )
    # The reason: clients that trust only the old CA would reject the leaf for every name.
    leaf = ca.make_leaf(successor.ca, [*NAMES, OUTSIDE], 397, day(111))
    assert successor.cross_certificate
    cross = ca.to_pem(successor.cross_certificate)
    assert "permitted subtree violation" in openssl_verify(
        tmp_path, leaf, cross, old.certificate_pem, day(111)
    )
    assert openssl_verify(tmp_path, leaf, cross, successor.ca.certificate_pem, day(111)).endswith("OK\n")


def test_names_that_no_ca_permits_and_a_change_of_all_names_are_errors(stage: Authorities) -> None:
    with pytest.raises(
        AuthorityError, match=r"^registry\.example\.com: not permitted .* of the new .*make retire-ca"
    ):
        stage.names_for_leaf([*NAMES, "registry.example.com"])
    with pytest.raises(
        AuthorityError, match=r"^registry\.example\.org: not permitted .*needs a name that it permits"
    ):
        stage.names_for_leaf([OUTSIDE])


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (day(3650 - 366), None),
        (day(3650 - 365), "expires on 2036-02-27 (365 days left): run make rotate-ca"),
        (day(3650 - 20), "expires on 2036-02-27 (20 days left): run make rotate-ca"),
    ],
)
def test_a_year_before_a_ca_expires_every_run_warns(old: KeyPair, now: dt.datetime, said: str | None) -> None:
    told = rollover.expiry_warning(rollover.stage_at(old, None, OVERLAP, now), now)
    assert (told and told.removeprefix("the certificate authority ")) == said
    replaced = rollover.make_successor(old, NAMES, 3650, now)
    assert rollover.expiry_warning(rollover.stage_at(old, replaced, OVERLAP, now), now) is None


def test_progress_says_what_the_rollover_waits_for(stage: Authorities) -> None:
    said = rollover.describe_progress(stage) or ""
    assert {
        "distributing": "is not in use yet",
        "overlap": "until 2026-07-19",
        "retiring": "is deleted",
    }[stage.stage or ""] in said
    assert "\n" not in said


@pytest.mark.parametrize("kind", [k3s_rke2.K3S, k3s_rke2.RKE2])
def test_k3s_and_rke2_get_both_without_a_restart(
    old: KeyPair, successor: Successor, kind: Distribution
) -> None:
    """Their containerd reads the CA file at every pull."""
    both = old.certificate_pem + successor.ca.certificate_pem
    found = test_k3s_rke2.converged(kind)
    (step,) = test_k3s_rke2.steps(found, kind=kind, ca_pem=both)
    assert (step.text, step.stdin) == (f"write {kind.ca_file}: its content is not as it should be", both)
    found = test_k3s_rke2.with_file(found, kind.ca_file, both)
    (step,) = test_k3s_rke2.steps(found, kind=kind, ca_pem=successor.ca.certificate_pem)
    assert step.stdin == successor.ca.certificate_pem


def test_containerd_gets_both_without_a_restart(old: KeyPair, successor: Successor) -> None:
    both = old.certificate_pem + successor.ca.certificate_pem
    (step,) = test_containerd.steps(test_containerd.converged(), ca_pem=both)
    path = f"{test_containerd.FOLDER}/ca.crt"
    assert (step.text, step.stdin) == (f"write {path}: its content is not as it should be", both)


def test_a_file_with_both_cas_is_not_a_conflict(old: KeyPair, successor: Successor) -> None:
    both = old.certificate_pem + successor.ca.certificate_pem
    certs_d.check(["/x/ca.crt"], {"/x/ca.crt": both})


def test_builders_in_a_cluster_get_both(old: KeyPair, successor: Successor) -> None:
    both = old.certificate_pem + successor.ca.certificate_pem
    assert pull_secrets.ca(both).data == {"ca.crt": both}


@pytest.mark.parametrize(("switched", "retiring"), [*STAGES.values()])
def test_a_successor_that_is_not_valid_yet_is_abandoned_at_each_stage(
    old: KeyPair, successor: Successor, switched: dt.date | None, retiring: bool, tmp_path: Path
) -> None:
    """It was made while the clock was 50 days ahead."""
    now = day(50)
    decided = replace(successor, issuing_since=switched, retiring_old=retiring)
    found = rollover.stage_at(old, decided, OVERLAP, now)
    assert (found.stage, found.issuer, found.chain) == ("abandoned", old, "")
    assert found.ca_bundle == old.certificate_pem
    leaf = ca.make_leaf(found.issuer, found.names_for_leaf(NAMES), 397, now)
    assert openssl_verify(tmp_path, leaf, "", found.ca_bundle, now).endswith("leaf: OK\n")
    assert "not valid yet" in (rollover.describe_progress(found) or "")
    assert ca.cross_sign(old, successor.ca, now) is None


def test_a_ca_that_is_not_valid_yet_is_replaced_at_once(old: KeyPair) -> None:
    """No client accepts it, and so none would be cut off."""
    now = day(-200)
    assert rollover.stage_at(old, None, OVERLAP, now).invalid == (
        "is not valid before 2026-03-01 11:00 UTC (the clock was ahead when it was made)"
    )
    made = rollover.make_successor(old, NAMES, 3650, now)
    found = rollover.stage_at(old, made, OVERLAP, now)
    assert (found.stage, found.issuer, found.chain) == ("retiring", made.ca, "")
    assert found.ca_bundle == made.ca.certificate_pem


@pytest.mark.parametrize(
    ("ca_days", "leaf_days", "leaf_made", "now", "problem"),
    [
        (3650, 397, 3000, 3200, None),
        (3650, 397, 3400, 3559, None),
        (3650, 397, 3400, 3561, "the certificate authority in use expires on 2036-02-27 (89 days left)"),
        (3650, 397, 3400, 3700, "the certificate authority in use expires on 2036-02-27 (-50 days left)"),
        (60, 30, 20, 39, None),  # made for a short life
        (60, 30, 20, 41, "the certificate authority in use expires on 2026-04-30 (19 days left)"),
        (3650, 30, 1000, 1019, None),
        (3650, 30, 1000, 1021, "the registry's certificate expires on 2028-12-25 and could not be renewed"),
    ],
)
def test_what_a_person_has_to_prevent_while_there_is_time(
    ca_days: int, leaf_days: int, leaf_made: int, now: int, problem: str | None
) -> None:
    made = ca.make_authority(NAMES, ca_days, NOW)
    leaf = ca.make_leaf(made, NAMES, leaf_days, day(leaf_made)).certificate
    found = rollover.stage_at(made, None, OVERLAP, day(now))
    assert rollover.expiry_problem(found, leaf, leaf_days // 3, day(now)) == problem


def test_a_rollover_that_waits_for_a_host_does_not_hide_the_end_of_the_ca_in_use(
    old: KeyPair, successor: Successor
) -> None:
    now = day(3600)
    distributing = rollover.stage_at(old, successor, OVERLAP, now)
    leaf = ca.make_leaf(old, NAMES, 397, day(3500)).certificate
    assert "the certificate authority in use expires" in (
        rollover.expiry_problem(distributing, leaf, 132, now) or ""
    )
    overlap = rollover.stage_at(old, replace(successor, issuing_since=day(3590).date()), OVERLAP, now)
    leaf = ca.make_leaf(successor.ca, NAMES, 397, day(3590)).certificate
    assert rollover.expiry_problem(overlap, leaf, 132, now) is None
