from dataclasses import FrozenInstanceError, replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

import transferlib as tl
from transferlib.cli.parser import STRATEGIES
from transferlib.errors import TransferError
from transferlib.training import schedule_factor

EVERY = tuple(STRATEGIES.values())


@pytest.mark.parametrize("make", EVERY)
@given(epochs=st.integers(4, 60))
def test_epochs_are_the_total_of_all_phases(make, epochs):
    assert make(epochs=epochs).epochs == epochs


@pytest.mark.parametrize("make", EVERY)
@given(lr=st.floats(1e-6, 1))
def test_lr_is_the_heads_in_every_phase(make, lr):
    assert {phase.rates(5)[-1] for phase in make(lr=lr).phases} == {lr}


@given(
    learn=st.one_of(st.none(), st.integers(0, 8)),
    stages=st.integers(1, 8),
    body=st.floats(0.01, 0.99),
    decay=st.floats(0.01, 0.99),
)
def test_rates_fall_with_depth_and_are_zero_exactly_where_frozen(learn, stages, body, decay):
    phase = tl.Phase(1, learn, 0.01, body, decay)
    rates = phase.rates(stages)
    frozen = phase.frozen_below(stages)
    assert len(rates) == stages + 1
    assert rates[:frozen] == [0.0] * frozen
    assert all(0 < shallow < deep for shallow, deep in zip(rates[frozen:], rates[frozen + 1 :], strict=False))


def test_the_seeds_listing_is_a_phase():
    rates = tl.Phase(1, learn=2, lr=0.01, body=0.1, decay=0.1).rates(5)
    assert rates == pytest.approx([0, 0, 0, 1e-4, 1e-3, 1e-2])


@given(epochs=st.integers(2, 40), data=st.data())
def test_progressive_unfreezing_thaws_one_more_stage_a_phase_and_ends_with_all(epochs, data):
    steps = data.draw(st.integers(2, epochs))
    phases = tl.progressive_unfreezing(epochs, steps=steps).phases
    assert [phase.learn for phase in phases] == [*range(steps - 1), None]
    assert max(p.epochs for p in phases) - min(p.epochs for p in phases) <= 1


def test_lp_ft_is_a_probe_and_then_fine_tuning():
    probe, tuning = tl.lp_ft(10).phases
    assert (probe.learn, probe.epochs, tuning.learn, tuning.epochs) == (0, 5, None, 5)


def test_only_from_scratch_forgets_the_weights():
    assert [name for name, make in STRATEGIES.items() if not make().pretrained] == ["from-scratch"]


@given(step=st.integers(0, 99), warmup=st.floats(0, 0.9), schedule=st.sampled_from(["cosine", "restarts", "constant"]))
def test_the_schedule_never_leaves_zero_to_one(step, warmup, schedule):
    strategy = tl.fine_tuning(1, warmup=warmup, schedule=schedule)
    assert 0 <= schedule_factor(strategy, step, 100) <= 1


def test_the_cosine_ends_near_zero_and_starts_with_a_warm_up():
    strategy = tl.fine_tuning(1, warmup=0.1)
    factors = [schedule_factor(strategy, step, 100) for step in range(100)]
    assert factors[0] < 0.1
    assert max(factors) == factors[10] == 1
    assert factors[-1] < 0.001


def test_restarts_are_a_whole_schedule_for_each_phase():
    strategy = tl.progressive_unfreezing(10, steps=4, warmup=0.25, schedule="restarts")
    factors = [schedule_factor(strategy, step, 40) for step in range(40)]
    alone = [tl.fine_tuning(phase.epochs, warmup=0.25) for phase in strategy.phases]
    assert factors == [schedule_factor(one, step, 4 * one.epochs) for one in alone for step in range(4 * one.epochs)]
    one = tl.fine_tuning(7)
    again = replace(one, schedule="restarts")
    assert [schedule_factor(again, s, 14) for s in range(14)] == [schedule_factor(one, s, 14) for s in range(14)]


@pytest.mark.parametrize(("what", "name"), [(tl.fine_tuning(), "batch_size"), (tl.Phase(1, 0, 0.01), "lr")])
def test_what_was_checked_cannot_be_changed_afterwards(what, name):
    with pytest.raises(FrozenInstanceError):
        setattr(what, name, -1)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: tl.fine_tuning(0), "epochs"),
        (lambda: tl.fine_tuning(1.5), "epochs must be a whole number"),
        (lambda: tl.fine_tuning(learn=0.5), "learn must be None or a whole number"),
        (lambda: tl.fine_tuning(lr=-1.0), "lr"),
        (lambda: tl.fine_tuning(lr=float("nan")), "lr"),
        (lambda: tl.fine_tuning(body=0.0), "body"),
        (lambda: tl.fine_tuning(body=1.01), "body"),
        (lambda: tl.fine_tuning(decay=2.0), "decay"),
        (lambda: tl.fine_tuning(learn=-1), "learn"),
        (lambda: tl.fine_tuning(optimizer="adam"), "optimizer"),
        (lambda: tl.fine_tuning(augment="mixup"), "augment"),
        (lambda: tl.fine_tuning(monitor="f1"), "monitor"),
        (lambda: tl.fine_tuning(batch_size=0), "batch_size"),
        (lambda: tl.fine_tuning(patience=0), "patience"),
        (lambda: tl.fine_tuning(label_smoothing=1.0), "label_smoothing"),
        (lambda: tl.fine_tuning(weight_decay=-1.0), "weight_decay"),
        (lambda: tl.feature_extraction(views=0), "views"),
        (lambda: tl.progressive_unfreezing(3, steps=4), "steps"),
        (lambda: tl.lp_ft(1), "epochs"),
        (lambda: tl.Strategy("empty", ()), "phases"),
    ],
)
def test_a_bad_value_is_an_error_that_names_it(make, said):
    with pytest.raises(TransferError, match=said):
        make()


def test_warm_up_rises_in_equal_steps_and_the_schedule_begins_at_the_whole_rate():
    strategy = tl.fine_tuning(warmup=0.3)
    factors = [schedule_factor(strategy, step, 10) for step in range(10)]
    assert factors[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert all(later < earlier for earlier, later in pairwise(factors[3:]))


def test_a_batch_of_one_image_is_allowed_and_an_infinite_rate_is_not():
    assert tl.fine_tuning(batch_size=1).batch_size == 1
    with pytest.raises(TransferError, match="lr must be above 0, not inf"):
        tl.fine_tuning(lr=float("inf"))


def test_lp_ft_leaves_an_epoch_for_each_of_its_phases():
    with pytest.raises(TransferError, match="without an epoch"):
        tl.lp_ft(4, probe=1.0)
