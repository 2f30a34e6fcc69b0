"""The system's trust store: what a real sh and awk read of it, and the steps that follow."""

from __future__ import annotations

import datetime as dt
import hashlib
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tasks.certificates import ca
from tasks.clients import facts, system_trust
from tasks.clients import plan as client_hosts
from tasks.clients.system_trust import ARCH, DEBIAN, RHEL, Family, TrustStore
from tasks.remote.fact_scripts import read_answer, script
from tasks.remote.files import Observed
from tasks.remote.steps import Conflict
from tasks.settings.load import HostSettings

NOW = dt.datetime.now(dt.UTC)
OLD, NEW, STRANGE = (ca.make_authority(["registry.homelab.local"], 3650, NOW) for _ in range(3))
FAMILIES = [DEBIAN, RHEL, ARCH]


def der(pair: ca.KeyPair) -> bytes:
    return pair.certificate.public_bytes(Encoding.DER)


def file(pair: ca.KeyPair) -> Observed:
    digest = hashlib.sha256(pair.certificate_pem.encode()).hexdigest()
    return Observed("regular file", "644", 0, 0, 1.0, 1, digest)


FOLDER = Observed("directory", "755", 0, 0, 5.0, 2, None)
STORE = Observed("regular file", "644", 0, 0, 6.0, 3, "")
"""Made after the last change in the folder."""


def first(family: Family) -> str:
    return f"{family.folder}/homelab-registry.crt"


def second(family: Family) -> str:
    return f"{family.folder}/homelab-registry-2.crt"


def found(family: Family, *pairs: ca.KeyPair) -> TrustStore:
    """A host that has these certificates everywhere."""
    written = dict(zip([first(family), second(family)], pairs, strict=False))
    made = {family.folder: FOLDER, family.store: STORE, **{p: file(pair) for p, pair in written.items()}}
    return TrustStore(
        paths={**dict.fromkeys(system_trust.paths(family)), **made},
        stored=frozenset(map(der, pairs)),
        anchors={path: frozenset([der(pair)]) for path, pair in written.items()},
        hashed=frozenset(written) if family.hashes else frozenset(),
    )


def texts(family: Family, pem: str, there: TrustStore) -> list[str]:
    return [step.text for step in system_trust.steps(family, pem, there)]


@pytest.mark.parametrize(
    ("words", "family"),
    [
        ("debian ", DEBIAN),
        ("ubuntu debian", DEBIAN),
        ("raspbian debian", DEBIAN),
        ("linuxmint ubuntu debian", DEBIAN),
        ("fedora ", RHEL),
        ("rocky rhel centos fedora", RHEL),
        ("arch ", ARCH),
        ("manjaro arch", ARCH),
    ],
)
def test_families(words: str, family: Family) -> None:
    assert system_trust.family_of(words) is family
    assert client_hosts.family(HostSettings(registry_system_trust=True), words) is family
    assert client_hosts.family(HostSettings(), words) is None


@pytest.mark.parametrize(("words", "name"), [("opensuse-leap suse", "opensuse-leap"), ("", "this system")])
def test_an_unknown_family_is_a_conflict(words: str, name: str) -> None:
    with pytest.raises(Conflict) as stop:
        client_hosts.family(HostSettings(registry_system_trust=True), words)
    assert stop.value.problem == f"registry_system_trust: the trust store of {name} is not known"
    assert client_hosts.family(HostSettings(), words) is None


