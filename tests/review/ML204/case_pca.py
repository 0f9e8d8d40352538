from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import LabelEncoder, StandardScaler


pca = PCA(2)


def prepare(x):
    reduced = pca.fit_transform(x)
    return train_test_split(reduced, random_state=0)
