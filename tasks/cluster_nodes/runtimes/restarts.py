"""Restart a runtime with a new configuration, and put the one from before back if its CRI does not answer with it.

The file from before is kept, for root alone, until the CRI was seen to answer. So the folder that it is in says that a
restart is due, or was not seen to go well, and the next run goes on from there if this one is killed.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from tasks.cluster_nodes.node import Node
from tasks.remote import files
from tasks.remote.steps import Conflict, Step
from tasks.remote.templates import fill

KEPT = "/var/lib/homelab-registry-before"

# `ctr plugins ls` asks containerd, and has for each plugin the outcome of its start (containerd's cmd/ctr). It is
# where containerd is; crictl need not be. The rest of the error may hold what a file says, so only CRI's own is quoted.
FUNCTIONS = r"""
PATH=$PATH:/usr/local/bin
kept=@KEPT@ failed=@KEPT@.failed unit=@UNIT@
asked() { timeout 20 @CTR@ plugins ls "$@" id==cri 2>/dev/null; }
answers() {
    end=$(($(date +%s) + ${1:-0}))
    until plugins=$(asked); do
        [ "$(date +%s)" -lt "$end" ] || return 1
        case $(systemctl show -p SubState --value "$unit") in (failed|auto-restart*) return 1 ;; esac
        sleep 1
    done
    printf '%s\n' "$plugins" | awk '$2 == "cri" && $NF == "ok" { found = 1 } END { exit !found }'
}
give_up() { echo "$*" >&2; exit 1; }
forget() { rm -rf "$kept"; rmdir "${kept%/*}" 2>/dev/null || :; }
why() {
    said=$(asked -d | sed -n 's/^ *Message: *//p' | head -n 1)
    printf '%s' "${said:-see journalctl -u $unit}"
}
"""

KEEP = r"""
command -v @PROGRAM@ >/dev/null || give_up "nothing was changed: there is no @PROGRAM@ to ask the CRI of @TITLE@ with"
answers || give_up "nothing was changed: the CRI of @TITLE@ does not answer as it is ($(why))"
mkdir -p "$kept" || exit 1
if [ -e "$file" ]; then
    mkdir -p "$kept${file%/*}" && cp -p "$file" "$kept/.new" && sync "$kept/.new" && mv -fT "$kept/.new" "$kept$file"
else
    echo "$file" >> "$kept/absent"
