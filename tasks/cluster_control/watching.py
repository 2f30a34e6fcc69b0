"""The changes that have the cluster's Prometheus watch the registry, or no longer do so."""

from __future__ import annotations

from tasks.cluster_control import monitoring
from tasks.cluster_control.kubectl import MANAGER
from tasks.cluster_control.monitoring import Operator, Watched
from tasks.cluster_control.plan import Change, Cluster, Plan, write
from tasks.cluster_control.pull_secrets import Ref


def watch(watched: Watched | None, found: Cluster, result: Plan) -> None:
    """Add the changes and problems to `result`; `watched` is None without metrics.

    Nothing is changed if what the operator has is not known, or without one.
    """
    operator = found.operator
    if operator is None:
        return
    if operator.error:
        problem = f"what the Prometheus operator has could not be read: {operator.error}"
        result.problems.append((problem, "fix that and run again"))
        return
    if watched and operator.namespace:
        _write(watched, operator, operator.namespace, found, result)
    elif watched and "there" in operator.kinds.values():
        result.notes.append(
            "the cluster has the Prometheus operator but no Prometheus that could watch the registry: create one and "
            "run again"
        )
    result.changes += _remove(watched, operator, found)


def _write(watched: Watched, operator: Operator, namespace: str, found: Cluster, result: Plan) -> None:
    for content in monitoring.contents(watched):
        what = (
            "the login of Prometheus as Secret" if content.kind == "Secret" else "the dashboard as ConfigMap"
        )
        for origin in write(content, f"{what} {content.name}", [namespace], found, result).values():
            result.problems.append(
                (
                    f"the {content.kind} {content.name} in {namespace} is not ours ({origin}) and stays as it is",
                    f"delete it (kubectl -n {namespace} delete {content.kind.lower()} {content.name}) and run again",
                )
            )
    for ref, manifest in monitoring.manifests(watched, operator).items():
        held = operator.objects.get(ref)
        if held is None or not monitoring.has(held, manifest):
            why = "its content is not as it should be" if held else "it is missing"
            result.changes.append(Change(ref, f"write the {ref.kind} {ref.name} in", why, manifest))


def _remove(watched: Watched | None, operator: Operator, found: Cluster) -> list[Change]:
    """Return the changes that remove what no Prometheus needs; the secret last, since it says that there is more."""
    wanted = monitoring.manifests(watched, operator) if watched and operator.namespace else {}
    plain = [
        ref
        for ref, held in found.objects.items()
        if ref.name in {monitoring.SECRET, monitoring.DASHBOARD} and held.ours and MANAGER in held.managers
        if not (watched and ref.namespace == operator.namespace)
    ]
    unwanted: list[Ref] = [*(ref for ref in operator.objects if ref not in wanted), *plain]
    why = "no Prometheus is in that namespace" if watched else "registry_metrics is off"
    return [
        Change(ref, f"delete the {ref.kind} {ref.name} from", why)
        for ref in sorted(unwanted, key=lambda each: each.kind == "Secret")
        if not found.namespaces.get(ref.namespace)
    ]
