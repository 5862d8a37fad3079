import json
import math
from dataclasses import replace

import numpy as np
import pytest
from helpers import stripe_splits
from hypothesis import given
from hypothesis import strategies as st

import transferlib as tl
from transferlib.advice import advise as advise_module
from transferlib.advice.places import Expected, Place, choose, expect, leave_one_set_out, load_map, recipes
from transferlib.advice.similarity import SEEN, Similarity
from transferlib.cli import main

NAMES = list(recipes(1))
ALWAYS = ("photos", "photos, blocks of 8", "lesions", "digits")


def place(shift=0.4, images=64, gain=0.0, name="made up"):
    scores = dict.fromkeys(NAMES, (0.5, 0.6, 0.55))
    scores["fine-tuning"] = tuple(score + gain for score in scores["fine-tuning"])
    return Place(name, Similarity(images, 4, 0.5, 0.2, shift), scores)


@pytest.fixture(scope="module")
def shift():
    """How far the stripes are from the source."""
    return tl.advise(stripe_splits()).similarity.shift


@pytest.fixture
def little_map(monkeypatch, shift):
    """A map on which fine-tuning gains 20 points wherever data like the stripes are."""
    monkeypatch.setattr(advise_module, "load_map", lambda: (place(shift, images=24, gain=0.2),))


def test_recipes_go_from_the_cheapest_to_the_dearest_and_few_images_get_more_epochs():
    assert NAMES == ["feature extraction", "progressive unfreezing", "LP-FT", "fine-tuning", "from scratch"]
    epochs = [recipes(n)["fine-tuning"].epochs for n in (1, 32, 100, 1000, 10**6)]
    assert epochs == [25, 25, 8, 5, 5]


@given(gains=st.lists(st.floats(-0.5, 0.5), min_size=len(NAMES), max_size=len(NAMES)))
def test_the_best_is_chosen(gains):
    chosen = choose([Expected(*row, 0.1) for row in zip(NAMES, gains, strict=True)]).strategy
    assert NAMES.index(chosen) == gains.index(max(gains))


def test_a_quicker_strategy_that_is_nearly_as_good_is_named(monkeypatch):
    nearly = place(images=24, gain=0.004)
    monkeypatch.setattr(advise_module, "load_map", lambda: (nearly,))
    told = tl.advise(stripe_splits())
    assert told.strategy.name == "fine-tuning"
    assert told.seconds["feature extraction"] < told.seconds["fine-tuning"]
    line = next(reason for reason in told.reasons if "less than a point behind" in reason)
    assert "feature extraction" in line and "fine-tuning" not in line


def test_the_expected_gain_and_its_spread_are_those_of_the_most_similar_place():
    near, far = place(shift=0.3, gain=0.1), place(shift=0.6, gain=-0.3)
    near.accuracies["fine-tuning"] = (0.5, 0.6, 0.85)
    rows = {row.strategy: row for row in expect(Similarity(64, 4, 0.8, 0.2, 0.3), (near, far))}
    assert rows["fine-tuning"].gain == pytest.approx(np.mean([0, 0, 0.3]), abs=1e-6)
    assert rows["fine-tuning"].spread == pytest.approx(np.std([0, 0, 0.3]), abs=1e-6)
    assert rows["feature extraction"] == Expected("feature extraction", 0.0, 0.0)


@given(images=st.integers(1, 10**7), shift=st.floats(0, 3))
def test_expected_gains_lie_between_those_measured(images, shift):
    places = [place(shift=0.3, gain=-0.2), place(shift=0.5, images=500, gain=0.3)]
    gain = {row.strategy: row.gain for row in expect(Similarity(images, 4, 0.5, 0.2, shift), places)}
    assert -0.2 - 1e-9 <= gain["fine-tuning"] <= 0.3 + 1e-9


def test_likeness_falls_with_the_images_a_class_and_with_the_distance_to_the_source():
    here = place(shift=0.3, images=64)  # of 4 classes
    others = ((64, 4, 0.3), (32, 2, 0.3), (128, 4, 0.3), (64, 4, 0.33))
    like = [here.likeness(Similarity(n, classes, 0, 0, shift)) for n, classes, shift in others]
    assert like[:2] == [1, 1]
    assert 0 < like[3] < like[2] < 1


