"""What a cluster holds that has to do with us, in one call of kubectl."""

from __future__ import annotations

import re

from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from tasks.cluster_control import kubectl, kubectl_errors
from tasks.cluster_control.kubectl import MANAGER, NONE
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
from tasks.cluster_control.service_accounts import MARK, ServiceAccount
from tasks.remote.fact_scripts import Answer, fail_host_on_bad_output, read_answer, script
from tasks.settings.load import Settings

KINDS = "namespaces,nodes,serviceaccounts,secrets,configmaps"

# Of the objects that are ours what we write in them leaves kubectl for the digest alone, and that only where it is not
# the same as in the one before: nearly all are alike. What others may put anything into is told in hexadecimal.
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
namespace|{{ $name }}|{{ with .metadata.deletionTimestamp }}going{{ end }}{{ "\\n" -}}
{{- else if eq .kind "Node" -}}
node|{{ $name }}{{ range .status.addresses }}{{ printf "|%x" .address }}{{ end -}}
{{- with .metadata.labels }}{{ with index . "kubernetes.io/hostname" }}{{ printf "|%x" . }}{{ end }}{{ end -}}
{{- "\\n" -}}
{{- else if eq .kind "ServiceAccount" -}}
{{- $mark := "" -}}
{{- with .metadata.annotations }}{{ with index . "MARK" }}{{ $mark = printf "%x" . }}{{ end }}{{ end -}}
{{- with .metadata.labels }}{{ if not (index . "MARK") }}{{ $mark = "" }}{{ end }}{{ else }}{{ $mark = "" }}{{ end -}}
{{- if or $mark ACCOUNTS -}}
account|{{ $in }}|{{ $name }}|{{ .metadata.resourceVersion }}|{{ $mark }}|
{{- range .imagePullSecrets }}{{ with .name }}{{ printf "%x" . }}{{ end }},{{ end }}{{ "\\n" -}}
{{- end -}}
{{- else if or $ours (and (eq .kind "Secret") (eq $name "SECRET")) (and (eq .kind "ConfigMap") (or (eq $name "CA_NAME")
    (and (eq $in "HOSTING_NAMESPACE") (eq $name "HOSTING")))) -}}
held|{{ .kind }}|{{ $in }}|{{ $name }}|{{ with .type }}{{ printf "%x" . }}{{ end }}|{{ template "label" . }}|
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

# Not one variable that a secret is in may have been exported before, or programs would be given it. Where a template
# fails, kubectl prints all that it was given: only lines of ours are let through.
DIGESTS = """
unset line data
digests() {
    last=
    while IFS= read -r line; do
        case $line in
            ('held|'*)
                data=${line##*|}; sum=
                case $data in
                    ('=') sum=$last ;;
                    (?*) sum=$(printf %s "$data" | sha256sum) || exit 1; sum=${sum%% *}; last=$sum ;;
                esac
                printf '%s|%s\\n' "${line%|*}" "$sum" ;;
            ('namespace|'*|'node|'*|'account|'*|'whole|'*|'exit|'*) printf '%s\\n' "$line" ;;
        esac
    done
}
"""

READ = """
echo "kubectl|$found|$config"
if [ -n "$found" ] && [ "$config" != NONE ]; then
    exec 4>&1
    ask() { kubectl get KINDS -A -o go-template="$template" && echo 'whole|yes' || echo "exit|$?"; }
    complaints=$({ ask 2>&3 | digests >&4; } 3>&1)
    exec 4>&-
    printf '%s\\n' "$complaints" | sed '/^$/d;s/^/complaint|/'
fi
"""


@fail_host_on_bad_output
class ClusterFact(FactBase[Cluster | None]):
    """One round trip. No secret is told: of ours only a digest, which is printed nowhere either."""

    def command(self, settings: Settings) -> str:
        """Return the script."""
        named = " ".join(f'(eq $name "{account}")' for account in settings.registry_patch_service_accounts)
        given = {
            "MANAGED_BY": MANAGED_BY, "MANAGER": MANAGER, "MARK": MARK, "CA_NAME": CA_NAME,
            "HOSTING_NAMESPACE": HOSTING_NAMESPACE, "HOSTING": HOSTING,
            "SECRET": settings.registry_pull_secret_name, "ACCOUNTS": f"(or false {named})",
            "KEYS": "or " + " ".join(f'(eq $key "{key}")' for key in KEYS),
        }  # fmt: skip
        template = re.sub(r"\b[A-Z][A-Z_]+\b", lambda word: given.get(word[0], word[0]), TEMPLATE)
        read = READ.replace("KINDS", KINDS).replace("NONE", NONE)
        return script(kubectl.finding(settings), f"template='{template}'", DIGESTS, read)

    def process(self, output: list[str]) -> Cluster:
        """Read the answer; `FactProcessError` where it is not whole."""
        answer = read_answer(output)
        program, config = answer.all("kubectl")[0]
        if program and config != NONE and not (answer.one("whole") or answer.one("exit")):
            raise FactProcessError("the answer was cut short")
        complaints = kubectl_errors.complaints("|".join(line) for line in answer.all("complaint"))
        if answer.one("exit") and not complaints:
            complaints = ["it ended without a word"]
        unread = {right[2] for line in complaints if (right := kubectl_errors.forbidden(line))}
        return Cluster(
            program,
            config,
            {name: going == "going" for name, going in answer.all("namespace")},
            {name: frozenset((name, *map(_plain, others))) for name, *others in answer.all("node")},
            _held(answer),
            {
                Ref("ServiceAccount", namespace, name): ServiceAccount(version, _names(secrets), _plain(mark))
                for namespace, name, version, mark, secrets in answer.all("account")
            },
            frozenset(unread) if len(unread) == len(complaints) else frozenset(),
            tuple(complaints) if answer.one("exit") else (),
        )


def _held(answer: Answer) -> dict[Ref, ExistingObject]:
    found: dict[Ref, ExistingObject] = {}
    kinds: dict[str, Kind] = {"Secret": "Secret", "ConfigMap": "ConfigMap"}
    for kind, namespace, name, sort, label, made, managers, digest in answer.all("held"):
        by = tuple(dict.fromkeys(_names(managers)))
        found[Ref(kinds[kind], namespace, name)] = ExistingObject(_plain(sort), label, made, by, digest)
    return found


def _names(text: str) -> tuple[str, ...]:
    return tuple(_plain(each) for each in text.split(",")[:-1])


def _plain(text: str) -> str:
    return bytes.fromhex(text).decode()
