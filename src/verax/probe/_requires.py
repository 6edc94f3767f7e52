"""The estimator stands on scikit-learn, which an extra brings."""

from verax._extras import extra

with extra("probe"):
    import sklearn as sklearn
