"""`make password`: print an account's password and nothing else, for `docker login --password-stdin` to read."""

from __future__ import annotations

import argparse
import sys

from tasks.run.context import ROOT
from tasks.settings.load import Settings, SettingsError
from tasks.state.files import StateError
from tasks.state.place import store_of
from tasks.verbs import with_inventory


def main(arguments: list[str]) -> int:
    """Print the password of an account, from the state of an inventory; return the exit code."""
    parser = argparse.ArgumentParser(prog="tasks.cli.password", description=__doc__)
    parser.add_argument("inventory")
    parser.add_argument("account", nargs="?", default="")
    given = parser.parse_args(arguments)
    try:
        print(find(given.inventory, given.account))
    except SettingsError as error:
        print(*error.problems, sep="\n", file=sys.stderr)
    except StateError as error:
        print(with_inventory(str(error), given.inventory), file=sys.stderr)
    except OSError as error:
        print(
            f"{error.filename} cannot be read ({error.strerror}); run as the user who owns the state",
            file=sys.stderr,
        )
    else:
        return 0
    return 1


def find(inventory: str, account: str) -> str:
    """Return an account's password; `StateError` if there is no such account, or it has none yet."""
    settings = _read_settings(inventory)
    there_are = ", ".join(f"{name} ({role})" for name, role in settings.registry_accounts.items())
    if account not in settings.registry_accounts:
        first = next(iter(settings.registry_accounts))
        what = f"there is no account {account}" if account else "ACCOUNT is missing"
        raise StateError(what, f"make password ACCOUNT={first} (there are: {there_are})")
    store = store_of(inventory, settings.registry_state_dir, ROOT)
    found = store.read_passwords().get(account)
    if found is None:
        raise StateError(f"{store.folder} has no password of {account} yet", "make deploy makes it")
    return found


def _read_settings(inventory: str) -> Settings:
    # pyinfra's command line patches the standard library, which only a process of its own bears.
    from tasks.settings.inventory import read  # noqa: PLC0415

    return read(inventory)[1].settings


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
