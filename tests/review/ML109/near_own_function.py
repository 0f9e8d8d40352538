"""A function of the project's own that has the same name."""

from splits import train_test_split


def split(rows):
    return train_test_split(rows)
