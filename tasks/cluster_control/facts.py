"""What a cluster has of ours or of our names, in one call of kubectl."""

from __future__ import annotations

import re

from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from tasks.cluster_control import kubectl, kubectl_errors, monitoring
from tasks.cluster_control.kubectl import MANAGER, NO_CONFIG
from tasks.cluster_control.plan import Cluster
from tasks.cluster_control.pull_secrets import (
    CA_NAME,
    HOSTING,
    HOSTING_NAMESPACE,
    KEYS,
    MANAGED_BY,
    ExistingObject,
    Kind,
    Ref,
)
from tasks.cluster_control.service_accounts import OWN_ENTRY, ServiceAccount
from tasks.remote.fact_scripts import Answer, fail_host_on_bad_output, read_answer, script
from tasks.settings.load import Settings

KINDS = "namespaces,nodes,serviceaccounts,secrets,configmaps"

# The data of our objects leaves kubectl only to be hashed, and only if it differs from that of the object before, which
# it seldom does. Fields that others may fill with anything are in hexadecimal.
TEMPLATE = """
{{- define "label" }}{{ with .metadata.labels }}{{ with index . "MANAGED_BY" }}{{ . }}{{ end }}{{ end }}{{ end -}}
{{- define "managers" }}{{ range .metadata.managedFields }}{{ printf "%x" .manager }},{{ end }}{{ end -}}
{{- $last := "" -}}
{{- range .items -}}
{{- $name := .metadata.name -}}
{{- $in := .metadata.namespace -}}
{{- $ours := false -}}
{{- with .metadata.labels }}{{ if eq (print (index . "MANAGED_BY")) "MANAGER" }}{{ $ours = true }}{{ end }}{{ end -}}
{{- if eq .kind "Namespace" -}}
namespace|{{ $name }}|{{ with .metadata.deletionTimestamp }}terminating{{ end }}{{ "\\n" -}}
{{- else if eq .kind "Node" -}}
node|{{ $name }}{{ range .status.addresses }}{{ printf "|%x" .address }}{{ end -}}
{{- with .metadata.labels }}{{ with index . "kubernetes.io/hostname" }}{{ printf "|%x" . }}{{ end }}{{ end -}}
{{- "\\n" -}}
{{- with .status.nodeInfo }}{{ if eq (printf "%.9s" .containerRuntimeVersion) "docker://" -}}
docker_node|{{ $name }}{{ "\\n" -}}
{{- end }}{{ end -}}
{{- else if eq .kind "ServiceAccount" -}}
{{- $entry := "" -}}
{{- with .metadata.annotations }}{{ with index . "OWN_ENTRY" }}{{ $entry = printf "%x" . }}{{ end }}{{ end -}}
{{- with .metadata.labels }}{{ if not (index . "OWN_ENTRY") }}{{ $entry = "" }}{{ end }}{{ else -}}
{{- $entry = "" }}{{ end -}}
{{- if or $entry ACCOUNTS -}}
account|{{ $in }}|{{ $name }}|{{ .metadata.resourceVersion }}|{{ $entry }}|
{{- range .imagePullSecrets }}{{ with .name }}{{ printf "%x" . }}{{ end }},{{ end }}{{ "\\n" -}}
{{- end -}}
{{- else if or $ours (and (eq .kind "Secret") (eq $name "SECRET")) (and (eq .kind "ConfigMap") (or (eq $name "CA_NAME")
    (and (eq $in "HOSTING_NAMESPACE") (eq $name "HOSTING")))) -}}
object|{{ .kind }}|{{ $in }}|{{ $name }}|{{ with .type }}{{ printf "%x" . }}{{ end }}|{{ template "label" . }}|
{{- .metadata.creationTimestamp }}|{{ template "managers" . }}|
{{- if $ours -}}
{{- $form := "%s%s=%x;" }}{{ if eq .kind "Secret" }}{{ $form = "%s%s=%s;" }}{{ end -}}
{{- $data := "" -}}
{{- range $key, $value := .data }}{{ if KEYS }}{{ $data = printf $form $data $key $value }}{{ end }}{{ end -}}
{{- if and $data (eq $data $last) }}={{ else }}{{ $data }}{{ $last = $data }}{{ end -}}
{{- end }}{{ "\\n" -}}
{{- end -}}
{{- end -}}
"""

