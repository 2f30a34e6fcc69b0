"""What the registry host has: our files, the engine's own report on our containers, and which certificate is served."""

from __future__ import annotations

import json
import shlex
from base64 import b64decode

from pyinfra.api.facts import FactBase

from tasks.accounts import passwords
from tasks.registry import (
    address,
    cache,
    desired,
    image_age,
    keeper,
    leaf,
    metrics,
    proof,
    storage,
    suitable,
    usage,
)  # fmt: skip
from tasks.registry.containers import (
    CONFIG,
    FORMER,
    GATEWAY,
    GATEWAY_CONFIG,
    GATEWAY_PORT,
    NETWORK,
    NEXT,
    REGISTRY,
    SOCKETS,
    STORAGE,
)  # fmt: skip
from tasks.registry.plan import LINKED, RegistryHost
from tasks.remote.docker import OWN_ENGINE
from tasks.remote.fact_scripts import emit_paths, fail_host_on_bad_output, read_answer, script
from tasks.remote.files import NEW_SUFFIX
from tasks.settings import listen
from tasks.settings.load import Settings


@fail_host_on_bad_output
class RegistryFact(FactBase[RegistryHost | None]):
    """One round trip. No secret is read: of a file with secrets only its digest, of the leaf its public part."""

    def command(self, settings: Settings, images: list[str], recorded: list[str], mark: str = "") -> str:
        """Return the script.

        `images` are the references of images whose ids are asked for, `recorded` the folders that had the images so
        far, as the state knows it. `mark` is a script that notes that a run looks at this host (`metrics.mark`).
        """
        port = settings.registry_port
        others = listen.elsewhere(settings.registry_listen_address)
        kinds = "|".join((REGISTRY, GATEWAY, keeper.NAME, cache.NAME, metrics.NAME))
        networks = [NETWORK]
        targets = [CONFIG, GATEWAY_CONFIG, SOCKETS, STORAGE, keeper.CONFIG, keeper.ANSWERS]
        if settings.registry_caches:
            networks.append(cache.NAME)
            targets += [cache.CONFIG, cache.SOCKETS, cache.STORAGE, cache.TRUST]
        if settings.registry_metrics:
            targets.append(metrics.CONFIG)
        format_ = shlex.quote(image_age.FORMAT)
        leaves, leaf_link, first = (
            f"{desired.FOLDER}/{name}" for name in (leaf.FOLDER, leaf.LINK, leaf.FIRST)
        )
        link, cache_link = (shlex.quote(f"{desired.FOLDER}/{each}") for each in (desired.SOCKET, cache.LINK))
        inner = proof.handshake(f'"$inner":{GATEWAY_PORT}', settings.registry_hostname)
        htpasswd = shlex.quote(f"{desired.FOLDER}/{desired.HTPASSWD}")
        return script(
            # A run that was killed may still be replacing a container: the shell on a host outlives its connection.
            f"[ ! -d {desired.FOLDER} ] || flock -s -w 120 {desired.FOLDER} true || exit 1",
            mark,
            f"{emit_paths(desired.paths(settings))} $(ls -d {leaves}/*.pem {leaves}/.*{NEW_SUFFIX} "
            f"{desired.FOLDER}/{cache.LOGINS}/* 2>/dev/null)",
            address.LOOK,
            storage.look(
                f"{desired.FOLDER}/{desired.STORAGE_RECORD}",
                list(dict.fromkeys([settings.registry_storage_path, *recorded])),
            ),
            f"""
echo "leaf|$(readlink {leaf_link})"
public() {{ {proof.ONLY_CERTIFICATES} "$1" 2>/dev/null; }}
installed=$( (public {leaf_link} || public {first}) | base64 -w 0)
served=$({proof.handshake(settings.local_endpoint, settings.registry_hostname)} | base64 -w 0)
echo "installed|$installed"
echo "served|$served"
[ ! -L {link} ] || echo "link|{REGISTRY}|$(readlink {link})"
[ ! -L {cache_link} ] || echo "link|{cache.NAME}|$(readlink {cache_link})"
echo "change|$(sed -n '1s/^{passwords.COMMENT}//p' {htpasswd} 2>/dev/null)"
listener=$(ss -Hltnp 'sport = :{port}{others}' | sed -n 's/.*users:(("\\([^"]*\\)",pid=\\([0-9]*\\).*/\\1 (pid \\2)/p')
echo "listener|$(echo "$listener" | head -n 1)"
if command -v openssl >/dev/null; then echo 'handshake|yes'; fi
{OWN_ENGINE}
docker() {{ timeout 20 docker "$@"; }}
# Each call of docker takes as long as all else here: as few as will do.
ids=$(docker ps -aq --no-trunc --filter 'name=^/?({kinds})({NEXT}|{FORMER})?$' 2>/dev/null)
case $? in
    (0) engine=running ;;
    (124) engine=silent ;;
    (*) engine=absent; ! docker version >/dev/null 2>&1 || {{ docker ps >/dev/null; exit 1; }} ;;
esac
echo "engine|$engine"
if [ $engine = running ]; then
    form='{{{{.Name}}}}|{{{{.State.Pid}}}}|{{{{range .NetworkSettings.Networks}}}}{{{{.IPAddress}}}}{{{{end}}}}'
    form="$form|{{{{json .}}}}"
    reports=
    [ -z "$ids" ] || reports=$(docker container inspect -f "$form" $ids) || exit 1
    [ -z "$reports" ] || printf '%s\n' "$reports" | while IFS='|' read -r name pid inner report; do
        name=${{name#/}}
        printf 'container|%s|%s\n' "$name" "$report"
        [ "$pid" -eq 0 ] || for target in {shlex.join(targets)}; do
            inode=$(stat -c %i "/proc/$pid/root$target" 2>/dev/null) && echo "inside|$name|$target|$inode"
        done
        # Something else may take the port before it reaches the gateway (a NAT rule, as of K3s' ServiceLB).
        [ -z "$inner" ] || [ -z "$served" ] || [ "$served" = "$installed" ] ||
            echo "inner|$name|$({inner} | base64 -w 0)"
    done
    [ -z "$served" ] || [ "$served" = "$installed" ] || {{ iptables-save -t nat; nft list ruleset; }} 2>/dev/null |
        grep -E 'dports? ([0-9,]*,)?{port}(,| |$)' | grep -vE '(to|to-destination) [0-9.]*:{GATEWAY_PORT}( |$)' |
        sed 's/^[[:space:]]*/rule|/'
    # Docker Engine itself, or its proxy, listens for a container; a running one of ours is known already.
    case $listener in (docker-proxy*|dockerd*)
        printf '%s\n' "$reports" | grep -q '"Running":true.*"HostPort":"{port}"' ||
            docker ps --filter publish={port} --format 'holder|{{{{.Names}}}}' ;;
    esac
    # A network that a running container is in exists.
    inhabited() {{ printf '%s\n' "$reports" | grep -q '"Running":true.*"Networks":{{"'"$1"'":'; }}
    if {" && ".join(f"inhabited {network}" for network in networks)}; then
        printf 'network|%s\n' {shlex.join(networks)}
    else
        docker network ls --format 'network|{{{{.Name}}}}' || exit 1
    fi
    set -- {shlex.join(images)}
    if ids=$(docker image inspect -f {format_} "$@" 2>/dev/null); then
        made=$(for id in $ids; do echo "image|$1|$id"; shift; done)
    else
        made=$(for image; do
            id=$(docker image inspect -f {format_} "$image" 2>/dev/null) && echo "image|$image|$id"
        done)
    fi
    [ -z "$made" ] || printf '%s\n' "$made"
fi
""",
            image_age.LOOK,
            usage.look(settings.registry_storage_path, desired.FOLDER),
            cache.look(settings),
            suitable.look(
                [
                    desired.FOLDER,
                    settings.registry_storage_path,
                    *([settings.registry_cache_path] if settings.registry_caches else []),
                ]
            ),
        )

    def process(self, output: list[str]) -> RegistryHost:
        """Read the answer; `FactProcessError` where it is not whole."""
        answer = read_answer(output)
        return RegistryHost(
            addresses=address.read_addresses(answer),
            paths=answer.paths,
            links=dict.fromkeys(LINKED) | dict(answer.all("link")),
            engine=answer.one("engine"),  # type: ignore[arg-type]  # the script prints nothing else
            containers={name: json.loads("|".join(text)) for name, *text in answer.all("container")},
            images={reference: id_ for reference, id_, *_ in answer.all("image")},
            built=image_age.read_built(answer),
            confinement=suitable.read_confinement(answer),
            debian=image_age.read_debian(answer),
            networks=frozenset(name for (name,) in answer.all("network")),
            inside={(name, target): int(inode) for name, target, inode in answer.all("inside")},
            listener=answer.one("listener") or None,
            holders=tuple(name for (name,) in answer.all("holder")),
            change=answer.one("change") or "",
            leaf=answer.one("leaf") or "",
            installed=_text(answer.one("installed")),
            handshake=answer.one("handshake") is not None,
            places=storage.read_places(answer),
            usage=usage.read(answer),
            shadowed=tuple(repository for (repository,) in answer.all("shadowed")),
            foreign=answer.one("foreign"),
            storage=storage.read_record(_text(answer.one("record"))),
            served=_text(answer.one("served")),
            inner={name: _text(pem) for name, pem in answer.all("inner")},
            rules=tuple("|".join(rule) for rule in answer.all("rule")),
        )


def _text(encoded: str | None) -> str:
    """Decode a certificate. One that is damaged is no text any more; it is then found to differ, and written again."""
    return b64decode(encoded or "").decode(errors="replace")