def test_sets_made_of_the_same_images_are_left_out_together():
    sibling = place(name="photos, blocks of 4", gain=0.2)  # would recommend fine-tuning
    cases = leave_one_set_out([place(name="photos"), sibling, place(name="digits", gain=-0.1)])
    assert [case.chosen for case in cases] == ["feature extraction", "feature extraction", "fine-tuning"]


def test_what_was_measured_on_a_set_has_no_say_in_the_advice_about_it():
    places = load_map()
    for family in {place.family for place in places}:
        turned = [
            replace(p, accuracies={n: p.accuracies[m] for n, m in zip(NAMES, reversed(NAMES), strict=True)})
            if p.family == family
            else p
            for p in places
        ]
        here, there = (
            [case.chosen for case in leave_one_set_out(map_) if case.place.family == family]
            for map_ in (places, turned)
        )
        assert here == there


@given(st.lists(st.floats(-0.3, 0.3), min_size=1, max_size=5), st.floats(0.2, 0.4), st.integers(8, 512))
def test_the_spread_of_a_gain_is_that_of_all_its_seeds_weighed_by_the_likeness_of_their_place(gains, shift, images):
    near, far = place(shift=0.3, images=64, gain=0.1), place(shift=0.35, images=256, name="digits")
    frozen = np.full(len(gains), 0.5)
    near = replace(near, accuracies={n: tuple(frozen + gains if n == "fine-tuning" else frozen) for n in NAMES})
    data = Similarity(images, 4, 0.5, 0.2, shift)
    (found,) = (row for row in expect(data, (near, far)) if row.strategy == "fine-tuning")
    weights = np.maximum([near.likeness(data), far.likeness(data)], 1e-12)
    told = [near.gains("fine-tuning"), far.gains("fine-tuning")]
    mean = np.average([np.mean(g) for g in told], weights=weights)
    variance = np.average([np.mean((g - mean) ** 2) for g in told], weights=weights)
    assert found.gain == pytest.approx(mean) and found.spread**2 == pytest.approx(variance, abs=1e-12)


def test_advice_names_a_strategy_its_reasons_and_an_expected_range(little_map):
    told = tl.advise(stripe_splits())
    assert (told.strategy.name, told.backbone) == ("fine-tuning", "efficientnet_lite0")
    assert told.nearest == "made up, 24 images"
    assert "gained 20.0 points" in str(told)
    low, high = told.ranges["fine-tuning"]
    assert low <= told.probe + 0.2
    assert high >= min(told.probe + 0.2, 1)
    assert json.loads(json.dumps(told.to_dict()))["strategy"]["name"] == "fine-tuning"
    assert set(told.seconds) == set(NAMES)


def test_advice_says_what_such_advice_cost_on_kinds_that_were_left_out(monkeypatch):
    near, far = place(name="near", gain=0.2), place(name="far", gain=-0.1)
    cases = leave_one_set_out((near, far))
    assert [case.chosen for case in cases] == ["feature extraction", "fine-tuning"]
    assert [case.regret for case in cases] == pytest.approx([0.2, 0.1])
    monkeypatch.setattr(advise_module, "load_map", lambda: (near, far))
    assert "it cost 15.0 points against the best strategy there" in tl.advise(stripe_splits()).reasons[-1]
    monkeypatch.setattr(advise_module, "load_map", lambda: (near,))
    assert not any("such advice" in reason for reason in tl.advise(stripe_splits()).reasons)


def test_the_range_is_wider_when_few_images_were_asked():
    row = Expected("fine-tuning", 0.1, 0.02)
    few, many = (np.diff(advise_module._range(0.5, n, row)) for n in (20, 2000))
    assert few > many > 2 * 0.02


def test_a_case_unlike_any_on_the_map_says_so(monkeypatch):
    monkeypatch.setattr(advise_module, "load_map", lambda: (place(images=100_000),))
    told = tl.advise(stripe_splits())
    assert told.likeness < 0.1
    assert "first guess" in str(told)


