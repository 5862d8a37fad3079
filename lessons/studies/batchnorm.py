"""May BatchNorm learn in a frozen body? Five ways to train a new head on 160 images, everything else being equal.

    python lessons/studies/batchnorm.py  # every cell that batchnorm.json does not hold yet: a quarter of an hour

- `frozen`: the body in evaluation mode, to the bit as it came
- `drifting`: the body in training mode, unawares: batches scale themselves, and the averages follow
- `averages follow`: first each average becomes that of the 160 images; then the body is frozen
- `scales learn`: the body in evaluation mode, its averages frozen; BatchNorm's weights and biases learn, at a tenth of
  the head's rate
- `BatchNorm learns`: as drifting, and the weights and biases learn, too

Running averages lag behind: each batch replaces a tenth of them. So of the two ways in which they move the accuracy is
also measured after they were counted anew over the training images (`recounted`).

The images are kept at 64 pixels and seen at 128. Nobody augments, nobody chooses an epoch: the last one counts. The
test split is read once. Lesson 5 measures the frozen way on photographs again.
"""

from __future__ import annotations

from pathlib import Path

import torch
from record import Cell, fill
from threadpoolctl import threadpool_limits
from torch import nn
from torch.nn.functional import cross_entropy

import transferlib as tl

RESULT = Path(__file__).with_name("batchnorm.json")
SETS = ("photos", "digits")
WAYS = ("frozen", "drifting", "averages follow", "BatchNorm learns", "scales learn")
SEEDS = range(5)
N, N_TEST, EPOCHS, BATCH, RATE = 160, 192, 8, 32, 1e-2


def measure(name: str, way: str, seed: int) -> Cell:
    """The test accuracy of a new head, trained in one of the ways."""
    data = tl.load_data(name, N, image_size=64, n_val=16, n_test=N_TEST, seed=seed)
    model = tl.TransferModel(
        "efficientnet_lite0", len(data.classes), seed=seed, input_size=128
    )
    body, head = model.stages.requires_grad_(False), model.head
    norms = [m for m in body.modules() if isinstance(m, nn.BatchNorm2d)]
    prepared, labels = model.preprocess.apply(data.train.images), data.train.labels

    def recount() -> None:
        """Make the averages those of the training images, each batch counted once."""
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
        body.train()
        with torch.no_grad():
            for batch in prepared.split(BATCH):
                body(batch)

    if way == "averages follow":
        recount()
    moves = way in ("drifting", "BatchNorm learns")
    body.train(moves)
    groups = [{"params": head.parameters(), "lr": RATE}]
    learns = way in ("BatchNorm learns", "scales learn")
    if learns:
        scales = [p for norm in norms for p in norm.requires_grad_(True).parameters()]
        groups.append({"params": scales, "lr": RATE / 10})
    images, below = prepared, body
    if not (moves or learns):  # what is frozen needs to be computed only once
        images, below = tl.extract_features(model, data.train.images), nn.Identity()

    optimizer = torch.optim.Adam(groups)
    order = torch.Generator().manual_seed(seed)
    for _ in range(EPOCHS):
        for batch in torch.randperm(N, generator=order).split(BATCH):
            loss = cross_entropy(head(below(images[batch])), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    cell: Cell = {
        "set": name,
        "way": way,
        "seed": seed,
        "n": N,
        "classes": len(data.classes),
        "accuracy": tl.evaluate(model.eval(), data.test).accuracy,
    }
    if moves:
        recount()
        cell["recounted"] = tl.evaluate(model.eval(), data.test).accuracy
    return cell


def main() -> None:
    tl.keep_freed_memory()
    torch.set_num_threads(1)
    threadpool_limits(1, user_api="blas")
    wanted = [(name, way, seed) for seed in SEEDS for name in SETS for way in WAYS]
    command = "python lessons/studies/batchnorm.py"
    fill(RESULT, command, ("set", "way", "seed"), wanted, measure)


if __name__ == "__main__":
    main()
