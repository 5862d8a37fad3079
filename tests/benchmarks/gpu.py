"""Fine-tuning on a graphics card against the bare loop: images a second at 224 pixels, in bfloat16.

    python tests/benchmarks/gpu.py --record  # into results.json, for the page of benchmarks; half a minute on a GPU
    python tests/benchmarks/gpu.py --images 128 --size 32 --networks small_cnn  # does it run? also without one

Both sides train the same network on the same random images, already on the device, with AdamW and batches of 64. The
bare loop does nothing else: no epochs kept, no validation, no schedule. Rounds alternate; the first does not count.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy

import transferlib as tl
from transferlib.files.whole import write_whole

RESULTS = Path(__file__).with_name("results.json")
BATCH, EPOCHS, ROUNDS = 64, 3, 4


def wait(device):
    if device.type == "cuda":
        torch.cuda.synchronize()


def bare(splits, backbone, device):
    """Images a second of a hand-written loop."""
    model = tl.TransferModel(backbone, len(splits.classes), pretrained=False).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    inputs, labels = splits.train.inputs.to(device), splits.train.labels.to(device)
    wait(device)
    started, passed = time.perf_counter(), 0
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(labels), device=device).split(BATCH):
            with torch.autocast(device.type, torch.bfloat16):
                logits = model(inputs[rows])
            optimizer.zero_grad(set_to_none=True)
            cross_entropy(logits.float(), labels[rows]).backward()
            optimizer.step()
            passed += len(rows)
    wait(device)
    return passed / (time.perf_counter() - started)


def ours(splits, backbone, device):
    """Images a second of `fit`, validation and book-keeping included."""
    model = tl.TransferModel(backbone, len(splits.classes), pretrained=False)
    recipe = tl.fine_tuning(EPOCHS, augment="none", batch_size=BATCH)
    run = tl.fit(model, splits, recipe, device=device, precision="bf16")
    return EPOCHS * len(splits.train) / sum(epoch.seconds for epoch in run.history)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--networks", nargs="+", default=["efficientnet_lite0", "resnet50"])
    parser.add_argument("--record", action="store_true", help="also write it to results.json")
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    draw = torch.Generator().manual_seed(0)

    def part(n, first):
        images = torch.randint(0, 256, (n, 3, args.size, args.size), generator=draw, dtype=torch.uint8)
        return tl.Split(images, torch.arange(n) % 10, first + torch.arange(n))

    splits = tl.Splits(
        part(args.images, 0), part(64, 1 << 30), part(64, 1 << 31), tuple("abcdefghij"), "random images", synthetic=True
    )
    found = {
        "hardware": torch.cuda.get_device_name() if device.type == "cuda" else "processor",
        "torch": torch.__version__,
        "batch": BATCH,
        "size": args.size,
    }
    found["networks"] = {}
    for backbone in args.networks:
        rounds = [(bare(splits, backbone, device), ours(splits, backbone, device)) for _ in range(ROUNDS)][1:]
        found["networks"][backbone] = {
            "bare": round(statistics.median(rate for rate, _ in rounds)),
            "ours": round(statistics.median(rate for _, rate in rounds)),
            "ratios": [round(mine / plain, 3) for plain, mine in rounds],
        }
    print(json.dumps(found))
    if args.record:
        results = json.loads(RESULTS.read_text())
        write_whole(RESULTS, (json.dumps(results | {"gpu": found}, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
