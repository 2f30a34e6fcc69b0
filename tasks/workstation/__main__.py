"""`python -m tasks.workstation INVENTORY`, which is what `make workstation` runs."""

from __future__ import annotations

import sys

from tasks.workstation.command import main

sys.exit(main(sys.argv[1:]))
