"""`python -m edgeinfer` is `edgeinfer`."""

import sys

from .cli import main

sys.exit(main())
