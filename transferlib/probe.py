"""The cheapest use of a pretrained network: a linear classifier on its features, in scikit-learn's terms."""

from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import check_is_fitted

from transferlib.engine.processes import pick_device
from transferlib.features import extract_features
from transferlib.model import TransferModel


class FeatureExtractor(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """What a pretrained network makes of images, as a step of a scikit-learn pipeline.

    X: uint8 images, (N, 3, H, W); `transform` gives float32, (N, features). Nothing is learned from X, so that
    cross-validation of a pipeline is honest. backbone, pretrained, seed, input_size: as for `TransferModel`.

    >>> from sklearn.pipeline import make_pipeline
    >>> import transferlib as tl
    >>> train = tl.load_data("digits", 40, image_size=32, n_val=20, n_test=20).train
    >>> pipeline = make_pipeline(FeatureExtractor("small_cnn", pretrained=False), LogisticRegression())
    >>> pipeline.fit(train.images.numpy(), train.labels.numpy()).predict(train.images.numpy()).shape
    (40,)
    """

    def __init__(
        self,
        backbone: str = "efficientnet_lite0",
        *,
        pretrained: bool = True,
        seed: int = 0,
        input_size: int | None = None,
        batch_size: int = 32,
        device: str | None = None,
    ) -> None:
        self.backbone, self.pretrained, self.seed = backbone, pretrained, seed
        self.input_size, self.batch_size, self.device = input_size, batch_size, device

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803  as scikit-learn calls it
        """Load the network."""
        self.model_ = TransferModel(
            self.backbone, pretrained=self.pretrained, seed=self.seed, input_size=self.input_size
        )
        self.model_.to(pick_device(self.device))
        self._n_features_out = extract_features(self.model_, torch.as_tensor(X[:1])).shape[1]
        return self

    def transform(self, X: Any) -> np.ndarray:  # noqa: N803
        """The features, (N, features)."""
        check_is_fitted(self)
        return extract_features(self.model_, torch.as_tensor(X), batch_size=self.batch_size).numpy()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags


def linear_probe(features: Any, labels: Any, *, freedom: float = 0.1) -> LogisticRegression:
    """Logistic regression on features, (N, D), fitted; the more freedom (scikit-learn's C), the less it is held back.

    Its `score` gives the accuracy on other features.
    """
    return LogisticRegression(C=freedom, max_iter=2000).fit(np.asarray(features), np.asarray(labels))
