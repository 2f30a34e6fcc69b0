"""A host's users, and scripts that run as one of them.

What root does in a user's folders that user could lead elsewhere by a symbolic link, so everything below a home is
read and written with its owner's rights.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

RUN_AS = """
# run_as UID GID NAME HOME SCRIPT [ARGUMENT...]: runs a script with a user's rights and nothing of root's environment.
run_as() {
    as_uid=$1 as_gid=$2 as_name=$3 as_home=$4 as_script=$5; shift 5
    as_path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin:$as_home/.local/bin:$as_home/bin
    ( cd / || exit 1
    set -- env -i LC_ALL=C HOME="$as_home" USER="$as_name" LOGNAME="$as_name" XDG_RUNTIME_DIR="/run/user/$as_uid" \\
        DBUS_SESSION_BUS_ADDRESS="unix:path=/run/user/$as_uid/bus" \\
        PATH="$as_path" sh -c "$as_script" sh "$@"
    # In a session of its own: whoever has root's terminal could type there for root (TIOCSTI, ioctl_tty(2)).
    [ "$(id -u)" -eq "$as_uid" ] ||
        set -- setsid -w setpriv --reuid="$as_uid" --regid="$as_gid" --init-groups -- "$@"
    exec "$@" )
}
"""


@dataclass(frozen=True)
class User:
    """A user of a host, as passwd(5) tells of it."""

    name: str
    uid: int
    gid: int
    home: str

    def run(self, script: str) -> str:
        """Return the script that runs `script` (POSIX shell) with this user's rights."""
        who = shlex.join([str(self.uid), str(self.gid), self.name, self.home])
        return f"{RUN_AS}run_as {who} {shlex.quote(script)}"
