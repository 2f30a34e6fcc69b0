"""The programs themselves read what was made of their files, and what is only read: containerd 2.1 and 2.3, K3s' module,
Docker's client, and Skopeo."""

from __future__ import annotations

import pytest

from tasks.cluster_nodes.runtimes.containerd_config import CRI_2, IMAGES
from tests.bench.recipes import CONTAINERD23_NODE, TRIXIE_NODE, Recipe
from tests.mergers import json_texts, judged, judges, registries_conf_texts, yaml_texts
from tests.mergers.shapes import CA, CONFIG_JSON, CONTAINERD, NAME, REGISTRIES_YAML


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("recipe", [TRIXIE_NODE, CONTAINERD23_NODE], ids=lambda recipe: recipe.name)
def test_containerd_reads_what_it_read_before_and_our_path(soak: bool, recipe: Recipe, version: int) -> None:
    plugin = CRI_2 if version == 2 else IMAGES
    texts = judged.configs(version, plugin, judges.count(soak, shares=2))
    assert (
        judged.misread_by_containerd(recipe, plugin, [*(CONTAINERD.values() if version == 2 else []), *texts])
        == []
    )


def test_k3s_reads_what_it_read_before_and_our_entry(soak: bool) -> None:
    texts = judges.drawn(yaml_texts.files(NAME, CA), judges.count(soak, 300))
    assert judged.misread_by_k3s([*REGISTRIES_YAML.values(), *texts]) == []


def test_k3s_reads_the_caches_beside_what_it_read_before(soak: bool) -> None:
    texts = judges.drawn(yaml_texts.files(NAME, CA), judges.count(soak, 200))
    assert judged.mirrors_misread_by_k3s([*REGISTRIES_YAML.values(), *texts]) == []


def test_docker_reads_what_it_read_before_and_our_login(soak: bool) -> None:
    texts = judges.drawn(json_texts.files([NAME]), judges.count(soak, 300))
    assert judged.misread_by_docker([*CONFIG_JSON.values(), *texts]) == []


def test_skopeo_pulls_from_us_and_checks_it_unless_we_say_so(soak: bool) -> None:
    texts = judges.drawn(registries_conf_texts.files(), judges.count(soak, 60))
    assert judged.misread_by_skopeo(TRIXIE_NODE, texts) == []
