DATA = "C:\\Users\\liwei\\data\\train.csv"
