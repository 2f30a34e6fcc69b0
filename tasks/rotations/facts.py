"""Who uses a former password, from the gateway's log and the registry's storage."""

from __future__ import annotations

import datetime as dt
import shlex

from pyinfra.api.facts import FactBase

from tasks.accounts.former_passwords import Log
from tasks.registry import containers, desired
from tasks.remote.docker import OWN_ENGINE
from tasks.remote.fact_scripts import fail_host_on_bad_output, read_answer, script
from tasks.settings.load import Settings

LOOKBACK = 2 * 3600
"""Seconds before the first second password in which a request may have begun that is still under way."""


@fail_host_on_bad_output
class FormerPasswordsFact(FactBase[Log | None]):
    """One round trip, by the host's own clock. Requests from before the gateway's start ended with it."""

    def command(self, settings: Settings) -> str:
        """Return the script."""
        flag = f"{desired.FOLDER}/{desired.TWO_PASSWORDS}"
        container = containers.GATEWAY
        repositories = shlex.quote(f"{settings.registry_storage_path}/docker/registry/v2/repositories")
        return script(
            f"""{OWN_ENGINE}
made=$(stat -c %Y {flag}) || exit 1
since=$((made - {LOOKBACK}))
started=$(docker container inspect -f '{{{{.State.StartedAt}}}}' {container}) || exit 1
started=$(date -d "$started" +%s) || exit 1
[ "$since" -gt "$started" ] || since=$started
lines=$(docker logs --since "$since" {container} 2>/dev/null) || exit 1
printf '%s\\n' "$lines" | awk -F '"' '
    $2 == "begun" {{ begun[$4] = 1; print "begun|" $0 }}
    $2 == "time" && $(NF - 3) == "request" && ($(NF - 1) in begun) {{ print "ended|" $(NF - 1) "|" $4 }}
' || exit 1
if [ -d {repositories} ]; then
    cd {repositories} || exit 1
    find . -path '*/_uploads/*/startedat' ! -newer {flag} | while IFS= read -r file; do
        folder=${{file%/startedat}}
        written=$(find "$folder" -type f -printf '%T@\\n' 2>/dev/null | sort -n | tail -n 1)
        printf 'upload|%s|%s\\n' "${{folder%/_uploads/*}}" "$written"
    done
fi
echo "now|$(date +%s.%N)"
"""
        )

    def process(self, output: list[str]) -> Log:
        """Read the answer; `FactProcessError` if it is not complete."""
        answer = read_answer(output)
        return Log(
            begun=["|".join(line) for line in answer.all("begun")],
            ended={name: dt.datetime.fromisoformat(at).timestamp() for name, at in answer.all("ended")},
            # An upload without a time ended while it was being read.
            uploads={name.removeprefix("./"): float(at) for name, at in answer.all("upload") if at},
            now=float(answer.one("now") or ""),
        )
