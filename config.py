"""Read by pyinfra before it connects to any host: checks the settings, and stops the run if it finds a problem."""

import sys
from pathlib import Path

# pyinfra appends the working directory to sys.path, where an installed package named `tasks` would come first.
sys.path.insert(0, str(Path(__file__).resolve().parent))
# pyinfra turns bytecode files off; without them, every run would compile all modules again.
sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)

PROGRAM = "run make .venv/ready here once, and then .venv/bin/pyinfra instead of pyinfra"

if sys.version_info < (3, 11):  # noqa: UP036 - another pyinfra than .venv's may run this file
    sys.exit(
        f"Python 3.11 or later is needed, this is {sys.version_info[0]}.{sys.version_info[1]}; {PROGRAM}"
    )
try:
    from tasks.cli.start import begin
except ImportError as error:
    if (error.name or "").startswith("tasks"):
        raise
    sys.exit(f"This pyinfra ({sys.prefix}) has not what this project needs ({error}); {PROGRAM}")

if not begin():
    sys.exit(1)
