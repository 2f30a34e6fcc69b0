"""Memory and /tmp usage of the two containers while they work, sampled on their host."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.bench.hosts import BenchHost

CONTAINERS = ("homelab-registry", "homelab-registry-gateway")

# The kernel counts writes to /tmp as page cache, so they are measured separately (statfs also counts unlinked files).
SAMPLER = """
import json, os, select, subprocess, sys

def memory(pid):
    lines = dict(line.rstrip().split(":", 2)[1:] for line in open(f"/proc/{pid}/cgroup"))
    folder, key = "/sys/fs/cgroup" + lines.get("", "/"), "anon"
    if "memory" in lines:
        folder, key = "/sys/fs/cgroup/memory" + lines["memory"], "total_rss"
    return int(dict(line.split() for line in open(folder + "/memory.stat"))[key])

def temporary(pid):
    report = os.statvfs(f"/proc/{pid}/root/tmp")
    return (report.f_blocks - report.f_bfree) * report.f_frsize

pids = {name: subprocess.check_output(["docker", "inspect", "-f", "{{.State.Pid}}", name], text=True).strip()
        for name in sys.argv[1:]}
sample = lambda: {name: [memory(pid), temporary(pid)] for name, pid in pids.items()}
idle = peak = sample()
samples = 1
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0.02)[0]:
    peak = {name: [max(pair) for pair in zip(peak[name], now)] for name, now in sample().items()}
    samples += 1
print(json.dumps([samples, idle, peak]))
"""


@dataclass
class Peaks:
    """Bytes by container: (memory, /tmp) at the start, and the maximum. Filled in when `sample_memory` ends."""

    samples: int = 0
    idle: dict[str, tuple[int, int]] = field(default_factory=dict)
    peak: dict[str, tuple[int, int]] = field(default_factory=dict)

    def memory(self, *containers: str) -> int:
        """Return the largest growth of memory, without page cache, summed over these containers."""
        return sum(self.peak[name][0] - self.idle[name][0] for name in containers)

    def temporary(self, container: str) -> int:
        """Return the maximum usage of the container's /tmp."""
        return self.peak[container][1]


@contextmanager
def sample_memory(host: BenchHost) -> Iterator[Peaks]:
    """Sample both containers about fifty times a second for as long as the block runs."""
    peaks = Peaks()
    command = ["docker", "exec", "-i", host.name, "python3", "-c", SAMPLER, *CONTAINERS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as sampler:
        assert sampler.stdin is not None
        assert sampler.stdout is not None
        try:
            assert sampler.stdout.readline() == "ready\n"
            yield peaks
        finally:
            sampler.stdin.close()
            report = sampler.stdout.read()
    peaks.samples, peaks.idle, peaks.peak = json.loads(report)
