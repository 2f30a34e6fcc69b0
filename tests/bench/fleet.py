"""Several hosts, reachable over SSH, and the inventory that lists them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import docker

from tests.bench.hosts import BenchHost
from tests.bench.recipes import Recipe, image
from tests.bench.ssh import OPERATOR, allow_key, host_data, make_key

AT_ONCE = 4
"""How many hosts boot at the same time: with more on two cores, systemd is not up within a minute."""


@dataclass(frozen=True)
class Fleet:
    """Running hosts by their names in the inventory, and pyinfra's data for each. Removed by `remove`."""

    hosts: dict[str, BenchHost]
    data: dict[str, dict[str, str | int]]

    @classmethod
    def start(
        cls,
        wanted: Mapping[str, Recipe],
        folder: Path,
        *,
        as_root: Collection[str] = (),
        volumes: Mapping[str, Mapping[str, str]] | None = None,
        owner: str | None = None,
    ) -> Fleet:
        """Boot a host for each name; if one fails to boot, remove the others again.

        `folder` gets an SSH key for all hosts, and a known_hosts file for each. pyinfra logs in as root to the hosts in
        `as_root`, and to the others as `op`. `volumes`, by name, and `owner` are as in `BenchHost.start`.
        """
        for recipe in dict.fromkeys(wanted.values()):
            image(docker.from_env(), recipe)
        key = make_key(folder)

        def boot(name: str) -> tuple[BenchHost, dict[str, str | int]]:
            host = BenchHost.start(wanted[name], name, volumes=(volumes or {}).get(name), owner=owner)
            try:
                allow_key(host, key)
                return host, host_data(host, key, "root" if name in as_root else OPERATOR)
            except BaseException:
                host.remove()
                raise

        booting: dict[str, Future[tuple[BenchHost, dict[str, str | int]]]] = {}
        pool = ThreadPoolExecutor(AT_ONCE)
        try:
            booting.update((name, pool.submit(boot, name)) for name in wanted)
            booted = {name: future.result() for name, future in booting.items()}
        except BaseException:
            pool.shutdown(cancel_futures=True)
            for future in booting.values():
                if not future.cancelled() and not future.exception():
                    future.result()[0].remove()
            raise
        pool.shutdown()
        return cls(
            {name: host for name, (host, _) in booted.items()},
            {name: data for name, (_, data) in booted.items()},
        )

    def inventory(self, groups: Mapping[str, Iterable[str]]) -> str:
        """Return the text of an inventory file with these hosts in each group."""
        listed = {
            group: "".join(f"    {(name, self.data[name])!r},\n" for name in names)
            for group, names in groups.items()
        }
        return "".join(f"{group} = [\n{hosts}]\n" for group, hosts in listed.items())

    def remove(self) -> None:
        """Remove the hosts, with their volumes."""
        for host in self.hosts.values():
            host.remove()
