"""Which images a cluster uses: its pods, what makes pods, and what it keeps for a rollback."""

from __future__ import annotations

from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from tasks.cluster_control import kubectl, kubectl_errors
from tasks.cluster_control.kubectl import NO_CONFIG
from tasks.remote.fact_scripts import fail_host_on_bad_output, read_answer, script
from tasks.remote.steps import Conflict
from tasks.room.uses import Use, Uses
from tasks.settings.load import Settings

KINDS = ",".join(
    (
        "pods", "podtemplates", "replicationcontrollers", "deployments.apps", "replicasets.apps", "statefulsets.apps",
        "daemonsets.apps", "controllerrevisions.apps", "jobs.batch", "cronjobs.batch",
    )
)  # fmt: skip
"""ReplicaSets without pods are what a Deployment is rolled back to, ControllerRevisions what a StatefulSet or DaemonSet
is (kubernetes.io, `kubectl rollout undo`)."""

# Texts are in hexadecimal. Of the status, `image` and `imageID` are what a node really has.
TEMPLATE = r"""
{{- define "image" }}{{ with .image }}{{ printf "|%x" . }}{{ end }}{{ end -}}
{{- define "pod" -}}
{{- range .initContainers }}{{ template "image" . }}{{ end -}}
{{- range .containers }}{{ template "image" . }}{{ end -}}
{{- range .ephemeralContainers }}{{ template "image" . }}{{ end -}}
{{- range .volumes }}{{ with .image }}{{ with .reference }}{{ printf "|%x" . }}{{ end }}{{ end }}{{ end -}}
{{- end -}}
{{- define "template" }}{{ with .template }}{{ with .spec }}{{ template "pod" . }}{{ end }}{{ end }}{{ end -}}
{{- define "has" }}{{ template "image" . }}{{ with .imageID }}{{ printf "|%x" . }}{{ end }}{{ end -}}
{{- range .items -}}
use|{{ .kind }}|{{ .metadata.namespace }}|{{ .metadata.name }}|
{{- with .spec }}{{ with .nodeName }}{{ printf "%x" . }}{{ end }}{{ end -}}
{{- with .spec }}{{ template "pod" . }}{{ template "template" . }}
{{- with .jobTemplate }}{{ with .spec }}{{ template "template" . }}{{ end }}{{ end }}{{ end -}}
{{- template "template" . -}}
{{- with .data }}{{ with .spec }}{{ template "template" . }}{{ end }}{{ end -}}
{{- with .status -}}
{{- range .initContainerStatuses }}{{ template "has" . }}{{ end -}}
{{- range .containerStatuses }}{{ template "has" . }}{{ end -}}
{{- range .ephemeralContainerStatuses }}{{ template "has" . }}{{ end -}}
{{- end }}{{ "\n" -}}
{{- end -}}
"""

# If a template fails, kubectl prints all of its input: only lines of our own pass.
READ = f"""
echo "kubectl|$found|$config"
if [ -n "$found" ] && [ "$config" != {NO_CONFIG} ]; then
    exec 4>&1
    ask() {{ kubectl get {KINDS} -A -o go-template="$template" && echo 'complete|yes' || echo "exit|$?"; }}
    errors=$({{ ask 2>&3 | grep -E '^(use|complete|exit)[|]' >&4; }} 3>&1)
    exec 4>&-
    printf '%s\\n' "$errors" | sed '/^$/d;s/^/error|/'
fi
"""


@fail_host_on_bad_output
class ClusterUsesFact(FactBase[Uses | None]):
    """One round trip and one call of kubectl."""

    def command(self, settings: Settings) -> str:
        """Return the script."""
        return script(kubectl.find_script(settings), f"template='{TEMPLATE}'", READ)

    def process(self, output: list[str]) -> Uses:
        """Read the answer; `FactProcessError` if it is not complete."""
        answer = read_answer(output)
        program, config = answer.all("kubectl")[0]
        errors = kubectl_errors.read_errors("|".join(line) for line in answer.all("error"))
        try:
            kubectl.check_found(program, config)
            if errors or answer.one("exit"):
                raise kubectl_errors.read_conflict(errors, config)
        except Conflict as stop:
            return Uses(unread=(f"the cluster: {stop.problem}",))
        if not answer.one("complete"):
            raise FactProcessError("the answer was cut short")
        return Uses(
            tuple(
                Use(_by(kind, namespace, name, bytes.fromhex(node).decode()), bytes.fromhex(text).decode())
                for kind, namespace, name, node, *texts in answer.all("use")
                for text in texts
            )
        )


def _by(kind: str, namespace: str, name: str, node: str) -> str:
    return f"{kind} {namespace}/{name}" + (f" on {node}" if node else "")
