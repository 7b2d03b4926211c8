"""``python -m pynode``: the same as the command ``pynode``."""

from __future__ import annotations

import sys

from pynode.cli import main

if __name__ == "__main__":
    sys.exit(main())
