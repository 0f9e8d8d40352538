from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import LabelEncoder, StandardScaler


def prepare(x, y):
    plotted = PCA(2).fit_transform(x)
    print(plotted)
    return train_test_split(x, y, random_state=0)
