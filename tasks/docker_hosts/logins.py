"""Logins of a Docker host's users: an entry in their `config.json`, or in the credential helper that it names.

Everything is read and written with the user's own rights (`tasks.remote.users`).
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tasks.accounts import logins
from tasks.accounts.logins import Helper, HelperResponse, Login
from tasks.remote import files
from tasks.remote.files import Observed
from tasks.remote.steps import Conflict, Step
from tasks.remote.users import User

FILE = "regular"
"""The first word of what `stat` calls a file."""


@dataclass(frozen=True)
class Home:
    """What a user has. `folders` are those in which Docker clients keep their configuration, with its file.

    The snap's client has a folder of its own (docker/cli#3961). A file that is a symbolic link is where that leads.
    `texts` are the files that the user can read, and `unwritable` are those in a folder that the user cannot write to;
    `responses` are the answers of the helpers that they name, by (helper, registry's name). `unread` says why all that
    is not known.
    """

    user: User
    folders: Mapping[str, str] = field(default_factory=dict)
    paths: Mapping[str, Observed | None] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)
    responses: Mapping[tuple[str, str], HelperResponse] = field(default_factory=dict)
    unwritable: Collection[str] = ()
    unread: str = ""


def check(users: Iterable[str], found: Mapping[str, Home | None]) -> None:
    """Raise `Conflict` if one of `users` does not exist: that is a mistake in the settings."""
    for name in users:
        if found[name] is None:
            raise Conflict(
                f"registry_login_users: there is no user {name} on this host",
                "create it there, or remove it from registry_login_users, and run again",
            )


def steps(home: Home, names: Sequence[str], login: Login) -> list[Step]:
    """Return the steps that log a user in to each of `names`; `Conflict` if a file of theirs prevents that.

    Users of whom it is not asked are left alone, and keep a login of an earlier run.
    """
    user = home.user
    if home.unread:
        raise Conflict(
            f"the login of {user.name} could not be read ({home.unread})",
            f"fix that, or remove {user.name} from registry_login_users, and run again",
        )
    if home.paths[user.home] is None:
        raise Conflict(
            f"registry_login_users: the home of {user.name} ({user.home}) does not exist",
            "create it there, or remove the user from registry_login_users, and run again",
        )
    return [step for folder in home.folders for step in _log_in(home, folder, names, login)]


def _log_in(home: Home, folder: str, names: Sequence[str], login: Login) -> list[Step]:
    user, path = home.user, home.folders[folder]
    _check(home, folder, "directory")
    _check(home, path, FILE)
    present = home.paths[path]
    text = home.texts.get(path, "")
    due = files.leftovers({new: home.paths[new] for new in [files.temporary(path)]})
    in_file, in_helpers = [], []
    for name in names:
        if helper := logins.helper_for(text, name, path):
            in_helpers += _store_in_helper(home, helper, name, login, path)
        else:
            in_file.append(name)
    wanted = logins.merge(text, in_file, login, path)
    if wanted != text and path in home.unwritable:
        raise Conflict(
            f"{path} cannot be replaced, since {user.name} cannot write to its folder",
            f"change that, or log {user.name} in where it comes from, and run again",
        )
    if home.paths[folder] is None and wanted != text:
        due.append(
            Step(f"make {folder}: it is missing", f"umask 077; mkdir {shlex.quote(folder)}", path=folder)
        )
    if wanted != text:
        missing = logins.missing(text, in_file, path)
        reason = (
            f"{user.name} has no login for {', '.join(missing)}" if missing
            else f"the login of {user.name} is not as it should be"
        )  # fmt: skip
        due.append(files.write_private(path, wanted, reason))
    elif present and int(present.mode, 8) != 0o600:
        reason = f"its mode is {present.mode.zfill(4)}, not 0600"
        due.append(Step(f"set mode of {path}: {reason}", f"chmod 0600 {shlex.quote(path)}", path=path))
    return [replace(step, script=user.run(step.script)) for step in due + in_helpers]


def _store_in_helper(home: Home, helper: Helper, name: str, login: Login, path: str) -> list[Step]:
    """Return the step that stores a login in the helper, if it does not hold it.

    `docker login` would do the same, but it also rewrites the file and needs a running engine.
    """
    if logins.helper_holds(home.responses.get((helper.name, name)), helper, name, login, home.user.name):
        return []
    program = helper.program
    complaint = f"{program} does not accept the login; see why, or remove it from {path}"
    script = (
        f"timeout -k 2 20 {shlex.quote(program)} store >/dev/null 2>&1 || "
        f"{{ echo {shlex.quote(complaint)} >&2; exit 1; }}"
    )
    text = f"give {program} the login of {home.user.name} for {name}: it does not hold it"
    return [Step(text, script, login.for_helper(name))]


def _check(home: Home, path: str, kind: str) -> None:
    """Raise `Conflict` if a path is not the user's own file or folder."""
    found, user = home.paths[path], home.user
    if found is None:
        return
    if kind not in found.kind:
        raise Conflict(
            f"{path} is a {found.kind}, but has to be a {kind}{' file' * (kind == FILE)} of {user.name}",
            f"replace it by one, or remove {user.name} from registry_login_users, and run again",
        )
    if found.owner != user.uid:
        raise Conflict(
            f"{path} belongs to the user {found.owner}, not to {user.name} ({user.uid})",
            f"give it back (chown {user.uid}:{user.gid} {path}) and run again",
        )
    if kind == FILE and path not in home.texts:
        raise Conflict(f"{user.name} may not read {path}", f"fix that (chmod 0600 {path}) and run again")
