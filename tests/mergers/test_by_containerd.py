"""containerd 1.6 itself reads what was made of its configuration."""

from __future__ import annotations

from tasks.cluster_nodes.runtimes.containerd_config import CRI_2
from tests.bench.recipes import BOOKWORM_NODE
from tests.mergers import judged, judges
from tests.mergers.shapes import CONTAINERD


def test_containerd_reads_what_it_read_before_and_our_path(soak: bool, part: slice) -> None:
    texts = judged.configs(2, CRI_2, judges.count(soak, 200))[part]
    assert judged.misread_by_containerd(BOOKWORM_NODE, CRI_2, [*CONTAINERD.values(), *texts]) == []
