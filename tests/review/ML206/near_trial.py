"""nnUNet: the author tries a function of the library out."""


def read(path):
    with open(path) as file:
        return file.read()


if __name__ == "__main__":
    print(read("/home/fabian/data/labels.txt"))
