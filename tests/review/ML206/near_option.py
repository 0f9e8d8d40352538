"""The default of an option: others pass their own."""

import argparse

parser = argparse.ArgumentParser()
parser.add_argument("--data", default="/home/selim/faces")
print(parser.parse_args().data)
