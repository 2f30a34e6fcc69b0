"""What the two containers use while a command runs: memory without the page cache, and the gateway's /tmp."""

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

def sample():
    disk = os.statvfs(tmp)
    of_gateway = used(gateway)
    return of_gateway, of_gateway + used(registry), (disk.f_blocks - disk.f_bfree) * disk.f_frsize

load = subprocess.Popen(["sh", "-c", command], stdout=subprocess.DEVNULL)
samples = [sample()]
while load.poll() is None:
    time.sleep(0.05)
    samples.append(sample())
if load.returncode:
    sys.exit(f"the command ended with exit code {load.returncode}")
print(json.dumps([samples[0], [max(each) for each in zip(*samples)]]))
"""


@dataclass(frozen=True)
class MemoryUse:
    """In MB: memory of the gateway, memory of both containers, and the content of the gateway's /tmp."""

    gateway: float
    both: float
    tmp: float


def watch(contenders: Contenders, command: str) -> tuple[MemoryUse, MemoryUse]:
    """Run a shell command on the host; return the use at its start, and the maximum of each while it ran."""
    host = contenders.host
    files, pids = [], []
    for name in (GATEWAY, REGISTRY):
        identity, pid = host.run(f"docker inspect -f '{{{{.Id}}}} {{{{.State.Pid}}}}' {name}").stdout.split()
        # Works for cgroups v1 and v2 and every cgroup driver; the container's own folder has the shortest path.
        # `find` fails if folders of other containers vanish meanwhile.
        find = f"find /sys/fs/cgroup -name memory.stat -path '*{identity}*' 2>/dev/null"
        found = host.run(find, check=False).stdout.split()
        files.append(min(found, key=len))
        pids.append(pid)
    arguments = shlex.join([*files, f"/proc/{pids[0]}/root/tmp", command])
    idle, most = json.loads(host.run(f"python3 - {arguments}", stdin=WATCH, timeout=1200).stdout)
    return MemoryUse(*(each / MB for each in idle)), MemoryUse(*(each / MB for each in most))


def watch_many_clients(contenders: Contenders, image: str, clients: int) -> tuple[MemoryUse, MemoryUse]:
    """Restart both containers, then let `clients` pull an image and as many push the one in `LAYOUT`, all at once."""
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
