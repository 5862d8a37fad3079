"""Each option of a strategy and of `fit` does what PyTorch, scikit-learn or arithmetic by hand says that it does."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import same, small_model, state_of, stripe_splits
from sklearn.metrics import balanced_accuracy_score
from torch import nn
from torch.nn.functional import cross_entropy
from torchvision.transforms import v2

import transferlib as tl
from transferlib import training
from transferlib.data.transforms import augment
from transferlib.strategies import Phase, Strategy

SEED = 3
UNEVEN = replace(stripe_splits(), train=stripe_splits().train[torch.arange(2, 23)])  # 21 images, 10 and 11 a class
BASE = {"optimizer": "sgd", "keep_statistics": True, "monitor": "last", "schedule": "constant", "warmup": 0.0}
PHASE = Phase(epochs=3, learn=2, lr=0.02, body=0.5, decay=0.5)


def by_hand(strategy, splits=UNEVEN, views=None):
    """What `fit` promises, in plain PyTorch: the model after the last epoch, and the mean training loss of each.

    views: of each image, (K, N, 3, H, W), one an epoch in turn; None shows the images as they are.
    """
    model = small_model().train()
    parts = [*model.stages, model.head]
    for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.eval()
    (phase,) = strategy.phases
    learning = len(model.stages) - (phase.learn or 0)
    groups = []
    for index, part in enumerate(parts):
        part.requires_grad_(index >= learning)
        distance = len(model.stages) - 1 - index
        rate = phase.lr if index == len(model.stages) else phase.lr * phase.body * phase.decay**distance
        for parameter in part.parameters() if index >= learning else ():
            decay = strategy.weight_decay if parameter.ndim > 1 else 0.0
            groups.append({"params": [parameter], "lr": rate, "weight_decay": decay, "whole": rate})
    if strategy.optimizer == "sgd":
        optimizer = torch.optim.SGD(groups, lr=0.1, momentum=strategy.momentum)
    else:
        optimizer = torch.optim.AdamW(groups, lr=0.1)
    images, labels, weights = splits.train.images, splits.train.labels, None
    if strategy.class_weights is not None:
        weights = torch.tensor(strategy.class_weights)
    order, losses = torch.Generator().manual_seed(SEED), []
    batches = math.ceil(len(images) / strategy.batch_size)
    total, step = phase.epochs * batches, 0
    warm = round(strategy.warmup * total)
    for epoch in range(phase.epochs):
        losses.append(0.0)
        for chosen in torch.randperm(len(images), generator=order).tensor_split(batches):
            share = (step + 1) / (warm + 1) if step < warm else 1.0
            if strategy.schedule == "cosine" and step >= warm:
                share = (1 + math.cos(math.pi * (step - warm) / (total - warm))) / 2
            for group in optimizer.param_groups:
                group["lr"] = group["whole"] * share
            shown = images if views is None else views[epoch % len(views)]
            loss = cross_entropy(
                model(shown[chosen]), labels[chosen], weights, label_smoothing=strategy.label_smoothing
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[-1] += loss.item() * len(chosen) / len(images)
            step += 1
    return model, losses


def trained(strategy, splits=UNEVEN):
    model = small_model()
    run = tl.fit(model, splits, strategy, seed=SEED)
    return model, [epoch.train_loss for epoch in run.history]


def distance(one, other):
    """The largest difference of a parameter or buffer."""
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return max((a - b).abs().max().item() for a, b in pairs)


OPTIONS = {
    "momentum": {"momentum": 0.0},
    "weight_decay": {"weight_decay": 0.5},
    "schedule": {"schedule": "cosine"},
    "warmup": {"warmup": 0.5},
    "batch_size": {"batch_size": 8},
    "label_smoothing": {"label_smoothing": 0.4},
    "class_weights": {"class_weights": (0.2, 3.0)},
    "learn": {"phases": (replace(PHASE, learn=1),)},
    "lr": {"phases": (replace(PHASE, lr=0.01),)},
    "body": {"phases": (replace(PHASE, body=1.0),)},
    "decay": {"phases": (replace(PHASE, decay=1.0),)},
    "epochs": {"phases": (replace(PHASE, epochs=2),)},
    "optimizer": {"optimizer": "adamw", "phases": (replace(PHASE, lr=1e-4),)},
}


@pytest.mark.parametrize("option", OPTIONS)
def test_training_with_an_option_is_training_with_it_by_hand(option):
    base = Strategy("base", (PHASE,), **BASE)
    strategy = replace(base, **OPTIONS[option])
    (ours, our_losses), (theirs, their_losses) = trained(strategy), by_hand(strategy)
    gap = distance(ours, theirs)
    assert our_losses == pytest.approx(their_losses, abs=1e-5)
    assert gap < 1e-4
    assert distance(ours, trained(base)[0]) > 5 * max(gap, 1e-5), "the option makes no difference here: no test"


def test_balanced_class_weights_are_scikit_learns():
    base = Strategy("base", (PHASE,), **BASE)
    few = replace(UNEVEN, train=UNEVEN.train[torch.tensor([0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 14])])
    counts = np.bincount(few.train.labels)
    by_class = tuple((len(few.train) / (2 * counts)).tolist())
    ours, theirs = (
        trained(replace(base, class_weights="balanced"), few)[0],
        trained(replace(base, class_weights=by_class), few)[0],
    )
    assert counts[0] != counts[1]
    assert distance(ours, theirs) < 1e-6


def test_fixed_views_take_turns_and_come_from_the_seed():
    strategy = Strategy("base", (replace(PHASE, epochs=4, lr=0.1),), **BASE, augment="flip", views=3)
    images = UNEVEN.train.images
    generator = torch.Generator().manual_seed(SEED)
    views = [images, *(augment(images, "flip", generator) for _ in range(2))]
    (ours, our_losses), (theirs, their_losses) = trained(strategy), by_hand(strategy, views=torch.stack(views))
    assert our_losses == pytest.approx(their_losses, abs=1e-5)
    assert distance(ours, theirs) < 1e-4
    one, _ = by_hand(strategy, views=torch.stack(views[:2]))
    assert distance(ours, one) > 1e-3, "two views for three would not be noticed"


def test_fresh_views_are_drawn_for_each_batch():
    seen = []

    def look(image):
        seen.append(image)
        return image

    strategy = Strategy("base", (replace(PHASE, epochs=2),), **BASE, augment=look)
    trained(strategy)
    assert len(seen) == 2 * len(UNEVEN.train)


def test_a_transform_of_torchvision_is_applied_to_each_image_on_its_own():
    images = UNEVEN.train.images[:8]
    always = augment(images, v2.RandomHorizontalFlip(1.0), torch.Generator())
    assert torch.equal(always, images.flip(3))
    sometimes = augment(images, v2.RandomHorizontalFlip(0.5), torch.Generator().manual_seed(0))
    turned = [not torch.equal(a, b) for a, b in zip(sometimes, images, strict=True)]
    assert any(turned) and not all(turned)
    again = augment(images, v2.RandomHorizontalFlip(0.5), torch.Generator().manual_seed(0))
    assert torch.equal(sometimes, again)
    with pytest.raises(tl.DataError, match="one size"):
        augment(images, lambda image: image[:, : int(torch.randint(8, 30, ()))], torch.Generator().manual_seed(0))


def test_a_transform_of_torchvision_can_be_trained_with():
    strategy = tl.fine_tuning(2, learn=1, augment=v2.Compose([v2.RandomRotation(20), v2.ColorJitter(0.3)]))
    models = [small_model() for _ in range(2)]
    runs = [tl.fit(model, UNEVEN, strategy, seed=SEED) for model in models]
    assert same(*map(state_of, models))
    assert "RandomRotation" in runs[0].to_dict()["strategy"]["augment"]


def test_a_loss_of_ones_own_is_minimised():
    margin = nn.MultiMarginLoss()
    strategy = Strategy("base", (replace(PHASE, epochs=1, learn=0),), **{**BASE, "loss": margin, "batch_size": 21})
    model = small_model()
    features = model.features(UNEVEN.train.images).detach()
    loss = margin(model.head(features), UNEVEN.train.labels)
    gradient = torch.autograd.grad(loss, model.head.bias)[0]
    before = model.head.bias.detach().clone()
    run = tl.fit(model, UNEVEN, strategy, seed=SEED)
    torch.testing.assert_close(model.head.bias.detach(), before - PHASE.lr * gradient, rtol=0, atol=1e-5)
    assert run.best.train_loss == pytest.approx(loss.item(), abs=1e-5)
    assert run.best.val_loss == pytest.approx(margin(model(UNEVEN.val.images), UNEVEN.val.labels).item(), abs=1e-5)
    assert run.to_dict()["strategy"]["loss"] == "MultiMarginLoss()"
    with pytest.raises(tl.TransferError, match="build them into your loss"):
        tl.fine_tuning(loss=margin, label_smoothing=0.1)


def test_cross_entropy_as_ones_own_loss_is_cross_entropy_in_pieces_too(monkeypatch):
    base = Strategy("base", (PHASE,), **BASE)
    whole = trained(base)[0]
    monkeypatch.setattr(training, "halving", lambda action, size, told: action(4))  # memory for four images
    for pieces in (base, replace(base, loss=nn.CrossEntropyLoss()), replace(base, class_weights=(1.0, 1.0))):
        assert distance(trained(pieces)[0], whole) < 1e-5


@pytest.mark.parametrize("monitor", ["accuracy", "balanced_accuracy", "loss", "last"])
def test_the_epoch_that_is_kept_has_most_of_what_is_monitored(monitor):
    parts, generator = [], torch.Generator().manual_seed(0)
    for part, (n, share) in enumerate(((24, 0.5), (40, 0.25), (8, 0.5))):  # noise: the scores go up and down
        images = torch.randint(256, (n, 3, 32, 32), dtype=torch.uint8, generator=generator)
        labels = (torch.rand(n, generator=generator) < share).long()
        parts.append(tl.Split(images, labels, 1000 * part + torch.arange(n)))
    splits, kept = tl.Splits(*parts, ("a", "b"), "noise", "none"), []
    for seed in range(6):
        model, states = small_model(), []
        strategy = tl.from_scratch(8, lr=0.01, monitor=monitor)
        run = tl.fit(model, splits, strategy, seed=seed, progress=lambda _, m=model, s=states: s.append(state_of(m)))
        scores = {
            "accuracy": [(e.val_accuracy, -e.val_loss) for e in run.history],
            "balanced_accuracy": [(e.val_balanced_accuracy, -e.val_loss) for e in run.history],
            "loss": [-e.val_loss for e in run.history],
            "last": [e.epoch for e in run.history],
        }
        best = {name: int(max(range(8), key=values.__getitem__)) for name, values in scores.items()}
        assert run.best_epoch == best[monitor] + 1
        assert same(state_of(model), states[best[monitor]])
        kept.append(tuple(best.values()))
    assert all(any(row[i] != row[j] for row in kept) for i in range(4) for j in range(i)), "monitors agree: no test"


def test_validation_scores_are_scikit_learns():
    uneven = replace(UNEVEN, val=UNEVEN.val[torch.tensor([0, 1, 2, 4, 6, 8, 10, 12])])
    model, found = small_model(), []

    def look(epoch):
        calls = tl.predict(model, uneven.val.images).argmax(1)
        found.append((epoch, calls))

    tl.fit(model, uneven, tl.fine_tuning(6, lr=0.02, optimizer="sgd"), progress=look)
    for epoch, calls in found:
        assert epoch.val_accuracy == pytest.approx((calls == uneven.val.labels).double().mean().item())
        assert epoch.val_balanced_accuracy == pytest.approx(balanced_accuracy_score(uneven.val.labels, calls))
    assert any(epoch.val_accuracy != epoch.val_balanced_accuracy for epoch, _ in found), "no test"


def test_bfloat16_computes_in_bfloat16():
    seen, model = [], small_model()
    model.head.register_forward_hook(lambda head, given, logits: seen.append(logits.dtype) if model.training else None)
    tl.fit(model, UNEVEN, tl.fine_tuning(1), precision="bf16")
    assert set(seen) == {torch.bfloat16}


def test_stages_above_those_that_learn_can_be_frozen():
    """Surgical fine-tuning: the second stage alone learns, and its gradient comes through all that is above it."""
    model = small_model()
    before = [state_of(part) for part in model.parts]
    phase = Phase(2, learn=1, lr=0.05, body=1.0, decay=1.0, above=4)
    assert phase.rates(5) == [0.0, 0.05, 0.0, 0.0, 0.0, 0.0]
    tl.fit(model, UNEVEN, Strategy("surgical", (phase,), **BASE), seed=SEED)
    moved = [not same(a, state_of(b)) for a, b in zip(before, model.parts, strict=True)]
    assert moved == [False, True, False, False, False, False]
    assert model.trainable_stages == ("stage1",)
    by_gradient = small_model()
    loss = cross_entropy(by_gradient(UNEVEN.train.images), UNEVEN.train.labels)
    gradient = torch.autograd.grad(loss, by_gradient.stages[1][0].weight)[0]
    one = small_model()
    step = Strategy("one step", (replace(phase, epochs=1),), **{**BASE, "batch_size": 21, "weight_decay": 0.0})
    tl.fit(one, UNEVEN, step, seed=SEED)
    expected = by_gradient.stages[1][0].weight.detach() - 0.05 * gradient
    torch.testing.assert_close(one.stages[1][0].weight.detach(), expected, rtol=0, atol=1e-5)


def test_a_frozen_head_stays_frozen_and_nothing_left_to_learn_is_an_error():
    model = small_model().freeze_to(1, above=1).train()
    assert not any(p.requires_grad for p in model.head.parameters())
    assert [part.training for part in model.parts] == [False, True, True, True, True, False]
    assert model.parameter_table()[-1][2] is False
    with pytest.raises(tl.TransferError, match="leave nothing"):
        model.freeze_to(5, above=1)
    with pytest.raises(tl.TransferError, match="above must be"):
        Phase(1, learn=0, lr=0.1, above=1)


def test_progressive_unfreezing_of_two_epochs_needs_no_steps():
    assert [(p.epochs, p.learn) for p in tl.progressive_unfreezing(2).phases] == [(1, 0), (1, None)]
    assert len(tl.progressive_unfreezing(3).phases) == 3
    assert len(tl.progressive_unfreezing(9).phases) == 4
    with pytest.raises(tl.TransferError, match="steps"):
        tl.progressive_unfreezing(1)


def test_a_head_of_ones_own_is_trained_saved_and_loaded(tmp_path):
    def head():
        return nn.Sequential(nn.Linear(128, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 2))

    model = tl.TransferModel("small_cnn", 2, pretrained=False, head=head())
    before = state_of(model.head)
    tl.fit(model, UNEVEN, tl.feature_extraction(2, lr=0.01, monitor="last"))
    assert not same(before, state_of(model.head))
    tl.save(model, tmp_path, classes=UNEVEN.classes)
    loaded, _ = tl.load(tmp_path, head=head())
    assert torch.equal(tl.predict(loaded, UNEVEN.val.images), tl.predict(model, UNEVEN.val.images))
    with pytest.raises(tl.CheckpointError, match=r"head of its own.*Dropout.*head="):
        tl.load(tmp_path)
    with pytest.raises(tl.CheckpointError, match="do not fit"):
        tl.load(tmp_path, head=nn.Linear(128, 2))


def test_a_head_that_does_not_fit_names_the_numbers():
    with pytest.raises(tl.TransferError, match="128 features"):
        tl.TransferModel("small_cnn", 2, pretrained=False, head=nn.Linear(64, 2))
    with pytest.raises(tl.TransferError, match=r"\(2, 3\).*2 outputs"):
        tl.TransferModel("small_cnn", 2, pretrained=False, head=nn.Linear(128, 3))
