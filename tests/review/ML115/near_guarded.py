import argparse


def name():
    return 1


if __name__ == "__main__":
    args = argparse.ArgumentParser().parse_args()
