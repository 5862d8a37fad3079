import json
import multiprocessing
import random
import signal
import time
from types import SimpleNamespace

import pytest
import torch
from helpers import same, small_model, state_of, stripe_splits
from hypothesis import given, settings
from hypothesis import strategies as st

import transferlib as tl
from transferlib.engine import resume
from transferlib.errors import CheckpointError, TransferError

STRATEGIES = {
    "from scratch": tl.from_scratch(5, patience=3),
    "feature extraction": tl.feature_extraction(6, views=2),
    "fine-tuning": tl.fine_tuning(5, learn=2, optimizer="sgd"),
    "progressive unfreezing": tl.progressive_unfreezing(6, steps=3, class_weights="balanced"),
    "LP-FT": tl.lp_ft(6, patience=4, monitor="loss"),
}


class Killed(Exception):
    pass


def history(run):
    return [(e.epoch, e.phase, e.lr, e.train_loss, e.val_loss, e.val_accuracy) for e in run.history]


def interrupted(folder, strategy, after, splits):
    """A run that ends in an exception after so many epochs, as a killed one leaves its folder."""

    def stop(epoch):
        if epoch.epoch == after:
            raise Killed

    with pytest.raises(Killed):
        tl.fit(small_model(), splits, strategy, seed=1, progress=stop, checkpoint=folder, save_every=0)


@pytest.mark.parametrize("after", [1, 2, 4])
@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES.keys())
def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(tmp_path, strategy, after):
    splits = stripe_splits(augment="flip")
    whole = small_model()
    expected = tl.fit(whole, splits, strategy, seed=1)
    interrupted(tmp_path, strategy, after, splits)
    again = small_model()
    run = tl.fit(again, splits, strategy, seed=1, checkpoint=tmp_path, resume=True)
    assert same(state_of(whole), state_of(again))
    assert history(run) == history(expected)
    assert run.best_epoch == expected.best_epoch


def test_the_seconds_of_a_run_hold_those_of_all_its_epochs(tmp_path):
    interrupted(tmp_path, tl.fine_tuning(4), 2, stripe_splits())
    whole = tl.fit(small_model(), stripe_splits(), tl.fine_tuning(4), seed=1)
    resumed = tl.fit(small_model(), stripe_splits(), tl.fine_tuning(4), seed=1, checkpoint=tmp_path, resume=True)
    for run in (whole, resumed):
        assert 0 < sum(epoch.seconds for epoch in run.history) <= run.seconds


def test_without_progress_a_resumed_run_starts_from_the_beginning(tmp_path):
    run = tl.fit(small_model(), stripe_splits(), tl.fine_tuning(2), checkpoint=tmp_path / "new", resume=True)
    assert len(run.history) == 2


def test_a_finished_run_is_resumed_without_another_epoch(tmp_path):
    first, second = small_model(), small_model()
    expected = tl.fit(first, stripe_splits(), tl.lp_ft(4), checkpoint=tmp_path, save_every=0)
    seen = []
    run = tl.fit(second, stripe_splits(), tl.lp_ft(4), checkpoint=tmp_path, resume=True, progress=seen.append)
    assert seen == []
    assert history(run) == history(expected)
    assert same(state_of(first), state_of(second))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"strategy": tl.fine_tuning(7)}, "strategy"),
        ({"seed": 2}, "seed"),
        ({"splits": stripe_splits(32)}, "start"),
        ({"model": small_model(seed=5)}, "start"),
        ({"precision": "bf16"}, "precision"),
    ],
)
def test_progress_of_another_run_is_refused_and_names_the_difference(tmp_path, change, named):
    interrupted(tmp_path, tl.fine_tuning(5), 2, stripe_splits())
    given = {"model": small_model(), "splits": stripe_splits(), "strategy": tl.fine_tuning(5), "seed": 1} | change
    with pytest.raises(CheckpointError, match=rf"another run: {named} differs"):
        tl.fit(**given, checkpoint=tmp_path, resume=True)


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove"])
def test_damaged_progress_is_refused(tmp_path, damage):
    interrupted(tmp_path, tl.fine_tuning(5), 2, stripe_splits())
    (path,) = tmp_path.glob("progress-*.safetensors")
    content = path.read_bytes()
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(
            content[:-9] if damage == "truncate" else content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
        )
    with pytest.raises(CheckpointError, match=r"truncated or changed|cannot be read"):
        tl.fit(small_model(), stripe_splits(), tl.fine_tuning(5), seed=1, checkpoint=tmp_path, resume=True)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(
    key=st.sampled_from(["history", "best_epoch", "seconds", "micro_batch", "identity", "file", "sha256"]),
    value=json_values,
)
def test_any_json_in_the_place_of_progress_is_refused_or_read(tmp_path_factory, key, value):
    folder = tmp_path_factory.mktemp("fuzz")
    interrupted(folder, tl.fine_tuning(2, learn=0), 1, stripe_splits(8))
    path = folder / "progress.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    try:
        tl.fit(small_model(), stripe_splits(8), tl.fine_tuning(2, learn=0), seed=1, checkpoint=folder, resume=True)
    except TransferError as error:
        assert str(folder) in str(error)


