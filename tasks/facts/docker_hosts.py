"""What a Docker host has: the CA in the engine's own folder, and how it finds the registry's name."""

from __future__ import annotations

from pyinfra.api.facts import FactBase

from tasks.facts.reading import read_answer, script, tell_paths, tell_texts
from tasks.model.docker_hosts import DockerHost


class DockerHostFact(FactBase[DockerHost | None]):
    """One round trip."""

    def command(self, paths: list[str], texts: list[str], hosts_file: str) -> str:
        """Return the script for the given paths, and the texts of some files."""
        mount = f"if grep -q ' {hosts_file} ' /proc/self/mountinfo; then echo 'mount|yes'; fi"
        return script(tell_paths(paths), tell_texts(texts), mount)

    def process(self, output: list[str]) -> DockerHost:
        """Read the answer; `FactProcessError` where it is not whole."""
        answer = read_answer(output)
        return DockerHost(answer.paths, answer.texts, hosts_is_mount=answer.one("mount") is not None)
