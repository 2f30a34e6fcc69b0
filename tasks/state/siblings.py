"""Find which other state on the controller made a certificate: by the keys of its CAs, not by a folder's name."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509

from tasks.certificates.ca import issued_by
from tasks.problem import Problem
from tasks.state.files import list_folder
from tasks.state.store import Store


def find_maker(leaf: x509.Certificate, folder: Path, places: Iterable[Path]) -> Path | None:
    """Return the state beside the one in `folder`, or in one of the `places`, that has the CA which issued `leaf`.

    A name with a dot, as `yours.damaged`, says that a state was moved away on purpose. None if there is no such state.
    """
    others = [path for place in dict.fromkeys((folder.parent, *places)) for path in _folders(place)]
    return next((path for path in others if path != folder and _has_issuer(path, leaf)), None)


def inventory_of(folder: Path) -> Path | None:
    """Return the inventory that a state is kept for (see `place.base_folder`), None if it is not there any more."""
    base, name = folder.parent.parent, f"{folder.name}.py"
    return next((path for path in (base / "inventories" / name, base / name) if path.is_file()), None)


def move(old: Path, new: Path) -> str:
    """Return the command that puts one state into the place of another, of which something may be there."""
    commands = [] if new.parent.is_dir() else [f"mkdir -p {_quoted(new.parent)}"]
    if list_folder(new):
        commands.append(f"mv -T {_quoted(new)} {_quoted(new)}.before")
    return " && ".join([*commands, f"mv -T {_quoted(old)} {_quoted(new)}"])


def _folders(place: Path) -> list[Path]:
    try:
        return [path for path in list_folder(place) if path.is_dir() and "." not in path.name]
    except OSError:
        return []


def _has_issuer(folder: Path, leaf: x509.Certificate) -> bool:
    try:
        ca, successor = Store(folder).authorities.read()
    except (Problem, OSError):
        return False
    return any(issued_by(leaf, each.certificate) for each in (ca, successor and successor.ca) if each)


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
