from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import LabelEncoder, StandardScaler


def prepare(x, y):
    train, test = train_test_split(x, random_state=0)
    scaler = StandardScaler()
    return scaler.fit_transform(train), scaler.transform(test)
