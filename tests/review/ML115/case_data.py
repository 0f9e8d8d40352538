import pandas as pd

ROWS = pd.read_csv("rows.csv")


def count():
    return len(ROWS)