def test_the_paths_of_the_certificates() -> None:
    assert [first(family) for family in FAMILIES] == [
        "/usr/local/share/ca-certificates/homelab-registry.crt",
        "/etc/pki/ca-trust/source/anchors/homelab-registry.crt",
        "/etc/ca-certificates/trust-source/anchors/homelab-registry.crt",
    ]
    assert system_trust.paths(ARCH) == [
        "/etc/ca-certificates/extracted/tls-ca-bundle.pem",
        "/etc/ca-certificates/trust-source/anchors",
        first(ARCH),
        second(ARCH),
        "/etc/ca-certificates/trust-source/anchors/.homelab-registry.crt.homelab-new",
        "/etc/ca-certificates/trust-source/anchors/.homelab-registry-2.crt.homelab-new",
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_ca_rollover(family: Family) -> None:
    """None, one, old and new, the new one alone."""
    one, both = OLD.certificate_pem, OLD.certificate_pem + NEW.certificate_pem
    refresh = f"refresh {family.store}: "
    assert texts(family, one, found(family)) == [
        f"write {first(family)}: it is missing",
        f"{refresh}our certificate is not in it",
    ]
    assert texts(family, one, found(family, OLD)) == []
    assert texts(family, both, found(family, OLD)) == [
        f"write {second(family)}: it is missing",
        f"{refresh}our certificate is not in it",
    ]
    assert texts(family, both, found(family, OLD, NEW)) == []
    retired = system_trust.steps(family, NEW.certificate_pem, found(family, OLD, NEW))
    assert [step.text for step in retired] == [
        f"write {first(family)}: its content is not as it should be",
        f"remove {second(family)}: its certificate is no longer wanted",
        f"{refresh}it holds a certificate that is no longer wanted",
    ]
    assert retired[0].stdin == NEW.certificate_pem
    assert retired[2].script == f"{{ {family.refresh}; }} >/dev/null"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_refresh_follows_from_the_store_alone(family: Family) -> None:
    """A run may be killed between a file and the refresh."""
    right = found(family, NEW)
    refresh = f"refresh {family.store}: "
    lacking = replace(right, stored=frozenset())
    assert texts(family, NEW.certificate_pem, lacking) == [f"{refresh}our certificate is not in it"]
    killed = {**right.paths, family.folder: replace(FOLDER, modified=6.5)}
    stale = replace(right, stored=frozenset([der(OLD), der(NEW)]), paths=killed)
    assert texts(family, NEW.certificate_pem, stale) == [
        f"{refresh}it holds a certificate that is no longer wanted"
    ]
    other = {**stale.anchors, f"{family.folder}/other.crt": frozenset([der(OLD)])}
    assert texts(family, NEW.certificate_pem, replace(stale, anchors=other)) == []
    unhashed = replace(right, hashed=frozenset())
    assert texts(family, NEW.certificate_pem, unhashed) == (
        [f"{refresh}OpenSSL does not find our certificate by its hash"] if family is DEBIAN else []
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_a_certificate_from_another_file_is_no_reason_to_refresh_at_every_run(
    family: Family,
) -> None:
    """Our old certificate stays in the store after a refresh if another file has it: a further refresh would not help."""
    refresh = f"refresh {family.store}: "
    retiring = replace(found(family, OLD, NEW), stored=frozenset([der(OLD), der(NEW)]))
    first_run = texts(family, NEW.certificate_pem, retiring)
    assert first_run[-1] == f"{refresh}it holds a certificate that is no longer wanted"
    left = replace(found(family, NEW), stored=frozenset([der(OLD), der(NEW)]))
    for store in (STORE, replace(STORE, modified=5.0)):
        assert (
            texts(family, NEW.certificate_pem, replace(left, paths={**left.paths, family.store: store})) == []
        )
    removed = {**left.paths, second(family): file(OLD)}
    assert texts(family, NEW.certificate_pem, replace(left, paths=removed)) == [
        f"remove {second(family)}: its certificate is no longer wanted",
        f"{refresh}it holds a certificate that is no longer wanted",
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_wrong_with_a_file(family: Family) -> None:
    right = found(family, NEW)
    path = first(family)
    half = f"{family.folder}/.homelab-registry.crt.homelab-new"
    wrong = replace(right, paths={**right.paths, path: replace(file(NEW), mode="600"), half: file(NEW)})
    assert texts(family, NEW.certificate_pem, wrong) == [
        f"remove {half}: a run was killed while writing it",
        f"set owner and mode of {path}: its mode is 0600, not 0644",
    ]
    changed = replace(right, paths={**right.paths, path: file(OLD)})
    assert texts(family, NEW.certificate_pem, changed) == [
        f"write {path}: its content is not as it should be",
        f"refresh {family.store}: a certificate in it changes",
    ]


@pytest.mark.parametrize(
    ("family", "program", "package"),
    [(DEBIAN, "update-ca-certificates", "ca-certificates"), (RHEL, "update-ca-trust", "ca-certificates"),
     (ARCH, "trust", "p11-kit")],
)  # fmt: skip
def test_nothing_is_done_without_the_program(family: Family, program: str, package: str) -> None:
    with pytest.raises(Conflict) as stop:
        texts(family, NEW.certificate_pem, replace(found(family), refresher=False))
    assert program in stop.value.problem
    assert stop.value.remedy == f"install {package} there and run again"
    assert texts(family, NEW.certificate_pem, replace(found(family, NEW), refresher=False)) == []


# What a real sh tells.


def told(family: Family, folder: Path) -> TrustStore:
    """Run the lines with all their paths below a folder."""
    text = script(facts.emit(family))
    for part in ("/usr/local", "/etc/"):
        text = text.replace(part, f"{folder}{part}")
    done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    store = facts.read(read_answer(done.stdout.split("\n"))).store
    assert store
    return store


def write(folder: Path, path: str, *texts: str) -> None:
    target = Path(f"{folder}{path}")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("".join(texts))


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_there(family: Family, tmp_path: Path) -> None:
    there = replace(told(family, tmp_path), refresher=True)
    assert there == TrustStore(dict.fromkeys(f"{tmp_path}{path}" for path in system_trust.paths(family)))


@pytest.mark.parametrize("family", FAMILIES)
def test_only_our_certificates_are_printed(family: Family, tmp_path: Path) -> None:
    """Among the certificates of this machine's store, with any line width, and text around them."""
    system = Path("/etc/ssl/certs/ca-certificates.crt").read_text()
    wide = NEW.certificate_pem.replace("\n", "").replace("CERTIFICATE-----", "CERTIFICATE-----\n", 1)
    wide = wide.replace("-----END", "\n-----END") + "\n"
    write(tmp_path, family.store, system, "# x\n", OLD.certificate_pem.replace("\n", "\r\n"), wide)
    write(tmp_path, first(family), NEW.certificate_pem)
    write(tmp_path, f"{family.folder}/a b|c.crt", "text\n", OLD.certificate_pem, STRANGE.certificate_pem)
    write(tmp_path, f"{family.folder}/damaged.crt", NEW.certificate_pem[:-40])
    there = told(family, tmp_path)
    assert there.stored == {der(OLD), der(NEW)}
    assert {path.removeprefix(str(tmp_path)): held for path, held in there.anchors.items()} == {
        first(family): {der(NEW)},
        f"{family.folder}/a b|c.crt": {der(OLD), der(STRANGE)},
    }
    assert there.hashed == frozenset()
    assert (
        x509.load_der_x509_certificate(min(there.stored)).subject
        == min(OLD, NEW, key=der).certificate.subject
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_anchors_are_the_files_that_the_family_s_program_reads(family: Family, tmp_path: Path) -> None:
    """update-ca-certificates descends and follows links (its find -L), and takes nothing but `.crt`."""
    write(tmp_path, f"{family.folder}/other/deep er/a.crt", OLD.certificate_pem)
    write(tmp_path, f"{family.folder}/b.pem", NEW.certificate_pem)
    write(tmp_path, f"{family.folder}/.hidden", NEW.certificate_pem)
    write(tmp_path, "/elsewhere/d.crt", STRANGE.certificate_pem)
    Path(f"{tmp_path}{family.folder}/c.crt").symlink_to(tmp_path / "elsewhere/d.crt")
    Path(f"{tmp_path}{family.folder}/gone.crt").symlink_to("nowhere")
    told_of = {
        path.removeprefix(f"{tmp_path}{family.folder}/"): held
        for path, held in told(family, tmp_path).anchors.items()
    }
    deep = {"other/deep er/a.crt": {der(OLD)}}
    flat = {"b.pem": {der(NEW)}}
    assert told_of == {"c.crt": {der(STRANGE)}, **(deep if family is DEBIAN else flat)}


def test_links_by_hash_are_found_as_openssl_finds_them(tmp_path: Path) -> None:
    write(tmp_path, first(DEBIAN), NEW.certificate_pem)
    write(tmp_path, "/etc/ssl/certs/x.pem", NEW.certificate_pem)
    assert told(DEBIAN, tmp_path).hashed == frozenset()
    subprocess.run(["openssl", "rehash", f"{tmp_path}/etc/ssl/certs"], check=True, capture_output=True)
    assert told(DEBIAN, tmp_path).hashed == {f"{tmp_path}{first(DEBIAN)}"}
    write(tmp_path, first(DEBIAN), OLD.certificate_pem)
    assert told(DEBIAN, tmp_path).hashed == frozenset()


@pytest.mark.parametrize("before", range(3))
def test_our_name_is_found_at_any_offset_in_base64(before: int) -> None:
    """The name may begin at any of the three offsets in a group."""
    lengths = [".".join(["a" * (3 + before), "homelab", "local"]), "x.local"]
    for name in lengths:
        pem = ca.make_authority([name], 10, NOW).certificate_pem
        text = "".join(pem.splitlines()[1:-1])
        assert any(form in text for form in system_trust._forms())
