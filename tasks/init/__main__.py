"""`python -m tasks.init`, which is what `make init` runs."""

from __future__ import annotations

import sys

from tasks.init.command import main

sys.exit(main(sys.argv[1:]))
