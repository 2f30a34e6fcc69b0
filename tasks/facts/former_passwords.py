"""Who uses a former password, as the gateway's log tells."""

from __future__ import annotations

import shlex

from pyinfra.api.facts import FactBase

from tasks.facts.reading import read_answer, script, sensible
from tasks.model.former_passwords import Log


@sensible
class FormerPasswordsFact(FactBase[Log | None]):
    """One round trip. By the host's own clock, and no further back than `mark` was made or the gateway started."""

    def command(self, mark: str, container: str) -> str:
        """Return the script."""
        return script(
            f"""
made=$(stat -c %Y {shlex.quote(mark)}) || exit 1
started=$(docker container inspect -f '{{{{.State.StartedAt}}}}' {container}) || exit 1
started=$(date -d "$started" +%s) || exit 1
[ "$made" -gt "$started" ] || made=$started
lines=$(docker logs --since "$made" {container} 2>/dev/null) || exit 1
printf '%s\\n' "$lines" | sed -n 's/^{{"\\(begun\\|ended\\)":/line|&/p'
echo "now|$(date +%s.%N)"
"""
        )

    def process(self, output: list[str]) -> Log:
        """Read the answer; `FactProcessError` where it is not whole."""
        answer = read_answer(output)
        return Log(["|".join(line) for line in answer.all("line")], float(answer.one("now") or ""))
