"""`registry-mirrors` in a `daemon.json`: the one mirror that Docker has for `docker.io` if it stores images by itself.

Docker reads it again at SIGHUP, without a restart (dockerd(8)). It takes a key that has gone from the file for one
that did not change (moby, `daemon/reload.go`, `IsValueSet`): so the key is emptied first, and goes then.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence

from tasks.clients.mirrors import without_login
from tasks.remote import files, json_edit, json_members
from tasks.remote.docker import OWN_ENGINE
from tasks.remote.source_lines import line_of
from tasks.remote.steps import Step
from tasks.remote.templates import fill

KEY = "registry-mirrors"
FLAG = "--registry-mirror"
CREATED = "{\n\t\n}\n"
"""What is left of a file that was created for the key."""

KEEP = '{ kept=; if [ -e "$file" ]; then kept=$(base64 -w 0 < "$file"); fi; }'
"""Keeps `$file`, for the argument `first` of `files.rewrite`."""

# A file that dockerd refuses would also keep it from starting the next time.
RELOAD = """
@OWN_ENGINE@
takes_effect() {
    systemctl reload docker || return 1
    end=$(($(date +%s) + 20))
    until case $(timeout 20 docker info -f '{{json .RegistryConfig.Mirrors}}' 2>/dev/null) in
            (@WANTED@) true ;; (*) false ;; esac; do
        [ "$(date +%s)" -lt "$end" ] || return 1
        sleep 0.2
    done
}
if takes_effect; then
    @THEN@
    exit 0
fi
if [ -n "$kept" ]; then
    printf '%s' "$kept" | base64 -d > "$new" && chown --reference="$file" "$new" \\
        && chmod --reference="$file" "$new" && sync "$new" && mv -fT "$new" "$file"
else
    rm -f "$file"
fi && { systemctl reload docker || :; } \\
    && echo "Docker does not take @PATH@ with @WHAT@, so the file from before is back; see journalctl -u docker" >&2
exit 1
"""

CUT = """
{ head -c @BEGIN@ "$file" && tail -c +@AFTER@ "$file"; } > "$new" && [ "$(wc -c < "$new")" -eq @LENGTH@ ] \\
    && chown --reference="$file" "$new" && chmod --reference="$file" "$new" && sync "$new" \\
    && mv -fT "$new" "$file" && { sync "${file%/*}/" 2>/dev/null || sync; } || exit 1
"""


def mirrors(text: str, path: str) -> list[str]:
    """Return the mirrors in a `daemon.json`; `Conflict` if it is not JSON."""
    found = json_edit.read(text, path).get(KEY)
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


def place(text: str, path: str, mirror: str) -> str:
    """Return file and line of a mirror, and what is there, for a message."""
    line = line_of(text, json.dumps(KEY), json.dumps(mirror))
    return f'{path} line {line} has "{without_login(mirror)}" in {KEY}'


def steps(
    text: str, path: str, wanted: Sequence[str], ours: Sequence[str], in_force: Sequence[str] | None, why: str
) -> list[Step]:
    """Return the steps that make `wanted` the mirrors in a `daemon.json`.

    `ours` are the mirrors that this project added, or adds now. `in_force` are those of the running engine, None if it
    does not run: then nothing is reloaded. `why` is what the steps say.
    """
    ours_in_force = set(_urls(ours)) & set(_urls(in_force or ()))
    applied = in_force is None or ours_in_force == set(_urls(ours)) & set(_urls(wanted))
    if applied and mirrors(text, path) == list(wanted):
        return []
    changed = json_members.put(text, KEY, list(wanted), path)
    left = changed if wanted else json_members.drop(changed, KEY, path)
    if in_force is None:
        return [files.removal(path, why) if left == CREATED else files.rewrite(path, left, why)]
    written = files.rewrite(path, changed, why, first=KEEP)
    script = f"{written.script} || exit 1\n{_reload(path, wanted, _then(changed, left))}"
    line = f"{written.text}\nreload Docker, and see that it takes it"
    return [Step(line, script, written.stdin, path=path, writes=True)]


def _then(changed: str, left: str) -> str:
    """Return the commands that make of a file with an empty list one without it."""
    if changed == left:
        return ":"
    if left == CREATED:
        return 'rm -f "$file"'
    before, after = (each.encode(errors="surrogateescape") for each in (changed, left))
    same = (one == other for one, other in zip(before, after, strict=False))
    begin = next((number for number, is_same in enumerate(same) if not is_same), len(after))
    end = begin + len(before) - len(after)
    return fill(CUT, BEGIN=begin, AFTER=end + 1, LENGTH=len(after)).strip("\n")


def _urls(given: Sequence[str]) -> list[str]:
    """Return mirrors as Docker reports them (moby, `registry/config.go`, `ValidateMirror`)."""
    return [f"{each.removesuffix('/')}/" for each in dict.fromkeys(given)]


def _reload(path: str, wanted: Sequence[str], then: str) -> str:
    shown = json.dumps(_urls(wanted), separators=(",", ":"))
    return fill(
        RELOAD,
        OWN_ENGINE=OWN_ENGINE.strip(),
        WANTED=shlex.quote(shown) if wanted else "'[]'|null",
        PATH=path,
        THEN=then,
        WHAT=f"{KEY} {', '.join(wanted)}" if wanted else f"no {KEY}",
    ).strip("\n")
