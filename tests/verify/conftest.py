"""Fixtures of the verification, and one line for each failure."""

from __future__ import annotations

import datetime as dt
import secrets
import warnings
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

with warnings.catch_warnings():
    # pyinfra's command line patches the standard library for gevent, and pytest's plugins have used it by now.
    warnings.simplefilter("ignore")
    import pyinfra_cli  # noqa: F401

from tasks.certificates.ca import subject_alt_names
from tasks.certificates.rollover import Authorities
from tasks.clients import answers, mirrors
from tasks.registry import cache, keeper, metrics
from tasks.registry.address import LOOK, choose, read_addresses, told
from tasks.registry.containers import GATEWAY, REGISTRY
from tasks.remote.fact_scripts import read_answer
from tasks.settings.load import Settings
from tasks.state.store import State, Store
from tasks.verbs import with_inventory
from tests.verify import deployment as deployments
from tests.verify.backend import Host, Unreachable
from tests.verify.client import Client
from tests.verify.deployed import Deployed
from tests.verify.deployment import Deployment

HERE = Path(__file__).resolve().parent
FOUND = pytest.StashKey[Deployment]()
SHORT = pytest.StashKey[bool]()
NOTES = pytest.StashKey[list[str]]()
FAILURE = "homelab-verify"
SUBJECTS: dict[str, Callable[[Deployment], list[str]]] = {
    "client_host": lambda found: found.clients,
    "docker_host": lambda found: found.group("docker_hosts"),
    "node": lambda found: found.group("cluster_nodes"),
    "control_host": lambda found: found.group("cluster_control"),
    "backup_host": lambda found: found.group("backup_hosts"),
    "login_host": lambda found: [
        name for name in found.group("docker_hosts") if found.of(name).registry_login_users
    ],
    "caching_host": lambda found: [
        name
        for name in found.group("docker_hosts")
        if mirrors.mirror(found.configuration.settings, found.of(name))
    ],
    "caching_node": lambda found: [
        name
        for name in found.group("cluster_nodes")
        if mirrors.mirror(found.configuration.settings, found.of(name))
    ],
    "trusting_host": lambda found: [name for name in found.clients if found.of(name).registry_system_trust],
}
"""The hosts of each fixture; a test that takes one runs once for each of them."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--inventory", default="inventories/local.py", help="verify the deployment of this inventory"
    )
    parser.addoption("--deep", action="store_true", help="read every byte of the images, too")


def pytest_configure(config: pytest.Config) -> None:
    if _only_verification(config) and config.option.tbstyle == "auto":
        config.option.tbstyle = "no"
        config.option.reportchars = ""
        config.stash[SHORT] = True


def pytest_sessionstart(session: pytest.Session) -> None:
    if _only_verification(session.config) and not session.config.option.collectonly:
        try:
            _find(session.config)
        except ValueError as error:
            lines = with_inventory(str(error), session.config.option.inventory).splitlines()
            raise pytest.UsageError(*lines) from None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for fixture, names in _subjects(metafunc.config, plain="unmanaged" in metafunc.fixturenames).items():
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, names, indirect=True, scope="session")
    if "upstream" in metafunc.fixturenames:
        metafunc.parametrize("upstream", _upstreams(metafunc.config))
    if "reader" in metafunc.fixturenames:
        metafunc.parametrize("reader", _readers(metafunc.config))
    if "container" in metafunc.fixturenames:
        metafunc.parametrize("container", _containers(metafunc.config), indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out tests without a host: a skipped test would look like one that should have run."""
    items[:] = [item for item in items if _has_host(item)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and call.excinfo:
        report.user_properties.append(
            (FAILURE, with_inventory(_in_one_line(call.excinfo), item.config.option.inventory))
        )
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print each problem once, however many tests found it."""
    if terminalreporter.config.stash.get(SHORT, False):
        tests: dict[str, list[str]] = {}
        for report in (*terminalreporter.getreports("error"), *terminalreporter.getreports("failed")):
            said = dict(report.user_properties).get(FAILURE) or str(report.longrepr)
            tests.setdefault(said, []).append(report.nodeid.rpartition("::")[2])
        for said, names in tests.items():
            more = f" and {len(names) - 1} more" if names[1:] else ""
            terminalreporter.write_line(f"{said}  [{names[0]}{more}]", red=True)
        noted: list[str] = terminalreporter.config.stash.get(NOTES, [])
        for line in dict.fromkeys(noted):
            terminalreporter.write_line(line, yellow=True)
        if found := terminalreporter.config.stash.get(FOUND, None):
            notes = found.hosts.notes() if "hosts" in vars(found) else []
            for line in (*found.certificates(dt.datetime.now(dt.UTC)), *found.passwords(), *notes):
                terminalreporter.write_line(with_inventory(line, found.path))


def _in_one_line(failure: pytest.ExceptionInfo[BaseException]) -> str:
    text = (str(failure.value).splitlines() or [""])[0]
    if isinstance(failure.value, AssertionError | Unreachable):
        return text
    place = failure.traceback[-1]
    return (
        f"{failure.typename} in {Path(place.path).name}:{place.lineno + 1}: {text}; "
        "run again with --tb=long, and report it if this suite is wrong"
    )


def _has_host(item: pytest.Item) -> bool:
    # For an empty list of hosts pytest makes one skipped test, whose parameter is no host.
    params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    return all(isinstance(params.get(fixture, ""), str) for fixture in (*SUBJECTS, "upstream", "reader"))


def _only_verification(config: pytest.Config) -> bool:
    given = [Path(config.invocation_params.dir, arg.partition("::")[0]).resolve() for arg in config.args]
    return bool(given) and all(path.is_relative_to(HERE) for path in given)


def _find(config: pytest.Config) -> Deployment:
    if FOUND not in config.stash:
        config.stash[FOUND] = deployments.read(config.getoption("inventory", "inventories/local.py"))
    return config.stash[FOUND]


def _upstreams(config: pytest.Config) -> list[str]:
    """Return the names of the registries that have a cache."""
    try:
        return [each.name for each in _find(config).configuration.settings.registry_caches]
    except ValueError:  # reported at the start of the session
        return []


def _readers(config: pytest.Config) -> list[str]:
    """Return the accounts that read the metrics."""
    try:
        accounts = _find(config).configuration.settings.registry_accounts
    except ValueError:  # reported at the start of the session
        return []
    return [name for name, role in accounts.items() if role == "metrics"]


def _containers(config: pytest.Config) -> list[str]:
    """Return the names of the registry's containers."""
    try:
        settings = _find(config).configuration.settings
    except ValueError:  # reported at the start of the session
        settings = Settings()
    more = {keeper.NAME: settings.storage_limit, cache.NAME: settings.registry_caches}
    more[metrics.NAME] = settings.registry_metrics
    return [REGISTRY, GATEWAY, *(name for name, wanted in more.items() if wanted)]


def _subjects(config: pytest.Config, *, plain: bool) -> dict[str, list[str]]:
    """Return the hosts of each fixture; `plain` leaves out those whose system trusts the registry."""
    try:
        found = _find(config)
    except ValueError:  # reported at the start of the session, and by the fixture `deployment`
        return {fixture: [] for fixture in SUBJECTS}
    return {
        fixture: [name for name in choose(found) if not (plain and found.of(name).registry_system_trust)]
        for fixture, choose in SUBJECTS.items()
    }


@pytest.fixture(scope="session")
def deployment(request: pytest.FixtureRequest) -> Iterator[Deployment]:
    found = _find(request.config)
    yield found
    if "hosts" in vars(found):
        found.hosts.close()


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Keep a line for the end that is worth knowing and no failure."""
    return request.config.stash.setdefault(NOTES, []).append


@pytest.fixture(scope="session")
def settings(deployment: Deployment) -> Settings:
    return deployment.configuration.settings


@pytest.fixture(scope="session")
def store(deployment: Deployment) -> Store:
    return deployment.store


@pytest.fixture(scope="session")
def state(deployment: Deployment) -> State:
    return deployment.state


@pytest.fixture(scope="session")
def authorities(deployment: Deployment) -> Authorities:
    return deployment.authorities


@pytest.fixture(scope="session")
def names_to_come(settings: Settings, authorities: Authorities, address: str) -> list[str]:
    """Names that the certificate gets once the old CA is retired."""
    return authorities.postponed_names([*settings.server_names, address])


@pytest.fixture(scope="session")
def registry(deployment: Deployment) -> Host:
    """The host in the group `registry`."""
    return deployment.hosts.get(deployment.configuration.registry_host)


def _host(request: pytest.FixtureRequest, deployment: Deployment) -> Host:
    return deployment.hosts.get(request.param)


(
    client_host,
    docker_host,
    node,
    control_host,
    backup_host,
    login_host,
    caching_host,
    caching_node,
    trusting_host,
) = (pytest.fixture(scope="session", name=name)(_host) for name in SUBJECTS)


@pytest.fixture(scope="session")
def address(settings: Settings, state: State, registry: Host) -> str:
    """The address that clients use: the one that is set, or the one in the certificate, which the host must have."""
    if settings.registry_address:
        return settings.registry_address
    names = subject_alt_names(state.leaf.certificate) if state.leaf else []
    answer = read_answer([*registry.output(LOOK).splitlines(), "end"])
    found = read_addresses(answer)
    chosen = choose(found, told(names, settings.registry_extra_names))
    assert chosen in names, f"{registry.name}: its address is {chosen} now; run make deploy"
    return chosen


@pytest.fixture(scope="session")
def remedy(settings: Settings, deployment: Deployment, address: str) -> Callable[[Any], str]:
    """What to do about a runtime's command that failed: a deploy does not help if the registry is not reached."""

    def of(done: Any) -> str:
        verdict = answers.read("", done.rc, f"{done.stdout}\n{done.stderr}")
        if verdict.meaning != "unreached":
            return "run make deploy"
        return answers.remedy(
            verdict.words,
            host=settings.registry_hostname,
            endpoint=settings.endpoint,
            address=address,
            registry_host=deployment.configuration.registry_host,
            managed=settings.registry_manage_hosts_file,
        )

    return of


@pytest.fixture(scope="session")
def deployed(deployment: Deployment, address: str) -> Deployed:
    """What a deploy would still change on each host."""
    return Deployed(deployment, address)


@pytest.fixture
def unmanaged(settings: Settings) -> str:
    """The registry's name in capitals: the same to the resolver and in the certificate, but another in certs.d.

    If the system's store has our CA, every name is trusted, so tests that take this leave such hosts out.
    """
    port = "" if settings.registry_port == 443 else f":{settings.registry_port}"
    return f"{settings.registry_hostname.upper()}{port}"


@pytest.fixture(scope="session")
def client(settings: Settings, store: Store, address: str) -> Iterator[Client]:
    made = Client(address, settings.registry_hostname, settings.registry_port, store.ca_bundle_path)
    yield made
    made.close()


@pytest.fixture(scope="session")
def mirror(settings: Settings, store: Store, address: str) -> Iterator[Client]:
    """The caches, as runtimes ask them."""
    made = Client(address, cache.name(settings) or "", settings.registry_port, store.ca_bundle_path)
    yield made
    made.close()


@pytest.fixture
def repository(settings: Settings, deployment: Deployment, client: Client, registry: Host) -> Iterator[str]:
    """The name of an unused repository. Whatever is pushed to it is removed afterwards."""
    name = f"homelab-verify-{secrets.token_hex(8)}"
    yield name
    login, cleaned = deployment.login("admin", "push"), settings.registry_delete_enabled
    try:
        for tag in client.tags(name, login) if cleaned else []:
            client.manifest("DELETE", name, client.digest(name, tag, login) or tag, login)
    except (AssertionError, Unreachable):
        cleaned = False  # the test itself reports what is wrong
    # An empty repository would stay in the catalog, and a registry without deletion keeps all of it.
    registry.output(
        "rm -rf -- %s", f"{settings.registry_storage_path}/docker/registry/v2/repositories/{name}"
    )
    left = client.tags(name, login) if cleaned else []
    assert not left, f"the repository {name} still has the tags {left}; delete their manifests by hand"
