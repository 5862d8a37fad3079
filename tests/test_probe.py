"""Features as a step of scikit-learn's pipelines."""

import numpy as np
import pytest
import torch
from helpers import same, small_model, state_of, stripe_splits
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks, get_tags

import transferlib as tl

# Those of scikit-learn's checks that hand over no data; all others want tables of numbers.
CHECKS = (
    "check_estimator_cloneable",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_estimator_repr",
    "check_no_attributes_set_in_init",
    "check_mixin_order",
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_set_params",
)


@pytest.mark.parametrize("check", CHECKS)
def test_the_extractor_passes_the_checks_of_scikit_learn(check):
    getattr(estimator_checks, check)("FeatureExtractor", tl.FeatureExtractor())


def test_a_pipeline_is_cross_validated_and_searched():
    images, labels = (part.numpy() for part in (stripe_splits(40).train.images, stripe_splits(40).train.labels))
    pipeline = make_pipeline(tl.FeatureExtractor(), LogisticRegression(max_iter=500))
    assert cross_val_score(pipeline, images, labels, cv=3).mean() > 0.9  # stripes are easy
    search = GridSearchCV(
        pipeline, {"featureextractor__backbone": ["efficientnet_lite0"], "logisticregression__C": [1, 2]}, cv=2
    )
    assert search.fit(images, labels).best_score_ > 0.9


def test_it_gives_what_the_head_of_the_same_network_sees():
    images = stripe_splits().train.images
    step = tl.FeatureExtractor("small_cnn", pretrained=False, seed=4, batch_size=5).fit(images)
    with torch.no_grad():
        wanted = small_model(4).features(images)
    torch.testing.assert_close(torch.from_numpy(step.transform(images.numpy())), wanted)
    names = step.get_feature_names_out()
    assert (len(names), names[0]) == (128, "featureextractor0")


def test_a_clone_and_a_pickle_give_the_same():
    import pickle

    images = stripe_splits().train.images.numpy()
    step = tl.FeatureExtractor("small_cnn", pretrained=False).fit(images)
    for other in (clone(step).fit(images), pickle.loads(pickle.dumps(step))):
        assert np.array_equal(other.transform(images), step.transform(images))


def test_extracting_leaves_the_model_as_it_was():
    model = small_model().freeze_to(2).train()
    before, modes = state_of(model), [m.training for m in model.modules()]
    model.stages[0].eval()  # somebody's own choice
    modes = [m.training for m in model.modules()]
    found = tl.extract_features(model, stripe_splits().train.images)
    assert same(before, state_of(model)) and modes == [m.training for m in model.modules()]
    assert not found.requires_grad


def test_a_linear_probe_is_logistic_regression_held_back():
    features = tl.extract_features(small_model(), stripe_splits().train.images)
    labels = stripe_splits().train.labels
    ours = tl.linear_probe(features, labels, freedom=0.3)
    theirs = LogisticRegression(C=0.3, max_iter=2000).fit(features.numpy(), labels.numpy())
    assert np.allclose(ours.coef_, theirs.coef_)


def test_to_transform_before_fit_is_scikit_learns_error():
    with pytest.raises(NotFittedError):
        tl.FeatureExtractor("small_cnn", pretrained=False).transform(np.zeros((1, 3, 32, 32), np.uint8))


def test_scikit_learn_is_told_that_images_are_no_table():
    tags = get_tags(tl.FeatureExtractor("small_cnn", pretrained=False))
    assert not tags.input_tags.two_d_array
