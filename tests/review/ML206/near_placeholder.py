DATA = "/home/user/data/train.csv"
OTHER = "/path/to/data"
