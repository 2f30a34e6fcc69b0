"""Whether an image that was built may lack Debian's security updates. Images are not updated by themselves."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

from tasks.remote.fact_scripts import Answer

DAYS = 30
"""After so many days `make verify` fails for an image that may be out of date."""

LABEL = "homelab-registry.packages"
"""The label of an image that was built: the packages that it has files of, as `name=version,name=version`."""

FORMAT = f'{{{{.Id}}}}|{{{{.Created}}}}|{{{{index .Config.Labels "{LABEL}"}}}}'
"""What `docker image inspect` prints of an image."""

LOOK = r"""
if [ -n "$made" ] && command -v apt-cache >/dev/null; then
    packages=$(printf '%s\n' "$made" | cut -d '|' -f 5 | tr ',' '\n' | sed -n 's/=.*//p' | sort -u)
    [ -z "$packages" ] || apt-cache policy $packages 2>/dev/null \
        | awk '/^[^ ]/ { name = $1; sub(/:$/, "", name) } $1 == "Candidate:" { print "candidate|" name "|" $2 }'
    echo "asked|$(stat -c %Y /var/lib/apt/lists)"
fi
"""
"""The script that asks apt, without the network, for the versions of the packages in `$made`, the images' lines."""


@dataclass(frozen=True)
class Built:
    """When an image was built, and of which versions of packages; none for one that was pulled."""

    at: dt.datetime
    packages: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Debian:
    """The version of each package that the host would install now, by its package lists of the time `asked`."""

    candidates: Mapping[str, str] = field(default_factory=dict)
    asked: dt.datetime | None = None


def read_built(answer: Answer) -> dict[str, Built]:
    """Return what each image that was built was built of, by reference."""
    found = {}
    for reference, _, created, packages in answer.all("image"):
        if packages:
            versions = dict(each.split("=", 1) for each in packages.split(","))
            found[reference] = Built(dt.datetime.fromisoformat(created), versions)
    return found


def read_debian(answer: Answer) -> Debian:
    """Return what the host's apt knows."""
    asked = answer.one("asked")
    return Debian(
        {name: version for name, version in answer.all("candidate") if version != "(none)"},
        dt.datetime.fromtimestamp(int(asked), dt.UTC) if asked else None,
    )


def warning(built: Built, debian: Debian, now: dt.datetime) -> str | None:
    """Return why an image may be out of date, None if it is not known to be."""
    newer = [
        f"{name} {debian.candidates[name]}"
        for name, version in built.packages.items()
        if debian.candidates.get(name, version) != version
    ]
    if newer:
        return f"it was built on {built.at:%Y-%m-%d}, and there is now {', '.join(newer)}"
    asked = debian.asked or built.at
    if (now - built.at).days > DAYS and (now - asked).days > DAYS:
        return (
            f"it was built on {built.at:%Y-%m-%d}, and this host has looked for newer packages last on "
            f"{asked:%Y-%m-%d} (apt-get update)"
        )
    return None