def test_small_images_are_seen_as_large_as_on_the_map_and_whoever_shows_them_smaller_is_told(little_map):
    splits = stripe_splits()
    told = tl.advise(splits)
    assert told.input_size == SEEN
    assert f"sees the images at {SEEN} pixels: input_size={SEEN}" in str(told)
    assert "Try input_size" not in str(told)
    told = tl.advise(splits, tl.TransferModel("efficientnet_lite0", 2))
    assert told.input_size is None
    assert "trained on images of 224 pixels and sees these at 32" in str(told)


def test_what_takes_longer_than_the_budget_is_not_recommended(little_map):
    told = tl.advise(stripe_splits(), budget=1e-6)
    assert told.strategy.name == "feature extraction"
    assert "Left out, because they would take longer than the budget: progressive unfreezing, LP-FT" in str(told)
    assert "Even feature extraction would take longer" in str(told)
    roomy = tl.advise(stripe_splits(), budget=1e6)
    assert roomy.strategy.name == "fine-tuning"
    assert "budget" not in str(roomy)


def test_a_budget_of_nothing_is_an_error():
    with pytest.raises(tl.TransferError, match="budget must be above 0 seconds, not 0"):
        tl.advise(stripe_splits(), budget=0)


def test_from_scratch_comes_with_the_network_that_it_was_measured_with(monkeypatch):
    blank = place(images=24)
    blank.accuracies["from scratch"] = (0.9, 0.9, 0.9)
    monkeypatch.setattr(advise_module, "load_map", lambda: (blank,))
    assert tl.advise(stripe_splits()).backbone == "small_cnn"


def test_advice_changes_neither_model_nor_data():
    splits, model = stripe_splits(), tl.TransferModel("efficientnet_lite0", 2).freeze_to(3).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    images = splits.train.images.clone()
    tl.advise(splits, model)
    assert all(tensor.equal(before[name]) for name, tensor in model.state_dict().items())
    assert (model.frozen_below, model.training) == (3, True)
    assert images.equal(splits.train.images)


def test_the_command_prints_advice_and_the_command_that_follows_it(capsys):
    assert main(["advise", "digits", "--n-train", "32", "--image-size", "32"]) == 0
    told = capsys.readouterr().out
    assert "recommended: " in told
    assert "transferlib train digits --strategy " in told
    assert main(["advise", "digits", "--n-train", "32", "--image-size", "32", "--json"]) == 0
    assert {"strategy", "reasons", "ranges", "seconds"} <= json.loads(capsys.readouterr().out).keys()


def test_a_budget_that_is_no_time_is_an_error_of_the_command_too(capsys):
    assert main(["advise", "digits", "--n-train", "32", "--image-size", "32", "--budget", "nan"]) == 1
    assert "budget must be above 0 seconds, not nan" in capsys.readouterr().err


def test_the_map_holds_every_set_with_five_seeds():
    places = [place for place in load_map() if place.data in ALWAYS]
    for name in ALWAYS:
        sizes = {p.similarity.images: {len(found) for found in p.accuracies.values()} for p in places if p.data == name}
        assert {16, 32, 64, 128, 256, 512} <= sizes.keys()
        assert all(seeds == {5} for seeds in sizes.values())


def test_on_the_map_photographs_are_nearest_to_the_source_and_digits_farthest():
    shifts = {name: np.mean([p.similarity.shift for p in load_map() if p.data == name]) for name in ALWAYS}
    assert shifts["photos"] < shifts["photos, blocks of 8"] < shifts["digits"] == max(shifts.values())
    assert not any(math.isnan(shift) for shift in shifts.values())


def test_advice_on_sets_left_out_of_the_map_regrets_less_than_always_freezing_or_never_transferring():
    cases = leave_one_set_out(load_map())
    regret = np.mean([case.regret for case in cases])
    for name in ("feature extraction", "from scratch"):
        means = [{s: np.mean(a) for s, a in case.place.accuracies.items()} for case in cases]
        assert regret < np.mean([max(found.values()) - found[name] for found in means])


def test_the_range_of_a_gain_holds_on_sets_left_out_in_about_two_cases_of_three():
    places = load_map()
    inside = [
        abs(place.gains(row.strategy).mean() - row.gain) <= row.spread
        for place in places
        for row in expect(place.similarity, [other for other in places if other.family != place.family])
        if row.strategy != "feature extraction"
    ]
    assert 0.55 < np.mean(inside) < 0.8
