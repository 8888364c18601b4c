"""`python -m analogjax` is the command `analogjax`."""

import sys

from .cli import main

sys.exit(main())
