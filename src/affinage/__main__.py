"""`python -m affinage`."""

import sys

from affinage.cli.main import main

sys.exit(main())
