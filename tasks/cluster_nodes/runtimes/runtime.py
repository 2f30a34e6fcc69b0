"""What a node's plan and fact need to know of a container runtime."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from tasks.cluster_nodes.node import Node, NodeTarget
from tasks.remote.steps import Step
from tasks.settings.load import Settings
from tasks.settings.types import RuntimeName


class Runtime(ABC):
    """A container runtime: `name` in `registry_runtime`, and `title` for people.

    `units` are the systemd units that it runs as: a host on which one is installed has it. `other_units` are further
    units that its steps need to know about. `login_file` is the `config.json` with the login that a node pulls with,
    None if the runtime has a file of its own for that.
    """

    name: RuntimeName
    title: str
    units: tuple[str, ...] = ()
    other_units: tuple[str, ...] = ()
    login_file: str | None = None

    @abstractmethod
    def paths(self, endpoints: Sequence[str]) -> list[str]:
        """Return the paths of files and folders to look at."""

    @abstractmethod
    def texts(self, endpoints: Sequence[str]) -> list[str]:
        """Return the paths of files to read; `*` stands for any part of a file's name."""

    def script(self, endpoints: Sequence[str]) -> str:
        """Return the shell lines that find it and print what else its steps need, for the script of `facts.py`.

        `runtime|NAME` says that the host has it.
        """
        return f"if has_program {self.name}; then echo 'runtime|{self.name}'; fi"

    def more(self, endpoints: Sequence[str], found: Node) -> tuple[list[str], list[str]]:
        """Return further paths to look at and files to read, which the files that were read so far name."""
        return [], []

    def switched_off(self, found: Node) -> str | None:
        """Return where its configuration keeps nodes from pulling with it, None if it does not."""
        return None

    @abstractmethod
    def steps(self, settings: Settings, target: NodeTarget, found: Node) -> list[Step]:
        """Return the steps, in their order; `Conflict` if something of the user's contradicts them."""
