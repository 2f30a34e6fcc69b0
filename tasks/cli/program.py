"""`.venv/bin/pyinfra`: pyinfra's own program, with one line for each slip that it meets before it reads `config.py`.

Those are the only ones that nothing else of this project can catch. The Makefile has the program begin here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from pyinfra_cli import cli
from pyinfra_cli import main as pyinfra
from pyinfra_cli.exceptions import CliError

from tasks.run.context import ROOT

_validate_operations, _set_config = cli._validate_operations, cli._set_config


def main() -> None:
    """Run pyinfra's command line."""
    cli.os_chdir = _change_folder
    cli._validate_operations = _check_operations
    cli._set_config = _check_config
    pyinfra.main()


def _change_folder(path: str) -> None:
    try:
        os.chdir(path)
    except OSError as error:
        raise CliError(f"--chdir {path}: {error.strerror}; leave it out in the project's folder") from None


def _check_operations(operations: Sequence[str], chdir: str | None) -> Any:
    try:
        return _validate_operations(operations, chdir)
    except CliError:
        names = " ".join(operations)
        raise CliError(f"{names}: there is no such deploy file; give deploy.py, or one of deploys/") from None


def _check_config(config: Any, name: str, *args: Any) -> Any:
    """Go on if a deploy has the project's own `config.py`, which checks all else."""
    deploys = all(each.endswith(".py") for each in click.get_current_context().params["operations"])
    if deploys and Path(name).resolve() != ROOT / "config.py":
        raise CliError(
            f"{name} is not this project's config.py; run it without --config from its folder: cd {ROOT}"
        )
    return _set_config(config, name, *args)


if __name__ == "__main__":
    main()
