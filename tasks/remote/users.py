"""A host's users, and scripts that run as one of them.

A user could redirect what root does in the user's folders by a symbolic link. So everything below a home is read and
written with its owner's rights. A user could also stop the shell that root waits for, so root waits for a limited time.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from tasks.remote.templates import fill

SECONDS = 60
"""How long a script may run with a user's rights: longer than the few calls of a credential helper that it makes."""

TIMED_OUT = (124, 137)
"""The exit codes of timeout(1) for that: it ended the script, or had to kill it."""

RUN_AS = fill(
    """
# run_as UID GID NAME HOME SCRIPT [ARGUMENT...]: run a script with a user's rights and without root's environment.
run_as() {
    as_uid=$1 as_gid=$2 as_name=$3 as_home=$4 as_script=$5; shift 5
    as_path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin:$as_home/.local/bin:$as_home/bin
    ( cd / || exit 1
    set -- env -i LC_ALL=C HOME="$as_home" USER="$as_name" LOGNAME="$as_name" XDG_RUNTIME_DIR="/run/user/$as_uid" \\
        DBUS_SESSION_BUS_ADDRESS="unix:path=/run/user/$as_uid/bus" \\
        PATH="$as_path" sh -c "$as_script" sh "$@"
    # In its own session: a process that has root's terminal could insert input there (TIOCSTI, ioctl_tty(2)).
    [ "$(id -u)" -eq "$as_uid" ] ||
        set -- setsid -w setpriv --reuid="$as_uid" --regid="$as_gid" --init-groups -- "$@"
    exec timeout -k 1 @SECONDS@ "$@" )
}
""",
    SECONDS=SECONDS,
)


@dataclass(frozen=True)
class User:
    """A user of a host, as in passwd(5)."""

    name: str
    uid: int
    gid: int
    home: str

    def run(self, script: str) -> str:
        """Return the script that runs `script` (POSIX shell) with this user's rights."""
        who = shlex.join([str(self.uid), str(self.gid), self.name, self.home])
        return f"{RUN_AS}run_as {who} {shlex.quote(script)}"
