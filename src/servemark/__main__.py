"""``python -m servemark``."""

import sys

from servemark.cli import main

sys.exit(main())
