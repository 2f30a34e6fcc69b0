"""The files of a timer on the controller: read, written and removed."""

from __future__ import annotations

import shutil
from pathlib import Path

from tasks.timer.units import Timer


def all_paths(timer: Timer) -> list[Path]:
    """Return every file and folder that the timer or its runs may have made."""
    units = [timer.units / unit for unit in timer.all_units]
    return [*units, *([timer.motd] if timer.motd else []), timer.stamp, timer.folder]


def read(path: Path) -> str | None:
    """Return a file's text, or None if there is no such file."""
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return None


def modified(path: Path) -> int | None:
    """Return when a file was written, in nanoseconds since 1970, or None if there is no such file."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def write(path: Path, text: str) -> None:
    """Write a file by one rename: a run that is under way goes on with the script that it began with."""
    path.parent.mkdir(mode=0o700 if path.suffix == ".sh" else 0o755, parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.chmod(0o644)
    new.rename(path)


def remove(timer: Timer, path: Path) -> None:
    """Remove one of `all_paths`, and with the timer's folder the folders that were made for it and are empty."""
    if path != timer.folder:
        path.unlink()
        return
    if timer.motd and (path / "made-motd.d").exists() and not any(timer.motd.parent.iterdir()):
        timer.motd.parent.rmdir()
    shutil.rmtree(path)
    if not any(path.parent.iterdir()):
        path.parent.rmdir()