def killed_run(folder, ready):
    torch.set_num_threads(1)
    model = small_model()
    ready.set()
    tl.fit(model, stripe_splits(48, augment="flip"), LONG, seed=1, checkpoint=folder, resume=True, save_every=0)
    torch.save(state_of(model), folder / "done.pt")


LONG = tl.progressive_unfreezing(60, steps=5)


@pytest.mark.thorough
def test_a_run_that_is_killed_twenty_times_ends_with_the_same_weights(tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        whole = small_model()
        started = time.perf_counter()
        tl.fit(whole, stripe_splits(48, augment="flip"), LONG, seed=1)
        lasts = time.perf_counter() - started
    finally:
        torch.set_num_threads(threads)
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["torch", "transferlib"])
    at_random, kills, folders = random.Random(0), 0, 0
    while kills < 20:  # a run that was too fast for that begins again
        folders += 1
        folder = tmp_path / str(folders)
        folder.mkdir()
        while not (folder / "done.pt").exists():
            ready = server.Event()
            process = server.Process(target=killed_run, args=(folder, ready))
            process.start()
            assert ready.wait(60)
            if kills < 20:
                time.sleep(at_random.uniform(0, lasts / 8))
                process.kill()
            process.join()
            kills += process.exitcode == -signal.SIGKILL
            assert process.exitcode in (0, -signal.SIGKILL)
        assert same(state_of(whole), torch.load(folder / "done.pt", weights_only=True))


def test_a_run_is_saved_at_its_first_epoch_and_then_no_more_often_than_asked(tmp_path, monkeypatch):
    done, saved = [], []
    monkeypatch.setattr(resume, "time", SimpleNamespace(perf_counter=lambda: 10.0 * len(done)))
    monkeypatch.setattr(resume, "save_tensors", lambda *args: saved.append(args[3]["history"][-1]["epoch"]))
    strategy = tl.feature_extraction(9)
    tl.fit(small_model(), stripe_splits(), strategy, checkpoint=tmp_path, save_every=25, progress=done.append)
    assert saved == [1, 4, 7]


@pytest.mark.parametrize("change", [{"best_epoch": 3}, {"best_epoch": 0}, {"history": "swapped"}, {"micro_batch": 17}])
def test_progress_whose_epochs_or_batches_cannot_be_is_refused(tmp_path, change):
    interrupted(tmp_path, tl.fine_tuning(4), 2, stripe_splits())
    path = tmp_path / "progress.json"
    facts = json.loads(path.read_text())
    if "history" in change:
        change = {"history": facts["history"][::-1]}
    path.write_text(json.dumps(facts | change))
    with pytest.raises(CheckpointError, match="not the progress of a run"):
        tl.fit(small_model(), stripe_splits(), tl.fine_tuning(4), seed=1, checkpoint=tmp_path, resume=True)


def test_without_resume_a_run_starts_anew_in_a_folder_that_holds_progress(tmp_path):
    interrupted(tmp_path, tl.fine_tuning(4), 2, stripe_splits())
    epochs = []
    tl.fit(small_model(), stripe_splits(), tl.fine_tuning(4), seed=1, checkpoint=tmp_path, progress=epochs.append)
    assert [epoch.epoch for epoch in epochs] == [1, 2, 3, 4]
