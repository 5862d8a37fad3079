import pytest
import torch
from helpers import same, small_model, state_of, stripes

import transferlib as tl
from transferlib.errors import TransferError


def test_the_head_is_new_random_and_the_same_for_the_same_seed():
    one, again, other = small_model(0), small_model(0), small_model(1)
    assert torch.equal(one.head.weight, again.head.weight)
    assert not torch.equal(one.head.weight, other.head.weight)


def test_building_a_model_leaves_the_global_random_state_alone():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    small_model()
    assert torch.equal(torch.rand(3), expected)


def test_predicting_with_a_new_model_does_not_change_it():
    model = small_model()
    before = state_of(model)
    tl.predict(model, stripes(8, 0).images)
    model(stripes(8, 0).images)
    assert same(before, state_of(model))


def test_uint8_and_its_float_are_the_same_image():
    model = small_model().eval()
    images = stripes(4, 0).images
    assert torch.allclose(model(images), model(images / 255), atol=1e-5)


@pytest.mark.parametrize("k", range(6))
def test_freeze_to_a_number_freezes_the_first_k_stages(k):
    model = small_model().freeze_to(k)
    learns = [all(p.requires_grad for p in stage.parameters()) for stage in model.stages]
    assert learns == [False] * k + [True] * (5 - k)
    assert all(p.requires_grad for p in model.head.parameters())


def test_freeze_to_a_name_includes_that_stage():
    model = small_model()
    for index, name in enumerate(model.stage_names, start=1):
        assert model.freeze_to(name).frozen_below == index


def test_train_does_not_thaw_a_frozen_stage():
    model = small_model().freeze_to("stage2").train()
    assert [any(m.training for m in stage.modules()) for stage in model.stages] == [False] * 3 + [True] * 2
    model.freeze_to(0)
    assert all(m.training for m in model.modules())


def test_running_a_frozen_stage_in_training_changes_no_buffer():
    model = small_model().freeze_to(5).train()
    before = state_of(model.stages)
    with torch.no_grad():
        for _ in range(20):
            model(stripes(8, 0).images)
    assert same(before, state_of(model.stages))


def test_freezing_forgets_the_gradient_so_that_momentum_cannot_move_what_is_frozen():
    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(stripes(8, 0).images).sum().backward()
    optimizer.step()
    model.freeze_to(5)
    before = state_of(model.stages)
    model(stripes(8, 0).images).sum().backward()
    optimizer.step()
    assert same(before, state_of(model.stages))


@pytest.mark.parametrize("stage", ["layer9", 6, -1])
def test_freezing_what_is_not_there_is_an_error(stage):
    with pytest.raises(TransferError, match="small_cnn"):
        small_model().freeze_to(stage)


def test_a_model_is_pretrained_unless_told_otherwise():
    assert tl.TransferModel().weights != "random"


def test_one_class_is_an_error():
    with pytest.raises(TransferError, match="num_classes"):
        tl.TransferModel("small_cnn", 1, pretrained=False)


def test_the_repr_shows_what_is_frozen():
    assert "[stem] → [stage1] → stage2" in repr(small_model().freeze_to("stage1"))


def test_kept_statistics_hold_batchnorm_and_nothing_else():
    model = small_model()
    model.stages[0].append(torch.nn.Dropout())
    model.keep_statistics = True
    model.train()
    modes = {type(m).__name__: m.training for m in model.stages.modules() if not list(m.children())}
    assert modes["Dropout"] and modes["Conv2d"] and not modes["BatchNorm2d"]


def test_a_model_can_be_spoken_to_in_one_breath():
    model = small_model()
    assert model.freeze_to(2) is model.train() is model.eval() is model.randomise(3)


def test_a_model_says_how_much_of_it_learns():
    model = small_model().freeze_to(4)
    learn = sum(p.numel() for p in [*model.stages[4:].parameters(), *model.head.parameters()])
    total = sum(p.numel() for p in model.parameters())
    assert repr(model) == (
        "TransferModel(small_cnn, random: [stem] → [stage1] → [stage2] → [stage3] → stage4 → head; "
        f"{learn:,} of {total:,} parameters learn)"
    )
