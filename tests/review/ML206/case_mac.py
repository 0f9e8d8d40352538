import sys

sys.path.append("/Users/jdoe/code/project")
