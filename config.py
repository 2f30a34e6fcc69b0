"""Read by pyinfra before it connects to any host: settings are checked here, and a run that may not begin ends."""

import sys
from pathlib import Path

from pyinfra.api.exceptions import PyinfraError

# pyinfra appends the working directory to the path: an installed package named `tasks` would win over ours.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from tasks.begin import begin

if problems := begin():
    raise PyinfraError("\n    " + "\n    ".join(problems))
