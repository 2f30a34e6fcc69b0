"""What a Docker host has: the CA in the engine's own folder, and how it finds the registry's name."""

from __future__ import annotations

import shlex
from base64 import b64decode

from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from tasks.facts.reading import PREAMBLE, read_answer, tell_paths
from tasks.model.docker_hosts import DockerHost


class DockerHostFact(FactBase[DockerHost | None]):
    """One round trip."""

    def command(self, paths: list[str], ca_files: list[str], hosts_file: str, rescue: str) -> str:
        """Return the script for the given files; the certificates and `/etc/hosts` are told in full."""
        hosts_file, rescue = shlex.quote(hosts_file), shlex.quote(rescue)
        return (
            PREAMBLE
            + tell_paths(paths)
            + f"""
tell_text() {{
    [ -f "$2" ] || return 0
    text=$(base64 -w 0 "$2") || exit 1
    printf '%s|%s|%s\\n' "$1" "$2" "$text"
}}
for path in {shlex.join(ca_files)}; do tell_text ca "$path"; done
tell_text hosts {hosts_file}
tell_text rescue {rescue}
if grep -q ' {hosts_file} ' /proc/self/mountinfo; then echo 'mount|yes'; fi
echo end
"""
        )

    def process(self, output: list[str]) -> DockerHost:
        """Read the answer; `FactProcessError` where it is not whole."""
        answer = read_answer(output)
        try:
            texts = {
                key: {path: b64decode(text).decode() for path, text in answer.all(key)}
                for key in ("ca", "hosts", "rescue")
            }
        except UnicodeDecodeError:
            raise FactProcessError("/etc/hosts or a ca.crt is not UTF-8 text") from None
        return DockerHost(
            paths=answer.paths,
            certificates=texts["ca"],
            hosts_text="".join(texts["hosts"].values()),
            hosts_rescue=next(iter(texts["rescue"].values()), None),
            hosts_is_mount=answer.one("mount") is not None,
        )