fi && touch "$kept"
"""

# systemd refuses a unit that was started five times in ten seconds (StartLimitBurst), as one that fails soon has been.
RESTART = r"""
start() {
    systemctl reset-failed "$unit" 2>/dev/null
    timeout @SECONDS@ systemctl restart "$unit" 2>/dev/null && answers 60
}
put_back() {
    (cd "$kept" && find . -mindepth 2 -type f) | while read -r path; do
        file=${path#.} new="${path%/*}/.${path##*/}@NEW@"; new=${new#.}
        if [ -f "$file" ]; then cp -p "$file" "$failed" || exit 1; fi
        cp -p "$kept$file" "$new" && sync "$new" && mv -fT "$new" "$file" || exit 1
    done || return 1
    [ ! -f "$kept/absent" ] || while read -r file; do
        [ ! -f "$file" ] || mv -fT "$file" "$failed" || return 1
    done < "$kept/absent"
}
umask 077
"""

# A cluster's servers hold its data together (etcd), and readyz says whether this one takes part. A server without an
# API server of its own has no kubectl configuration either (docs.k3s.io/installation/server-roles).
READY = r"""
has_api() { [ -e @KUBECONFIG@ ]; }
ready() { timeout 20 @KUBECTL@ --kubeconfig @KUBECONFIG@ get --raw /readyz >/dev/null 2>&1; }
! has_api || ready || give_up "$unit was not restarted: its API server is not ready as it is; see journalctl -u $unit"
"""

WAIT_READY = r"""
end=$(($(date +%s) + @SECONDS@))
until ! has_api || ready; do
    [ "$(date +%s)" -lt "$end" ] || give_up "$unit is up, and its API server is not ready; see journalctl -u $unit"
    sleep 1
done
"""

PUT_BACK = r"""
said=$(why)
[ -d "$kept" ] || give_up "the CRI of @TITLE@ does not answer after the restart ($said); no file was changed before it"
new="its new configuration ($said)"
put_back || give_up "@TITLE@ does not come up with $new, and the one from before could not be put back from $kept"
if start; then
    forget
    give_up "@TITLE@ did not come up with $new; the one from before is back, and it runs with that;" \
        "what failed is $failed"
fi
forget
give_up "@TITLE@ comes up neither with $new nor with the one from before, which is back; see journalctl -u $unit"
"""


@dataclass(frozen=True)
class Restarts:
    """How a runtime is restarted: its `unit` of systemd, and `ctr`, the command that asks its containerd.

    `name` is the one in `registry_runtime`, `title` the one for people. It may need `minutes` to be up. A
    cluster's server has a `kubectl`, which reads `kubeconfig`.
    """

    name: str
    title: str
    unit: str
    ctr: str
    minutes: int
    kubectl: str = ""
    kubeconfig: str = ""

    @property
    def kept(self) -> str:
        """The folder with the files from before, each below its own path."""
        return paths(self.name)[0]

    @property
    def failed(self) -> str:
        """The configuration that the runtime did not come up with."""
        return paths(self.name)[1]

    def keep_first(self) -> str:
        """Return the command that keeps `$file`, for the argument `first` of `files.rewrite`.

        It fails, and so nothing is changed, if the CRI does not answer even before.
        """
        return self._fill(f"{{\n{FUNCTIONS}{KEEP}}}")

    def restart(self, reason: str) -> Step:
        """Return the step that restarts the runtime, and puts the files from before back if its CRI does not answer.

        Servers of a cluster are restarted one after the other, each when the one before is ready again.
        """
        before, after = (READY, WAIT_READY) if self.kubectl else ("", "")
        went_well = f'rm -rf "$failed"; forget; {after}exit 0'
        script = f"{FUNCTIONS}{before}{RESTART}if start; then {went_well}; fi{PUT_BACK}"
        turn = f"servers of {self.title}" if self.kubectl else ""
        return Step(f"restart {reason}", self._fill(script), turn=turn)

    def resume(self, found: Node) -> list[Step]:
        """Return the step that ends what a killed run left: a restart that was not seen to go well."""
        if found.paths[self.kept] is None or not (self.unit in found.started or self.unit in found.failing):
            return []
        text = f"ask {self.unit} whether its CRI answers, and remove {self.kept} or put it back: a run was killed"
        script = f"{FUNCTIONS}{RESTART}if answers @SECONDS@; then forget; exit 0; fi{PUT_BACK}"
        return [Step(text, self._fill(script))]

    def check(self, path: str, text: str, found: Node) -> None:
        """Raise `Conflict` if the runtime did not come up with this very text before."""
        tried = found.paths[self.failed]
        if tried and tried.sha256 == files.File(path, content=text).sha256:
            raise Conflict(
                f"{self.title} did not come up with our change of {path} at an earlier run, so the file from before "
                "was put back",
                f"see journalctl -u {self.unit}, fix that, remove {self.failed} and run again",
            )

    def _fill(self, script: str) -> str:
        return fill(
            script,
            KEPT=self.kept,
            UNIT=self.unit,
            CTR=self.ctr,
            PROGRAM=self.ctr.partition(" ")[0],
            TITLE=self.title,
            SECONDS=self.minutes * 60,
            NEW=files.NEW_SUFFIX,
            KUBECTL=self.kubectl,
            KUBECONFIG=self.kubeconfig,
        ).strip("\n")


def paths(name: str) -> list[str]:
    """Return what to look at on a node, for a runtime by its name."""
    return [f"{KEPT}/{name}", f"{KEPT}/{name}.failed"]


def ctr(program: str, socket: str) -> str:
    """Return the command that asks the containerd behind a socket."""
    return f"{program} --address {shlex.quote(socket)}"
