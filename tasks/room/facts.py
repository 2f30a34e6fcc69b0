"""Which images the engines of a host use: Docker's, those of containerd, and what Podman and CRI-O have.

A stopped container uses its image too: it may be started again. An engine that does not answer is unknown, and is
never taken for one without containers; nor is it started.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections import defaultdict
from typing import Any

from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from tasks.remote.docker import OWN_ENGINE
from tasks.remote.fact_scripts import Answer, fail_host_on_bad_output, read_answer, script
from tasks.remote.users import RUN_AS
from tasks.room.uses import Use, Uses
from tasks.settings.redact import printable

# Fields with text of others are in Base64: no container, image or user can forge a line.
COMMON = r"""
encoded() { printf %s "$1" | base64 -w 0; }
unread() { # ENGINE TEXT: the line of an error that says most
    line=$(printf '%s\n' "$2" | grep -v '^$' | tail -n 1 | cut -c 1-200)
    echo "unread|$(encoded "$1")|$(encoded "$line")"
}
"""

# `docker ps` would say the reference alone, and the image's ID if its tag was moved. An image that was removed by force
# while a container uses it is not there any more: then the container's reference and image ID have to do.
DOCKER = r"""
ask_docker() { # ENGINE SOCKET
    if ! command -v docker >/dev/null; then unread "$1" 'there is no docker command'; return; fi
    ids=$(timeout 60 docker -H "$2" ps -aq --no-trunc 2>&1) || { unread "$1" "$ids"; return; }
    images=
    if [ -n "$ids" ]; then
        form='{{.Image}} {{json .Name}} {{json .Config.Image}}'
        # One that is removed meanwhile is an error as well.
        found=$(timeout 60 docker -H "$2" container inspect -f "$form" $ids 2>&1) ||
            found=$(for id in $ids; do timeout 60 docker -H "$2" container inspect -f "$form" "$id" 2>&1; done |
                grep -v 'No such container')
        echo "docker|$(encoded "$1")|$(encoded "$found")"
        images=$(printf '%s\n' "$found" | cut -d ' ' -f 1 | sort -u)
        form='{{.Id}} {{json .RepoTags}} {{json .RepoDigests}}'
        found=$(timeout 60 docker -H "$2" image inspect -f "$form" $images 2>/dev/null)
        echo "docker_images|$(encoded "$1")|$(encoded "$found")"
    fi
    if services=$(timeout 60 docker -H "$2" service ls -q 2>&1); then
        form='{{.Spec.Name}} {{json .Spec.TaskTemplate}} {{json .PreviousSpec}}'
        [ -z "$services" ] || found=$(timeout 60 docker -H "$2" service inspect -f "$form" $services 2>&1) ||
            { unread "$1" "$found"; return; }
        [ -z "$services" ] || echo "services|$(encoded "$1")|$(encoded "$found")"
    else
        case $services in
            (*'not a swarm manager'*|*'only supported'*) ;;
            (*) unread "$1" "$services" ;;
        esac
    fi
}
# Its socket may be systemd's, which would start the engine, or Podman's.
socket=$(readlink -f /var/run/docker.sock)
state=$(systemctl is-active docker.service snap.docker.dockerd.service 2>/dev/null | grep -x active | head -n 1)
case $socket in
    (*/podman.sock) ;;
    (*) if [ "$state" = active ] || { [ -S "$socket" ] && [ ! -d /run/systemd/system ]; } ||
            { [ -S "$socket" ] && [ "$(systemctl is-active docker.socket 2>/dev/null)" != active ] &&
                timeout 20 docker version >/dev/null 2>&1; }; then
            ask_docker 'Docker Engine' unix:///var/run/docker.sock
        else
            for folder in /var/lib/docker /var/snap/docker/common/var-lib-docker \
                $(sed -n 's/.*"data-root" *: *"\([^"]*\)".*/\1/p' /etc/docker/daemon.json 2>/dev/null); do
                [ -z "$(ls -A "$folder/containers" 2>/dev/null)" ] || {
                    unread 'Docker Engine' "it is off, and has containers in $folder"; break; }
            done
        fi ;;
