from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import LabelEncoder, StandardScaler


def prepare(x, y):
    scaled = StandardScaler().fit_transform(x)
    return train_test_split(scaled, y, random_state=0)
