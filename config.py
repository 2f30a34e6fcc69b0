"""Read by pyinfra before it connects to any host: settings are checked here, and a run that may not begin ends."""

import sys
from pathlib import Path

from pyinfra.api.exceptions import PyinfraError

# pyinfra appends the working directory to the path: an installed package named `tasks` would win over ours.
sys.path.insert(0, str(Path(__file__).resolve().parent))
# pyinfra forbids it, so that its users' deploys leave no .pyc behind; without it all of ours is compiled in every run.
sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)

from tasks.cli.start import begin  # noqa: E402 - as set above

if problems := begin():
    raise PyinfraError("\n    " + "\n    ".join(problems))
