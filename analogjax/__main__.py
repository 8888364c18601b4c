"""`python -m analogjax` is the command `analogjax`."""

import sys

from .cli import main

# Guarded, because the processes of a sweep import the module they were started from.
if __name__ == "__main__":
    sys.exit(main())
