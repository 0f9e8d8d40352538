import argparse

args = argparse.ArgumentParser().parse_args()


def name():
    return args
