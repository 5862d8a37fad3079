"""Assignment 5: what students typically write instead."""

from textwrap import dedent

from submissions import Wrong

WRONG = [
    Wrong(
        "majority of the labels to be scored",
        {
            "majority": dedent(
                """
                def majority(train_labels, labels):
                    return float(np.bincount(labels).max() / len(labels))
                """
            ),
        },
        frozenset({"test-majority"}),
        "Whoever answers does not know them",
    ),
    Wrong(
        "mean over images instead of classes",
        {
            "balanced": dedent(
                """
                def balanced(labels, calls):
                    return float(np.mean(labels == calls))
                """
            ),
        },
        frozenset({"test-balanced"}),
        "This is the mean over images",
    ),
    Wrong(
        "divides by the spread of a constant column",
        {
            "standardise": dedent(
                """
                def standardise(table):
                    return (table - table.mean(axis=0)) / table.std(axis=0)
                """
            ),
        },
        frozenset({"test-standardise"}),
        "The third column is constant",
    ),
    Wrong(
        "every image is its own neighbour",
        {
            "agreement": dedent(
                """
                def agreement(table, labels, groups, k):
                    distance = np.linalg.norm(table[:, None] - table[None], axis=2)
                    nearest = np.argsort(distance, axis=1)[:, :k]
                    return float(np.mean(labels[nearest] == labels[:, None]))
                """
            ),
        },
        frozenset({"test-agreement"}),
        "its own nearest neighbour",
    ),
    Wrong(
        "second pictures of the same subject count",
        {
            "agreement": dedent(
                """
                def agreement(table, labels, groups, k):
                    distance = np.linalg.norm(table[:, None] - table[None], axis=2)
                    np.fill_diagonal(distance, np.inf)
                    nearest = np.argsort(distance, axis=1)[:, :k]
                    return float(np.mean(labels[nearest] == labels[:, None]))
                """
            ),
        },
        frozenset({"test-agreement"}),
        "Leave the own group out",
    ),
    Wrong(
        "chance is one over the number of classes",
        {
            "beyond-chance": dedent(
                """
                def beyond_chance(share, labels):
                    chance = 1 / len(np.unique(labels))
                    return float((share - chance) / (1 - chance))
                """
            ),
        },
        frozenset({"test-beyond-chance"}),
        "one over the number of classes",
    ),
    Wrong(
        "distances of raw tables",
        {
            "measure": dedent(
                """
                measured = {
                    name: beyond_chance(agreement(table, LABELS, GROUPS, 3), LABELS)
                    for name, table in TABLES.items()
                }
                """
            ),
        },
        frozenset({"test-measure"}),
        "Standardise each table first",
    ),
    Wrong(
        "the logarithm of the number of images is forgotten",
        {
            "weights": dedent(
                """
                def weights(n, shift, sizes, shifts):
                    raw = np.exp(-((n - sizes) ** 2 + ((shift - shifts) / 0.02) ** 2) / 2)
                    raw = np.maximum(raw, 1e-12)
                    return raw / raw.sum()
                """
            ),
        },
        frozenset({"test-weights"}),
        "Take the logarithm",
    ),
    Wrong(
        "weights that do not sum to 1",
        {
            "weights": dedent(
                """
                def weights(n, shift, sizes, shifts):
                    raw = np.exp(-(np.log2(n / sizes) ** 2 + ((shift - shifts) / 0.02) ** 2) / 2)
                    return np.maximum(raw, 1e-12)
                """
            ),
        },
        frozenset({"test-weights"}),
        "not to 1",
    ),
    Wrong(
        "nothing to say far from every place",
        {
            "weights": dedent(
                """
                def weights(n, shift, sizes, shifts):
                    raw = np.exp(-(np.log2(n / sizes) ** 2 + ((shift - shifts) / 0.02) ** 2) / 2)
                    return raw / raw.sum()
                """
            ),
        },
        frozenset({"test-weights"}),
        "Raise weights below",
    ),
    Wrong(
        "a place with more seeds speaks louder",
        {
            "expected": dedent(
                """
                def expected(place_weights, gains):
                    each = np.concatenate(gains)
                    share = np.repeat(place_weights, [len(g) for g in gains])
                    mean = np.average(each, weights=share)
                    return float(mean), float(np.sqrt(np.average((each - mean) ** 2, weights=share)))
                """
            ),
        },
        frozenset({"test-expected"}),
        "spoke twice as loud",
    ),
    Wrong(
        "spread of the places' means",
        {
            "expected": dedent(
                """
                def expected(place_weights, gains):
                    each = np.array([g.mean() for g in gains])
                    mean = np.sum(place_weights * each)
                    return float(mean), float(np.sqrt(np.sum(place_weights * (each - mean) ** 2)))
                """
            ),
        },
        frozenset({"test-expected"}),
        "spread of the places' means",
    ),
    Wrong(
        "the first call is counted",
        {
            "seconds-of": dedent(
                """
                def seconds_of(action, repeats=5):
                    started = time.perf_counter()
                    for _ in range(repeats):
                        action()
                    return (time.perf_counter() - started) / repeats
                """
            ),
        },
        frozenset({"test-seconds-of"}),
        "was counted",
    ),
    Wrong(
        "mean instead of median",
        {
            "seconds-of": dedent(
                """
                def seconds_of(action, repeats=5):
                    action()
                    started = time.perf_counter()
                    for _ in range(repeats):
                        action()
                    return (time.perf_counter() - started) / repeats
                """
            ),
        },
        frozenset({"test-seconds-of"}),
        "take the median",
    ),
    Wrong(
        "the frozen network runs in every epoch",
        {
            "estimate": dedent(
                """
                def estimate(strategy, n_train, n_val, seconds):
                    train, val = (-(-n // strategy.batch_size) for n in (n_train, n_val))
                    total = 0.0
                    for phase in strategy.phases:
                        if phase.learn == 0:
                            epoch = (train + val) * seconds["forward"] + train * seconds["head"]
                        else:
                            epoch = train * seconds["step"] + val * seconds["forward"]
                        total += phase.epochs * epoch
                    return total
                """
            ),
        },
        frozenset({"test-estimate"}),
        "Its features are cached: once",
    ),
    Wrong(
        "the last batch is forgotten",
        {
            "estimate": dedent(
                """
                def estimate(strategy, n_train, n_val, seconds):
                    train, val = (n // strategy.batch_size for n in (n_train, n_val))
                    total = 0.0
                    for phase in strategy.phases:
                        if phase.learn == 0:
                            total += (train + val) * seconds["forward"]
                            total += phase.epochs * train * seconds["head"]
                        else:
                            epoch = train * seconds["step"] + val * seconds["forward"]
                            total += phase.epochs * epoch
                    return total
                """
            ),
        },
        frozenset({"test-estimate"}),
        "Round up",
    ),
    Wrong(
        "only the last phase",
        {
            "estimate": dedent(
                """
                def estimate(strategy, n_train, n_val, seconds):
                    train, val = (-(-n // strategy.batch_size) for n in (n_train, n_val))
                    phase = strategy.phases[-1]
                    if phase.learn == 0:
                        return (train + val) * seconds["forward"] + (
                            phase.epochs * train * seconds["head"]
                        )
                    return phase.epochs * (train * seconds["step"] + val * seconds["forward"])
                """
            ),
        },
        frozenset({"test-estimate"}),
        "LP-FT has two phases",
    ),
    Wrong(
        "two separate samples instead of pairs",
        {
            "difference": dedent(
                """
                def difference(first, second):
                    p, q, n = np.mean(first), np.mean(second), len(first)
                    return float(p - q), float(1.96 * np.sqrt((p * (1 - p) + q * (1 - q)) / n))
                """
            ),
        },
        frozenset({"test-difference"}),
        "They answered the same images",
    ),
    Wrong(
        "root of n forgotten",
        {
            "difference": dedent(
                """
                def difference(first, second):
                    each = first.astype(float) - second.astype(float)
                    return float(each.mean()), float(1.96 * each.std(ddof=1))
                """
            ),
        },
        frozenset({"test-difference"}),
        "Divide by the root",
    ),
    Wrong(
        "the best mean although a cheaper one is level",
        {
            "choose": dedent(
                """
                def choose(costs, right, budget):
                    within = [name for name in right if costs[name] <= budget]
                    return max(within, key=lambda name: np.mean(right[name]), default=None)
                """
            ),
        },
        frozenset({"test-choose"}),
        "Take the cheapest of those that are level",
    ),
    Wrong(
        "the budget is ignored",
        {
            "choose": dedent(
                """
                def choose(costs, right, budget):
                    best = max(right, key=lambda name: np.mean(right[name]))
                    for name in sorted(right, key=costs.get):
                        mean, margin = difference(right[best], right[name])
                        if mean - margin <= 0:
                            return name
                """
            ),
        },
        frozenset({"test-choose"}),
        "the budget is 10",
    ),
    Wrong(
        "who is over the budget is the yardstick",
        {
            "choose": dedent(
                """
                def choose(costs, right, budget):
                    best = max(right, key=lambda name: np.mean(right[name]))
                    for name in sorted(right, key=costs.get):
                        mean, margin = difference(right[best], right[name])
                        if costs[name] <= budget and mean - margin <= 0:
                            return name
                """
            ),
        },
        frozenset({"test-choose"}),
        "not the yardstick either",
    ),
    Wrong(
        "the textbook interval",
        {
            "wilson": dedent(
                """
                def wilson(right, n, z=1.96):
                    p = right / n
                    reach = z * np.sqrt(p * (1 - p) / n)
                    return float(p - reach), float(p + reach)
                """
            ),
        },
        frozenset({"test-wilson"}),
        "Use Wilson's formula",
    ),
    Wrong(
        "the textbook interval, cut off",
        {
            "wilson": dedent(
                """
                def wilson(right, n, z=1.96):
                    p = right / n
                    reach = z * np.sqrt(p * (1 - p) / n)
                    return float(max(p - reach, 0)), float(min(p + reach, 1))
                """
            ),
        },
        frozenset({"test-wilson"}),
        "After twenty images?",
    ),
    Wrong(
        "chooses on the test",
        {
            "decide": dedent(
                """
                def decide(costs, budget, train, envelope, train_labels):
                    trained = {name: train(name) for name, cost in costs.items() if cost <= budget}
                    labels = envelope.open()
                    hits = {name: int((row[1] == labels).sum()) for name, row in trained.items()}
                    chosen = max(hits, key=hits.get)
                    low, high = wilson(hits[chosen], len(labels))
                    return {
                        "chosen": chosen,
                        "accuracy": hits[chosen] / len(labels),
                        "low": low,
                        "high": high,
                        "baseline": majority(train_labels, labels),
                    }
                """
            ),
        },
        frozenset({"test-decide"}),
        "Then its test result says nothing",
    ),
    Wrong(
        "opens the envelope for every number",
        {
            "decide": dedent(
                """
                def decide(costs, budget, train, envelope, train_labels):
                    trained = {name: train(name) for name, cost in costs.items() if cost <= budget}
                    chosen = choose(costs, {name: row[0] for name, row in trained.items()}, budget)
                    hits, n = int((trained[chosen][1] == envelope.open()).sum()), len(envelope.open())
                    low, high = wilson(hits, n)
                    return {
                        "chosen": chosen,
                        "accuracy": hits / n,
                        "low": low,
                        "high": high,
                        "baseline": majority(train_labels, envelope.open()),
                    }
                """
            ),
        },
        frozenset({"test-decide"}),
        "You opened the envelope 3 times",
    ),
    Wrong(
        "trains first and looks at the budget afterwards",
        {
            "decide": dedent(
                """
                def decide(costs, budget, train, envelope, train_labels):
                    trained = {name: train(name) for name in costs if name != "LP-FT"}
                    chosen = choose(costs, {name: row[0] for name, row in trained.items()}, budget)
                    labels = envelope.open()
                    hits = int((trained[chosen][1] == labels).sum())
                    low, high = wilson(hits, len(labels))
                    return {
                        "chosen": chosen,
                        "accuracy": hits / len(labels),
                        "low": low,
                        "high": high,
                        "baseline": majority(train_labels, labels),
                    }
                """
            ),
        },
        frozenset({"test-decide"}),
        "and you trained it",
    ),
]
