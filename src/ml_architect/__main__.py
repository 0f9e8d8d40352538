"""Runs `ml-architect` as `python -m ml_architect`."""

import sys

from .cli import main

sys.exit(main())
