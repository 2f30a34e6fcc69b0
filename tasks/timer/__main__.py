"""`python -m tasks.timer on|off INVENTORY`, which is what `make timer` and `make timer-off` run."""

from __future__ import annotations

import sys

from tasks.timer.control import main

sys.exit(main(sys.argv[1:]))