# A variable that holds a secret must not be exported, or programs would get it in their environment. If a template
# fails, kubectl prints all of its input: only lines of our own pass.
DIGESTS = """
unset line data
digests() {
    last=
    while IFS= read -r line; do
        case $line in
            ('object|'*)
                data=${line##*|}; sum=
                case $data in
                    ('=') sum=$last ;;
                    (?*) sum=$(printf %s "$data" | sha256sum) || exit 1; sum=${sum%% *}; last=$sum ;;
                esac
                printf '%s|%s\\n' "${line%|*}" "$sum" ;;
            ('namespace|'*|'node|'*|'docker_node|'*|'account|'*|'complete|'*|'exit|'*) printf '%s\\n' "$line" ;;
        esac
    done
}
"""

READ = """
echo "kubectl|$found|$config"
if [ -n "$found" ] && [ "$config" != NO_CONFIG ]; then
    exec 4>&1
    ask() { kubectl get KINDS -A -o go-template="$template" && echo 'complete|yes' || echo "exit|$?"; }
    errors=$({ ask 2>&3 | digests >&4; } 3>&1)
    exec 4>&-
    printf '%s\\n' "$errors" | sed '/^$/d;s/^/error|/'
fi
"""


@fail_host_on_bad_output
class ClusterFact(FactBase[Cluster | None]):
    """One round trip. No secret is returned, only digests of our own, which are not printed either."""

    def command(self, settings: Settings, operator: bool = False) -> str:
        """Return the script; with `operator` it also looks for the Prometheus operator."""
        named = " ".join(f'(eq $name "{account}")' for account in settings.registry_patch_service_accounts)
        given = {
            "MANAGED_BY": MANAGED_BY, "MANAGER": MANAGER, "OWN_ENTRY": OWN_ENTRY, "CA_NAME": CA_NAME,
            "HOSTING_NAMESPACE": HOSTING_NAMESPACE, "HOSTING": HOSTING,
            "SECRET": settings.registry_pull_secret_name, "ACCOUNTS": f"(or false {named})",
            "KEYS": "or " + " ".join(f'(eq $key "{key}")' for key in KEYS),
        }  # fmt: skip
        template = re.sub(r"\b[A-Z][A-Z_]+\b", lambda word: given.get(word[0], word[0]), TEMPLATE)
        read = READ.replace("KINDS", KINDS).replace("NO_CONFIG", NO_CONFIG)
        look = monitoring.LOOK if operator else ""
        return script(kubectl.find_script(settings), f"template='{template}'", DIGESTS, read, look)

    def process(self, output: list[str]) -> Cluster:
        """Read the answer; `FactProcessError` if it is not complete."""
        answer = read_answer(output)
        program, config = answer.all("kubectl")[0]
        if program and config != NO_CONFIG and not (answer.one("complete") or answer.one("exit")):
            raise FactProcessError("the answer was cut short")
        errors = kubectl_errors.read_errors("|".join(line) for line in answer.all("error"))
        if answer.one("exit") and not errors:
            errors = ["kubectl ended without a message"]
        unreadable = {right[2] for line in errors if (right := kubectl_errors.missing_right(line))}
        return Cluster(
            program,
            config,
            {name: state == "terminating" for name, state in answer.all("namespace")},
            {name: frozenset((name, *map(_decode, others))) for name, *others in answer.all("node")},
            _objects(answer),
            {
                Ref("ServiceAccount", namespace, name): ServiceAccount(
                    version, _names(secrets), _decode(entry)
                )
                for namespace, name, version, entry, secrets in answer.all("account")
            },
            frozenset(unreadable) if len(unreadable) == len(errors) else frozenset(),
            tuple(errors) if answer.one("exit") else (),
            frozenset(name for (name,) in answer.all("docker_node")),
            monitoring.read(answer),
        )


def _objects(answer: Answer) -> dict[Ref, ExistingObject]:
    found: dict[Ref, ExistingObject] = {}
    kinds: dict[str, Kind] = {"Secret": "Secret", "ConfigMap": "ConfigMap"}
    for kind, namespace, name, kind_of_secret, label, created, managers, digest in answer.all("object"):
        by = tuple(dict.fromkeys(_names(managers)))
        found[Ref(kinds[kind], namespace, name)] = ExistingObject(
            _decode(kind_of_secret), label, created, by, digest
        )
    return found


def _names(text: str) -> tuple[str, ...]:
    return tuple(_decode(each) for each in text.split(",")[:-1])


def _decode(text: str) -> str:
    return bytes.fromhex(text).decode()
