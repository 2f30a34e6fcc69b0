"""What the two containers need while a command runs: memory without the page cache, and the gateway's /tmp."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass

from benchmarks.gateway.contenders import Contenders
from benchmarks.gateway.load import LAYOUT, MB
from tasks.registry.containers import GATEWAY, REGISTRY

WATCH = """
import json, os, subprocess, sys, time
gateway, registry, tmp, command = sys.argv[1:]

def used(path):
    # Version 1 of cgroups has total_rss, version 2 anon; version 1 has no anon.
    stat = dict(line.split() for line in open(path))
    return int(stat["anon"] if "anon" in stat else stat["total_rss"])

def look():
    disk = os.statvfs(tmp)
    of_gateway = used(gateway)
    return of_gateway, of_gateway + used(registry), (disk.f_blocks - disk.f_bfree) * disk.f_frsize

load = subprocess.Popen(["sh", "-c", command], stdout=subprocess.DEVNULL)
seen = [look()]
while load.poll() is None:
    time.sleep(0.05)
    seen.append(look())
if load.returncode:
    sys.exit(f"it ended with {load.returncode}")
print(json.dumps([seen[0], [max(each) for each in zip(*seen)]]))
"""


@dataclass(frozen=True)
class MemoryUse:
    """Memory of the gateway and of both containers, and what is in the gateway's /tmp, in MB."""

    gateway: float
    both: float
    tmp: float


def watch(contenders: Contenders, command: str) -> tuple[MemoryUse, MemoryUse]:
    """Run a shell command on the host, and return what was used at its beginning and the most of each while it ran."""
    host = contenders.host
    files, pids = [], []
    for name in (GATEWAY, REGISTRY):
        identity, pid = host.run(f"docker inspect -f '{{{{.Id}}}} {{{{.State.Pid}}}}' {name}").stdout.split()
        # Of version 1 and 2, whichever way the engine names the folder; the container's own has the shortest path.
        # Folders of other containers may go while `find` looks, and it then fails.
        find = f"find /sys/fs/cgroup -name memory.stat -path '*{identity}*' 2>/dev/null"
        found = host.run(find, check=False).stdout.split()
        files.append(min(found, key=len))
        pids.append(pid)
    arguments = shlex.join([*files, f"/proc/{pids[0]}/root/tmp", command])
    idle, most = json.loads(host.run(f"python3 - {arguments}", stdin=WATCH, timeout=1200).stdout)
    return MemoryUse(*(each / MB for each in idle)), MemoryUse(*(each / MB for each in most))


def watch_many_clients(contenders: Contenders, image: str, clients: int) -> tuple[MemoryUse, MemoryUse]:
    """Pull an image and push what is in `LAYOUT`, that many clients of each at once, from two fresh containers."""
    host = contenders.host
    host.run(f"docker restart {REGISTRY} {GATEWAY}")
    host.wait_until(
        f"curl -sk -o /dev/null -f -H '{contenders.authorization}' {contenders.url('gateway')}/v2/",
        60,
        "the gateway",
    )
    push = contenders.with_crane(f"push {LAYOUT} {contenders.reference('gateway', 'many/$each')}:v1")
    pull = contenders.with_crane(f"pull {contenders.reference('gateway', image)} /dev/null")
    return watch(
        contenders,
        f'all=; for each in $(seq {clients}); do {push} & all="$all $!"; {pull} & all="$all $!"; done; '
        "for each in $all; do wait $each || exit 1; done",
    )
