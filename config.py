"""Read by pyinfra before it connects to any host: checks the settings, and stops the run if it finds a problem."""

import sys
from pathlib import Path

# pyinfra appends the working directory to sys.path, where an installed package named `tasks` would come first.
sys.path.insert(0, str(Path(__file__).resolve().parent))
# pyinfra turns bytecode files off; without them, every run would compile all modules again.
sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)

from tasks.cli.start import begin  # noqa: E402 - after sys.path is set

if not begin():
    sys.exit(1)
