import copy
import signal
from dataclasses import replace

import pytest
import torch
from helpers import same, small_model, state_of, stripe_splits
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

import transferlib as tl
from transferlib import features as feed
from transferlib import training
from transferlib.errors import TrainingDiverged, TransferError
from transferlib.run import Epoch, Run

QUICK = {
    "from scratch": tl.from_scratch(2),
    "feature extraction": tl.feature_extraction(2),
    "fine-tuning": tl.fine_tuning(2, learn=2),
    "progressive unfreezing": tl.progressive_unfreezing(3, steps=3),
    "LP-FT": tl.lp_ft(2),
}


@pytest.mark.parametrize("strategy", QUICK.values(), ids=QUICK.keys())
def test_the_same_seed_gives_the_same_run_to_the_bit(strategy):
    splits = stripe_splits(augment="dihedral")
    states, runs = [], []
    for _ in range(2):
        model = small_model()
        runs.append([(e.train_loss, e.val_loss) for e in tl.fit(model, splits, strategy, seed=3).history])
        states.append(state_of(model))
    assert runs[0] == runs[1]
    assert same(*states)


def test_another_seed_gives_another_run():
    losses = [tl.fit(small_model(), stripe_splits(), tl.fine_tuning(1), seed=s).history[0].train_loss for s in (0, 1)]
    assert losses[0] != losses[1]


def test_the_schedule_runs_over_the_steps_of_all_epochs():
    strategy = tl.lp_ft(4, lr=0.01)  # two steps an epoch: 24 images in batches of 16
    history = tl.fit(small_model(), stripe_splits(), strategy).history
    factors = [training.schedule_factor(strategy, 2 * epoch.epoch - 1, 8) for epoch in history]
    assert [epoch.lr for epoch in history] == pytest.approx([0.01 * factor for factor in factors])


def test_the_training_loss_is_a_mean_over_images_not_over_batches():
    splits, model = stripe_splits(), small_model()
    splits = replace(splits, train=splits.train[torch.arange(23)])  # a batch of 12 and one of 11
    before = copy.deepcopy(model)
    run = tl.fit(model, splits, tl.feature_extraction(1, lr=1e-12, batch_size=12))
    expected = cross_entropy(before(splits.train.images), splits.train.labels).item()
    assert run.history[0].train_loss == pytest.approx(expected, abs=1e-5)


def test_validation_scores_are_those_of_the_finished_model_in_evaluation_mode():
    splits, model = stripe_splits(), small_model()
    run = tl.fit(model, splits, tl.from_scratch(1))  # its BatchNorm layers would see the batch otherwise
    logits = model.eval()(splits.val.images)
    assert run.best.val_loss == pytest.approx(cross_entropy(logits, splits.val.labels).item(), abs=1e-5)


@settings(max_examples=12, deadline=None)
@given(learn=st.integers(0, 5), optimizer=st.sampled_from(["adamw", "sgd"]), augment=st.sampled_from(["none", "flip"]))
def test_frozen_stages_are_bit_identical_after_training_and_the_others_have_moved(learn, optimizer, augment):
    model = small_model()
    before = [state_of(stage) for stage in model.stages]
    tl.fit(model, stripe_splits(), tl.fine_tuning(1, learn=learn, optimizer=optimizer, augment=augment))
    moved = [not same(state, state_of(stage)) for state, stage in zip(before, model.stages, strict=True)]
    assert moved == [False] * (5 - learn) + [True] * learn


def test_batchnorm_keeps_its_averages_while_its_weights_learn():
    model = small_model()
    before = state_of(model.stages)
    tl.fit(model, stripe_splits(), tl.fine_tuning(1))
    moved = {
        name.rpartition(".")[2]
        for name, tensor in model.stages.state_dict().items()
        if not torch.equal(tensor, before[name])
    }
    assert moved == {"weight", "bias"}


def test_from_scratch_learns_the_averages_too():
    model = small_model()
    tl.fit(model, stripe_splits(), tl.from_scratch(1))
    assert model.stages[0][1].num_batches_tracked > 0


