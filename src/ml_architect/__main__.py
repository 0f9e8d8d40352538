"""Lets `python -m ml_architect` do what `ml-architect` does."""

import sys

from .cli import main

sys.exit(main())
