"""`make workstation`: write the kit for machines outside of the inventory. No host is contacted."""

from __future__ import annotations

import argparse
import datetime as dt
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from tasks.run.context import ROOT
from tasks.settings.load import Settings, SettingsError
from tasks.state.files import StateError, StateFiles
from tasks.state.place import store_of
from tasks.verbs import with_inventory
from tasks.workstation import kit
from tasks.workstation.kit import Kit


def main(arguments: list[str]) -> int:
    """Write the kit of an inventory's registry and print what to do with it; return the exit code."""
    parser = argparse.ArgumentParser(prog="tasks.workstation", description=__doc__)
    parser.add_argument("inventory")
    inventory = parser.parse_args(arguments).inventory
    try:
        settings = _read_settings(inventory)
        store = store_of(inventory, settings.registry_state_dir, ROOT)
        found = kit.kit(settings, store.read(), dt.datetime.now(dt.UTC))
        folder = write(store.folder, kit.texts(found, str(ROOT / "templates")))
    except SettingsError as error:
        print(*error.problems, sep="\n", file=sys.stderr)
    except (StateError, OSError) as error:
        print(with_inventory(str(error), inventory), file=sys.stderr)
    else:
        print(*lines(found, folder), sep="\n")
        return 0
    return 1


def write(state: Path, texts: Mapping[str, str]) -> Path:
    """Write the kit's files below the state's folder, and return where. What an earlier registry had there goes."""
    folder = state / "workstation"
    if (folder / "certs.d").exists():
        shutil.rmtree(folder / "certs.d")
    files = StateFiles(state)
    for name, text in texts.items():
        files.write(folder / name, text)
    return folder


def lines(found: Kit, folder: Path) -> list[str]:
    """Return what people are to know: where the kit is, what to run, and what to compare."""
    fingerprints = [f"    {each}" for each in found.fingerprints]
    both = " (two, during a CA rollover)" if len(fingerprints) > 1 else ""
    return [
        f"The kit for {found.registry} is in {folder}; nothing in it is secret.",
        "Copy it to a machine that is in no inventory, and run there, as the user who builds and pulls:",
        "    sh linux.sh            # Linux; macos.sh and windows.ps1 are for the others, README.md says more",
        f"SHA-256 of the CA, to compare with what the script prints{both}:",
        *fingerprints,
    ]


def _read_settings(inventory: str) -> Settings:
    # pyinfra's command line patches the standard library, which only a process of its own bears.
    from tasks.settings.inventory import read  # noqa: PLC0415

    return read(inventory)[1].settings