def test_a_stage_thawed_in_a_later_phase_learns():
    model = small_model()
    before = [state_of(stage) for stage in model.stages]
    run = tl.fit(model, stripe_splits(), tl.progressive_unfreezing(3, steps=3, lr=1e-2))
    assert run.best_epoch == 3, "the check below needs the weights of the last phase"
    assert not any(same(state, state_of(stage)) for state, stage in zip(before, model.stages, strict=True))


def test_every_parameter_is_in_exactly_one_group_of_its_own_stage():
    model = small_model()
    optimizer = training._optimizer(model, tl.fine_tuning())
    grouped = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters())
    parts = [*model.stages, model.head]
    for group in optimizer.param_groups:
        assert {id(p) for p in group["params"]} <= {id(p) for p in parts[group["part"]].parameters()}
        assert all((p.ndim > 1) == (group["weight_decay"] > 0) for p in group["params"])


def test_cached_and_recomputed_features_train_the_same_head(monkeypatch):
    heads, histories = [], []
    for limit in (feed.CACHE_LIMIT, 0):
        monkeypatch.setattr(feed, "CACHE_LIMIT", limit)
        model = small_model()
        strategy = tl.fine_tuning(3, learn=1, augment="none", views=1)
        if limit:
            run = tl.fit(model, stripe_splits(), strategy)
        else:
            with pytest.warns(UserWarning, match="recomputed every epoch"):
                run = tl.fit(model, stripe_splits(), strategy)
        assert bool(run.notes) == bool(limit)
        heads.append(model.head.weight.detach())
        histories.append([epoch.train_loss for epoch in run.history])
    assert histories[0] == pytest.approx(histories[1], abs=1e-6)
    assert torch.allclose(*heads, atol=1e-6)


def test_augmentation_without_views_is_never_cached():
    run = tl.fit(small_model(), stripe_splits(augment="flip"), tl.feature_extraction(1, views=None))
    assert run.notes == []


def test_several_views_are_several_rounds_through_the_frozen_stages():
    run = tl.fit(small_model(), stripe_splits(augment="flip"), tl.feature_extraction(2, views=3))
    assert "3 views of 24 training" in run.notes[0]


def test_one_step_is_the_step_written_by_hand():
    splits = stripe_splits(16)
    strategy = tl.Strategy(
        "by hand", (tl.Phase(1, None, 0.01, body=0.1, decay=0.1),), optimizer="sgd", schedule="constant", warmup=0.0,
        weight_decay=0.0, batch_size=16,
    )  # fmt: skip
    ours, theirs = small_model(), small_model()
    tl.fit(ours, splits, strategy, seed=5)
    rates = [1e-6, 1e-5, 1e-4, 1e-3]
    groups = [{"params": stage.parameters(), "lr": lr} for stage, lr in zip(theirs.stages[1:], rates, strict=True)]
    groups += [{"params": theirs.stages[0].parameters(), "lr": 1e-7}, {"params": theirs.head.parameters(), "lr": 1e-2}]
    optimizer = torch.optim.SGD(groups, momentum=0.9)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(5))
    theirs.train()
    cross_entropy(theirs(splits.train.images[order]), splits.train.labels[order]).backward()
    optimizer.step()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-7)


def test_easy_stripes_are_learned_from_scratch():
    model = small_model()
    tl.fit(model, stripe_splits(64), tl.from_scratch(8, batch_size=8))
    assert tl.evaluate(model, stripe_splits().test).accuracy > 0.9


def test_from_scratch_forgets_what_the_stages_knew():
    model, blank = small_model(seed=9), small_model(seed=4)
    model.randomise(4)
    assert same(state_of(model.stages), state_of(blank.stages))


def test_the_model_holds_the_best_epochs_weights():
    seen = []
    model = small_model()
    run = tl.fit(model, stripe_splits(), tl.fine_tuning(6, lr=0.05), progress=lambda _: seen.append(state_of(model)))
    assert same(seen[run.best_epoch - 1], state_of(model))
    assert run.best.val_accuracy == max(epoch.val_accuracy for epoch in run.history)


