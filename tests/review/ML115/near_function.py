import pandas as pd


def rows():
    return pd.read_csv("rows.csv")
