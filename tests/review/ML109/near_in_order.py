from sklearn.model_selection import KFold, train_test_split


def split(rows):
    print(list(KFold(5).split(rows)))
    return train_test_split(rows, shuffle=False)