def test_patience_stops_early_and_says_so():
    run = tl.fit(small_model(), stripe_splits(), tl.fine_tuning(40, lr=1e-2, patience=2))
    assert len(run.history) == run.best_epoch + 2 < 40
    assert "stopped early" in run.notes[-1]


def test_a_model_is_left_in_evaluation_mode():
    model = small_model()
    tl.fit(model, stripe_splits(), tl.fine_tuning(1))
    assert not any(module.training for module in model.modules())


def test_training_leaves_the_global_random_state_alone():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    tl.fit(small_model(), stripe_splits(), tl.fine_tuning(1))
    assert torch.equal(torch.rand(3), expected)


def test_a_batch_of_one_image_left_over_is_spread_over_the_others():
    tl.fit(small_model(), stripe_splits(n=34), tl.fine_tuning(1, batch_size=11))


def test_a_loss_that_is_no_number_stops_and_names_phase_and_rate_and_keeps_good_weights():
    model = small_model()
    before = state_of(model)
    with pytest.raises(TrainingDiverged, match=r"phase 1 of 'fine-tuning'.*rate 1e\+30.*try|Try"):
        tl.fit(model, stripe_splits(), tl.fine_tuning(5, lr=1e30, optimizer="sgd", warmup=0.0, body=1.0, decay=1.0))
    assert all(torch.isfinite(tensor).all() for tensor in model.state_dict().values())
    assert same(before, state_of(model))


def test_ctrl_c_keeps_the_best_weights_and_tells_the_run():
    model = small_model()

    def press(epoch):
        if epoch.epoch == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as caught:
        tl.fit(model, stripe_splits(), tl.fine_tuning(9), progress=press)
    assert len(caught.value.run.history) == 2
    assert torch.isfinite(tl.predict(model, stripe_splits().test.images)).all()


def test_a_head_of_another_size_than_the_data_is_an_error():
    model = tl.TransferModel("small_cnn", 7, pretrained=False)
    with pytest.raises(TransferError, match="num_classes=2"):
        tl.fit(model, stripe_splits(), tl.fine_tuning(1))


def test_class_weights_of_the_wrong_length_are_an_error():
    with pytest.raises(TransferError, match="3 numbers"):
        tl.fit(small_model(), stripe_splits(), tl.fine_tuning(1, class_weights=(1.0, 2.0, 3.0)))


def test_balanced_class_weights_give_every_class_the_same_say():
    labels = torch.tensor([0] * 9 + [1] * 3)
    weights = training._class_weights(tl.fine_tuning(class_weights="balanced"), labels, 2)
    assert (weights * torch.tensor([9, 3])).tolist() == pytest.approx([6, 6])


def test_the_run_goes_into_json():
    import json

    run = tl.fit(small_model(), stripe_splits(), tl.lp_ft(2))
    facts = json.loads(json.dumps(run.to_dict()))
    assert facts["strategy"]["phases"][0]["learn"] == 0
    assert len(facts["history"]) == 2
    assert "LP-FT of small_cnn on stripes" in repr(run)


def test_a_run_says_in_a_line_what_it_was_and_what_came_of_it():
    run = Run(tl.lp_ft(4), "small_cnn", "stripes", 3)
    assert repr(run) == "Run(LP-FT of small_cnn on stripes, seed 3: no epoch finished)"
    run.history = [Epoch(n, phase, 0.1, 0.5, 0.4, 0.75, 0.7, 2.0) for n, phase in ((1, 1), (2, 1), (3, 2), (4, 2))]
    run.best_epoch, run.seconds = 3, 8.25
    assert repr(run) == (
        "Run(LP-FT of small_cnn on stripes, seed 3: 4 epochs in 8.2 s, best epoch 3 (phase 2 of 2), "
        "validation accuracy 0.750)"
    )
    run.strategy = tl.fine_tuning(4)
    assert "best epoch 3, validation" in repr(run)