esac
"""

# A user's own engines. Below a home everything is read with its owner's rights.
USERS = r"""
of_user='
    for socket in "/run/user/$(id -u)/docker.sock"; do [ ! -S "$socket" ] || echo "socket|$socket"; done
    root=$HOME/.local/share/docker
    [ -z "$(ls -A "$root/containers" 2>/dev/null)" ] || echo "data|$root"
    named=$(sed -n "s/^ *graphroot *= *\"\(.*\)\" *\$/\1/p" "$HOME/.config/containers/storage.conf" 2>/dev/null)
    for root in "$HOME/.local/share/containers/storage" "$named"; do
        for file in "$root"/*-containers/containers.json "$root"/*-containers/volatile-containers.json; do
            [ ! -s "$file" ] || echo "containers|$(base64 -w 0 < "$file")"
        done
        for file in "$root"/*-images/images.json; do
            [ ! -s "$file" ] || echo "images|$(base64 -w 0 < "$file")"
        done
    done
    echo end
'
# The databases of users may be of a directory service that lists nobody: then a home has to be below /home.
{ getent passwd; for home in /home/*; do [ ! -d "$home" ] || getent passwd "$(stat -c %u "$home")"; done; } |
    sort -u | while IFS=: read -r name x id group x home x; do
    [ "$id" -ge 1000 ] && [ "$id" -ne 65534 ] && [ -d "$home" ] || continue
    [ -d "$home/.local/share/containers" ] || [ -d "$home/.local/share/docker" ] ||
        [ -S "/run/user/$id/docker.sock" ] || [ -f "$home/.config/containers/storage.conf" ] || continue
    if found=$(run_as "$id" "$group" "$name" "$home" "$of_user" 2>/dev/null < /dev/null | head -c 16777216) &&
            [ "${found##*
}" = end ]; then
        echo "user|$name|$(encoded "$found")"
        if [ -S "/run/user/$id/docker.sock" ]; then
            ask_docker "$name's Docker Engine" "unix:///run/user/$id/docker.sock"
        else case $found in (*'data|'*) unread "$name's Docker Engine" 'it is off, and has containers' ;; esac; fi
    else unread "$name's containers" 'they could not be read'; fi
done
"""

# What Podman and CRI-O use they write into files (containers/storage), which also tell while nothing of them runs.
STORES = r"""
named=$(sed -n 's/^ *graphroot *= *"\(.*\)" *$/\1/p' /etc/containers/storage.conf 2>/dev/null)
for root in /var/lib/containers/storage "$named"; do
    [ -d "$root" ] || continue
    for file in "$root"/*-containers/containers.json "$root"/*-containers/volatile-containers.json; do
        [ ! -s "$file" ] || echo "containers|$(base64 -w 0 < "$file")" || exit 1
    done
    for file in "$root"/*-images/images.json; do
        [ ! -s "$file" ] || echo "images|$(base64 -w 0 < "$file")" || exit 1
    done
done
"""

# Which containers there are only a running containerd says. One that was ever started has a database.
CONTAINERD = r"""
k3s=/run/k3s/containerd/containerd.sock
client=
for each in ctr 'k3s ctr' '/usr/local/bin/k3s ctr' /var/lib/rancher/rke2/bin/ctr '/snap/bin/microk8s ctr'; do
    if command -v "${each%% *}" >/dev/null; then client=$each; break; fi
done
asked=
ask_containerd() { # SOCKET
    case " $asked " in (*" $1 "*) return ;; esac
    asked="$asked $1"
    if [ -z "$client" ]; then unread "containerd at $1" 'there is no ctr command'; return; fi
    spaces=$(timeout 60 $client -a "$1" namespaces ls -q 2>&1) || { unread "containerd at $1" "$spaces"; return; }
    for space in $spaces; do
        [ "$space" != moby ] || continue # Docker's, which was asked itself
        found=$(timeout 60 $client -a "$1" -n "$space" containers ls 2>&1) &&
            images=$(timeout 60 $client -a "$1" -n "$space" images ls 2>/dev/null) ||
            { unread "containerd at $1" "$found"; return; }
        echo "containerd|$space|$(encoded "$(printf '%s\n' "$found" | awk 'NR > 1 { print $1, $2 }')")"
        echo "containerd_images|$space|$(encoded "$(printf '%s\n' "$images" | awk 'NR > 1 { print $1, $3 }')")"
    done
}
for each in $(ss -Hxl 2>/dev/null | awk '{ print $5 }' | grep '/containerd\.sock$' | sort -u); do
    # Docker was asked itself. Sockets of hosts in containers are in this list if they share the network.
    case $each in (*/docker/containerd/*) ;; (*) [ ! -S "$each" ] || ask_containerd "$each" ;; esac
done
while read -r data socket; do
    [ -s "$data/io.containerd.metadata.v1.bolt/meta.db" ] || continue
    if [ -S "$socket" ]; then ask_containerd "$socket"
    else unread "containerd at $socket" 'it is off, and may have containers'; fi
done <<END
/var/lib/containerd /run/containerd/containerd.sock
/var/lib/rancher/k3s/agent/containerd $k3s
/var/lib/rancher/rke2/agent/containerd $k3s
/var/snap/microk8s/common/var/lib/containerd /var/snap/microk8s/common/run/containerd.sock
END
"""


@fail_host_on_bad_output
class UsedImagesFact(FactBase[Uses | None]):
    """One round trip. `pods_on` of its answer is not empty if pods run there."""

    def command(self) -> str:
        """Return the script."""
        return script(OWN_ENGINE, COMMON, RUN_AS, DOCKER, USERS, STORES, CONTAINERD)

    def process(self, output: list[str]) -> Uses:
        """Read the answer; `FactProcessError` if it is not whole."""
        answer = read_answer(output)
        found = [*_docker(answer), *_containerd(answer), *_stores(answer, "")]
        has_pods = any(space == "k8s.io" for space, _ in answer.all("containerd")) or _has_pods(answer)
        unread = [f"{_text(engine)}: {_text(error)}" for engine, error in answer.all("unread")]
        for user, encoded in answer.all("user"):
            try:
                found += _stores(read_answer(_text(encoded).split("\n")), f"{user}'s ")
            except (FactProcessError, ValueError, LookupError, TypeError):
                unread.append(f"{user}'s containers: they could not be read")
        return Uses(tuple(found), tuple(printable(each) for each in unread), ("here",) if has_pods else ())


def _docker(answer: Answer) -> list[Use]:
    found = []
    images = {
        id_: texts
        for _, encoded in answer.all("docker_images")
        for id_, _, texts in (line.partition(" ") for line in _text(encoded).splitlines())
    }
    for _, encoded in answer.all("docker"):
        for line in _text(encoded).splitlines():
            id_, name, reference = line.split(" ", 2)
            by = f"container {json.loads(name).removeprefix('/')}"
            found += [Use(by, json.loads(reference)), Use(by, id_), Use(by, images.get(id_, ""))]
    for _, encoded in answer.all("services"):
        for line in _text(encoded).splitlines():
            name, _, rest = line.partition(" ")
            found += [Use(f"service {name}", each) for each in _images_in(rest)]
    return found


def _images_in(texts: str) -> list[str]:
    """Return the image of a service's task template, and of the one that a rollback goes back to."""
    decoder, found = json.JSONDecoder(), []
    template, end = decoder.raw_decode(texts)
    previous = json.loads(texts[end:])
    for each in (template, (previous or {}).get("TaskTemplate")):
        container = (each or {}).get("ContainerSpec") or {}
        found += [str(container["Image"])] if container.get("Image") else []
    return found


def _containerd(answer: Answer) -> list[Use]:
    digests: dict[tuple[str, str], str] = {}
    for space, encoded in answer.all("containerd_images"):
        for line in _text(encoded).splitlines():
            reference, _, digest = line.partition(" ")
            digests[space, reference] = digest
    found = []
    for space, encoded in answer.all("containerd"):
        for line in _text(encoded).splitlines():
            id_, _, reference = line.partition(" ")
            by = f"container {id_[:12]} ({space})"
            found += [Use(by, reference), Use(by, digests.get((space, reference), ""))]
            # The CRI names an image by its ID, by its tag and by its digest.
            has = digests.get((space, reference))
            found += [
                Use(by, other) for (where, other), its in digests.items() if where == space and its == has
            ]
    return found


def _stores(answer: Answer, whose: str) -> list[Use]:
    """Return what containers of containers/storage use (containers.go and images.go there)."""
    images: dict[str, list[str]] = defaultdict(list)
    for (encoded,) in answer.all("images"):
        for image in _objects(encoded):
            digests = [image.get("digest"), *(image.get("big-data-digests") or {}).values()]
            images[image["id"]] += [str(each) for each in [*(image.get("names") or ()), *digests] if each]
    found = []
    for container in _stored_containers(answer):
        about = dict(json.loads(container.get("metadata") or "{}"))
        name = about.get("name") or next(iter(container.get("names") or ()), container["id"][:12])
        by = f"{whose}container {name}"
        texts = [str(about.get("image-name") or ""), f"sha256:{container.get('image') or ''}"]
        found += [Use(by, each) for each in [*texts, *images[container.get("image") or ""]] if each]
    return found


def _stored_containers(answer: Answer) -> list[dict[str, Any]]:
    return [each for (encoded,) in answer.all("containers") for each in _objects(encoded)]


def _objects(encoded: str) -> list[dict[str, Any]]:
    """Return the objects of a JSON list; `ValueError` if it has others, or one of these has another shape."""
    found = json.loads(_text(encoded)) or []
    kinds = {"metadata": str, "names": list, "big-data-digests": dict}
    for each in found:
        if not isinstance(each, dict) or any(
            not isinstance(each.get(key) or kind(), kind) for key, kind in kinds.items()
        ):
            raise ValueError("unknown form")
    return list(found)


def _has_pods(answer: Answer) -> bool:
    """Return whether containers are CRI-O's, which notes the pod of each."""
    return any("pod-name" in (each.get("metadata") or "") for each in _stored_containers(answer))


def _text(encoded: str) -> str:
    return b64decode(encoded).decode(errors="replace")
