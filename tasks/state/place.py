"""Where the state of an inventory is kept: beside it, so that both may live outside of the project's folder."""

from __future__ import annotations

import getpass
import os
import shlex
from pathlib import Path

from tasks.state.files import StateError
from tasks.state.store import Store


def base_folder(inventory: str, project: Path) -> Path:
    """Return the folder that a relative `registry_state_dir` is relative to.

    For X/inventories/yours.py it is X, for any other Y/yours.py it is Y, and for all in the project the project's.
    """
    folder = Path(os.path.abspath(inventory)).parent
    if any(each.is_relative_to(project) for each in (folder, folder.resolve())):
        return project
    return folder.parent if folder.name == "inventories" else folder


def store_of(inventory: str, state_dir: str, project: Path) -> Store:
    """Return the store of an inventory's state.

    Raises `StateError` if it has no state, but the project's folder has one for it: earlier versions kept all states
    there. Without this check, the run would make a new CA that no client trusts.
    """
    store, former = Store(base_folder(inventory, project) / state_dir), Store(project / state_dir)
    if former.folder != store.folder and former.is_begun and not store.is_begun:
        new, old = (shlex.quote(str(each.folder)) for each in (store, former))
        other = project / "inventories" / Path(inventory).name
        not_its_own = f"; or if that is the state of {other}, rename this inventory" if other.exists() else ""
        raise StateError(
            f"the state of {inventory} belongs into {new}, and is in {old}",
            f"mkdir -p {shlex.quote(str(store.folder.parent))} && mv -T {old} {new}, and run again{not_its_own}",
        )
    return store


def describe(error: OSError, folder: Path) -> str:
    """Return why a state's folder cannot be used and what to do; to another folder the CA would be unknown."""
    if isinstance(error, PermissionError):
        make_mine = shlex.join(["sudo", "chown", "-R", f"{getpass.getuser()}:", str(folder)])
        remedy = f"run as the user who owns the state, or if a run with sudo made it: {make_mine}"
    else:
        remedy = "choose another registry_state_dir"
    return f"{folder} cannot be used: {error.strerror}; {remedy}"
