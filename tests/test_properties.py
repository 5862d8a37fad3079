"""What must hold for any list of stages, any strategy and any backbone."""

import numpy as np
import pytest
import torch
from helpers import same, state_of, stripe_splits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import transferlib as tl
from transferlib.training import _optimizer, schedule_factor

phases = st.builds(
    tl.Phase,
    epochs=st.integers(1, 2),
    learn=st.none() | st.integers(0, 6),
    lr=st.floats(1e-3, 1e-2),
    body=st.floats(0.05, 1.0),
    decay=st.floats(0.3, 1.0),
)
strategies = st.builds(
    tl.Strategy,
    name=st.just("drawn"),
    phases=st.lists(phases, min_size=1, max_size=3).map(tuple),
    optimizer=st.sampled_from(["adamw", "sgd"]),
    schedule=st.just("constant"),
    warmup=st.just(0.0),
    batch_size=st.integers(2, 24),
    keep_statistics=st.booleans(),
    augment=st.sampled_from(["none", "flip", "dihedral"]),
    views=st.none() | st.integers(1, 3),
    label_smoothing=st.sampled_from([0.0, 0.1]),
    class_weights=st.sampled_from([None, "balanced", (1.0, 2.0)]),
)
quick = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def network(widths, dropout=0.2):
    """A model whose stages are a drawn list of convolutions, norms and dropout."""
    model = tl.TransferModel("small_cnn", 2, pretrained=False)
    stages, before = nn.Sequential(), 3
    for index, width in enumerate(widths):
        layers = [nn.Conv2d(before, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU(), nn.Dropout(dropout)]
        stages.add_module(f"part{index}", nn.Sequential(*layers))
        before = width
    stages[-1].append(nn.AdaptiveAvgPool2d(1)).append(nn.Flatten())
    model.stages, model.head = stages, nn.Linear(before, 2)
    return model


def check(model, strategy):
    """Train, and compare every part of the network before and after every epoch."""
    parts = [*model.stages, model.head]
    last = [state_of(part) for part in parts]

    def compare(epoch):
        frozen = strategy.phases[epoch.phase - 1].frozen_below(len(model.stages))
        for index, part in enumerate(parts):
            state = state_of(part)
            if index < frozen:
                assert same(state, last[index]), f"{index} of {frozen} frozen parts moved in epoch {epoch.epoch}"
                assert all(parameter.grad is None for parameter in part.parameters())
            else:
                weights = {name for name, _ in part.named_parameters()}
                assert any(not torch.equal(state[name], last[index][name]) for name in weights)
                averages = [n for n in state if n.endswith(("running_mean", "running_var"))]
                drifted = any(not torch.equal(state[name], last[index][name]) for name in averages)
                assert drifted == (bool(averages) and not strategy.keep_statistics)
            last[index] = state

    return tl.fit(model, stripe_splits(12, augment="flip"), strategy, progress=compare)


@quick
@given(widths=st.lists(st.integers(2, 6), min_size=1, max_size=4), strategy=strategies)
def test_frozen_parts_never_move_and_the_others_always_do_for_any_stages_and_phases(widths, strategy):
    run = check(network(widths), strategy)
    assert len(run.history) == strategy.epochs
    assert 1 <= run.best_epoch <= strategy.epochs


@pytest.mark.parametrize("backbone", ["resnet18", "mobilenet_v3_small", "small_cnn", "timm:tf_efficientnet_lite0"])
def test_frozen_parts_never_move_and_the_others_always_do_for_real_backbones(backbone):
    model = tl.TransferModel(backbone, 2, pretrained=False)
    phases = (tl.Phase(1, 0, 1e-2), tl.Phase(1, 2, 1e-2), tl.Phase(1, 1, 1e-2), tl.Phase(1, None, 1e-2))
    check(model, tl.Strategy("thaw, freeze, thaw", phases, schedule="constant", warmup=0.0, augment="none"))


@quick
@given(widths=st.lists(st.integers(2, 6), min_size=1, max_size=5), strategy=strategies)
def test_every_parameter_is_in_exactly_one_group_whatever_the_stages(widths, strategy):
    model = network(widths)
    groups = _optimizer(model, strategy).param_groups
    assert sorted(id(p) for g in groups for p in g["params"]) == sorted(id(p) for p in model.parameters())
    assert all(g["lr"] == 0 for g in groups)  # nothing moves before a phase has given its rates


@given(phase=phases, count=st.integers(1, 12))
def test_rates_never_rise_towards_the_input_and_are_zero_exactly_where_frozen(phase, count):
    rates = phase.rates(count)
    assert len(rates) == count + 1
    assert rates == sorted(rates)
    assert [rate == 0 for rate in rates] == [index < phase.frozen_below(count) for index in range(count + 1)]
    assert rates[-1] == phase.lr


@given(
    strategy=st.builds(
        tl.fine_tuning,
        epochs=st.integers(1, 9),
        warmup=st.floats(0, 0.9),
        schedule=st.sampled_from(["cosine", "restarts", "constant"]),
    ),
    total=st.integers(1, 200),
)
def test_the_schedule_stays_between_zero_and_one_and_never_rises_after_the_warm_up(strategy, total):
    factors = [schedule_factor(strategy, step, total) for step in range(total)]
    assert all(0 <= factor <= 1 for factor in factors)
    after = factors[round(strategy.warmup * total) :]
    assert after == sorted(after, reverse=True)


@quick
@given(
    groups=st.lists(st.integers(0, 8), min_size=30, max_size=60),
    seed=st.integers(0, 9),
)
def test_groups_are_never_divided_between_parts(groups, seed):
    labels = np.array([group % 2 for group in groups])
    parts = tl.split_by_group(labels, np.array(groups), (6, 6), seed=seed)
    taken = [set(np.array(groups)[np.asarray(part)]) for part in parts]
    for i, one in enumerate(taken):
        for other in taken[i + 1 :]:
            assert not one & other
