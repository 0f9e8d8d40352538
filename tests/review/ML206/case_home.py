DATA = "/home/maria/data/train.csv"
