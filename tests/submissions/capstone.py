"""The capstone: what students typically write instead."""

from textwrap import dedent

from submissions import Wrong

WRONG = [
    Wrong(
        "compares neighbouring parts only",
        {
            "audit": dedent(
                """
                def audit(parts, labels, lesions):
                    homes = [set(lesions[part].tolist()) for part in parts]
                    crossing = set()
                    for one, other in zip(homes, homes[1:]):
                        crossing |= one & other
                    missing = [
                        (number, label)
                        for number, part in enumerate(parts)
                        for label in labels.unique().tolist()
                        if not (labels[part] == label).any()
                    ]
                    return sorted(crossing), missing
                """
            ),
        },
        frozenset({"test-audit"}),
        "Compare the first part with the last as well",
    ),
    Wrong(
        "splits by photograph",
        {
            "split": dedent(
                """
                def split_by_lesion(labels, lesions, shares, seed):
                    generator = torch.Generator().manual_seed(seed)
                    parts = [[] for _ in shares]
                    for label in labels.unique():
                        own = (labels == label).nonzero()[:, 0]
                        own = own[torch.randperm(len(own), generator=generator)]
                        ends = [round(sum(shares[:i]) * len(own)) for i in range(len(shares) + 1)]
                        for part, start, stop in zip(parts, ends, ends[1:]):
                            part.append(own[start:stop])
                    return [torch.cat(part) for part in parts]
                """
            ),
        },
        frozenset({"test-split"}),
        "were divided by photograph",
    ),
    Wrong(
        "class weights from all the data",
        {
            "weights": dedent(
                """
                def class_weights(labels, train, classes):
                    counts = torch.bincount(labels, minlength=classes)
                    return len(labels) / (classes * counts.float())
                """
            ),
        },
        frozenset({"test-weights"}),
        "These are the weights of the whole collection",
    ),
    Wrong(
        "plain accuracy called balanced",
        {
            "counts": dedent(
                """
                def confusion(labels, calls, classes):
                    table = torch.zeros(classes, classes, dtype=torch.long)
                    for label, call in zip(labels.tolist(), calls.tolist()):
                        table[label, call] += 1
                    return table


                def balanced_accuracy(table):
                    return float(table.diag().sum() / table.sum())
                """
            ),
        },
        frozenset({"test-counts"}),
        "This is plain accuracy",
    ),
    Wrong(
        "mean over batches",
        {
            "score": dedent(
                """
                def score(model, inputs, labels, classes, batch_size=64):
                    model.eval()
                    found = []
                    with torch.no_grad():
                        for rows, truth in zip(inputs.split(batch_size), labels.split(batch_size)):
                            table = confusion(truth, model(rows).argmax(1), classes)
                            found.append(balanced_accuracy(table))
                    return sum(found) / len(found)
                """
            ),
        },
        frozenset({"test-score"}),
        "is the mean over the batches",
    ),
    Wrong(
        "folds of photographs, whatever the units",
        {
            "out-of-fold": dedent(
                """
                def out_of_fold(fit, table, labels, units, k, seed):
                    generator = torch.Generator().manual_seed(seed)
                    folds = torch.randperm(len(labels), generator=generator) % k
                    calls = torch.empty_like(labels)
                    for fold in range(k):
                        inside = folds == fold
                        model = fit(table[~inside], labels[~inside])
                        calls[inside] = model(table[inside]).argmax(1)
                    return calls
                """
            ),
        },
        frozenset({"test-out-of-fold"}),
        "units are inside a fold and outside at the same time",
    ),
    Wrong(
        "chooses by the training photographs",
        {
            "choose": dedent(
                """
                def choose(fit, candidates, training, validation, classes):
                    models = [fit(*training, **candidate) for candidate in candidates]
                    scores = [score(model, *training, classes) for model in models]
                    best = scores.index(max(scores))
                    return candidates[best], models[best], scores
                """
            ),
        },
        frozenset({"test-choose"}),
        "knows its training photographs best",
    ),
    Wrong(
        "bins without weights",
        {
            "calibration-error": dedent(
                """
                def calibration_error(probabilities, labels, bins=10):
                    sure, calls = probabilities.max(1)
                    right = (calls == labels).float()
                    which = (sure * bins).long().clamp(max=bins - 1)
                    gaps = [
                        float((sure[which == b].mean() - right[which == b].mean()).abs())
                        for b in which.unique()
                    ]
                    return sum(gaps) / len(gaps)
                """
            ),
        },
        frozenset({"test-calibration-error"}),
        "weight each bin by its share of all photographs",
    ),
    Wrong(
        "temperature on probabilities",
        {
            "temperature": dedent(
                """
                def tempered(logits, temperature):
                    return (logits.softmax(1) / temperature).softmax(1)


                def fit_temperature(logits, labels):
                    grid = torch.logspace(math.log10(0.05), math.log10(20), 800)
                    losses = torch.stack([F.cross_entropy(logits / t, labels) for t in grid])
                    return float(grid[losses.argmin()])
                """
            ),
        },
        frozenset({"test-temperature"}),
        "You divided probabilities and took the softmax",
    ),
    Wrong(
        "a quantile between photographs",
        {
            "threshold": dedent(
                """
                def threshold_for(chance, ill, wanted):
                    return float(chance[ill].quantile(1 - wanted))
                """
            ),
        },
        frozenset({"test-threshold"}),
        "Your threshold",
    ),
    Wrong(
        "threshold chosen on the test",
        {
            "verdict": dedent(
                """
                def verdict(validation, testing, disease, wanted):
                    temperature = fit_temperature(*validation)
                    chance = tempered(testing[0], temperature)[:, disease]
                    ill = testing[1] == disease
                    threshold = threshold_for(chance, ill, wanted)
                    called = chance >= threshold
                    found = int((called & ill).sum())
                    return {
                        "temperature": temperature,
                        "threshold": threshold,
                        "recall": found / int(ill.sum()),
                        "precision": found / int(called.sum()) if called.any() else float("nan"),
                        "false_alarms": float(called[~ill].float().mean()),
                    }
                """
            ),
        },
        frozenset({"test-verdict"}),
        "was chosen on the test photographs",
    ),
    Wrong(
        "bootstrap over photographs",
        {
            "interval": dedent(
                """
                def recall_interval(called, ill, lesions, draws=1000, seed=0):
                    hits = called[ill].float()
                    generator = torch.Generator().manual_seed(seed)
                    picks = torch.randint(len(hits), (draws, len(hits)), generator=generator)
                    low, high = hits[picks].mean(1).quantile(torch.tensor([0.025, 0.975]))
                    return float(low), float(high)
                """
            ),
        },
        frozenset({"test-interval"}),
        "as if each photograph were a lesion of its own",
    ),
    Wrong(
        "Grad-CAM without ReLU",
        {
            "heat": dedent(
                """
                def heat(model, images, target):
                    below, above = cut(model.eval())
                    maps = below(model.preprocess.apply(images)).detach().requires_grad_()
                    target = torch.as_tensor(target).expand(len(images))
                    logits = above(maps)[torch.arange(len(images)), target]
                    (gradient,) = torch.autograd.grad(logits.sum(), maps)
                    weights = gradient.mean((2, 3), keepdim=True)
                    small = (weights * maps).sum(1, keepdim=True).detach()
                    large = F.interpolate(small, images.shape[2:], mode="bilinear")[:, 0]
                    return large / large.amax((1, 2), keepdim=True).clamp(min=1e-12)
                """
            ),
        },
        frozenset({"test-heat"}),
        "What speaks against the class is cut off",
    ),
    Wrong(
        "covers the ruler in place",
        {
            "measures": dedent(
                """
                def heat_on(maps, masks):
                    total = maps.sum((1, 2))
                    warm = total > 0
                    share = (maps * masks).sum((1, 2))[warm] / total[warm]
                    return float((share / masks.float().mean((1, 2))[warm]).mean())


                def cover(images, masks):
                    for image, mask in zip(images, masks):
                        colour = image[:, ~mask].float().mean(1).round().to(torch.uint8)
                        image[:, mask] = colour[:, None]
                    return images
                """
            ),
        },
        frozenset({"test-evidence", "test-measures"}),
        "The originals were painted over",
    ),
    Wrong(
        "takes the wrong head for the ruler's",
        {
            "suspect": dedent(
                """
                measured = {
                    name: evidence(model, ruled, places, MELANOMA) for name, model in suspects.items()
                }
                fall = {name: m["recall"] - m["ruler_covered"] for name, m in measured.items()}
                learned_ruler = min(fall, key=fall.get)
                """
            ),
        },
        frozenset({"test-evidence"}),
        "Whose recall falls when the ruler",
    ),
]
