"""Assignment 4: what students typically write instead."""

from textwrap import dedent

from submissions import Wrong

WRONG = [
    Wrong(
        "rates: thaws from the input side",
        {
            "rates": dedent(
                """
                def rates(stages, learn, rate, decay):
                    found = [rate * decay ** (stages - i) for i in range(stages)]
                    return found[:learn] + [0.0] * (stages - learn) + [rate]
                """
            ),
        },
        frozenset({"test-rates"}),
        "You thaw from the input side",
    ),
    Wrong(
        "rates: a slice that fails when nothing learns",
        {
            "rates": dedent(
                """
                def rates(stages, learn, rate, decay):
                    found = [rate * decay ** (stages - i) for i in range(stages)]
                    return [0.0] * (stages - learn) + found[-learn:] + [rate]
                """
            ),
        },
        frozenset({"test-rates"}),
        "[-0:] is the whole list",
    ),
    Wrong(
        "schedule: everything thaws at once",
        {
            "schedule": dedent(
                """
                def schedule(stages, depth, epochs, rate, decay):
                    if depth > stages or epochs < depth + 1:
                        raise ValueError
                    learns = [0, depth] if depth else [0]
                    count = len(learns)
                    lengths = [epochs // count + (i >= count - epochs % count) for i in range(count)]
                    return [Phase(n, e, rates(stages, n, rate, decay)) for n, e in zip(learns, lengths)]
                """
            ),
        },
        frozenset({"test-schedule"}),
        "you thaw everything at once",
    ),
    Wrong(
        "schedule: the epochs for each phase",
        {
            "schedule": dedent(
                """
                def schedule(stages, depth, epochs, rate, decay):
                    if depth > stages or epochs < depth + 1:
                        raise ValueError
                    learns = list(range(depth + 1))
                    count = len(learns)
                    lengths = [epochs] * count
                    return [Phase(n, e, rates(stages, n, rate, decay)) for n, e in zip(learns, lengths)]
                """
            ),
        },
        frozenset({"test-schedule"}),
        "taken for the number of each phase",
    ),
    Wrong(
        "schedule: the rest of the division goes to the first phases",
        {
            "schedule": dedent(
                """
                def schedule(stages, depth, epochs, rate, decay):
                    if depth > stages or epochs < depth + 1:
                        raise ValueError
                    learns = list(range(depth + 1))
                    count = len(learns)
                    lengths = [epochs // count + (i < epochs % count) for i in range(count)]
                    return [Phase(n, e, rates(stages, n, rate, decay)) for n, e in zip(learns, lengths)]
                """
            ),
        },
        frozenset({"test-schedule"}),
        "left over goes to the last phases",
    ),
    Wrong(
        "set_learning: the first stages learn",
        {
            "set-learning": dedent(
                """
                def set_learning(model, learn):
                    pass
                    for index, stage in enumerate(model.stages):
                        learns = index < learn
                        stage.requires_grad_(learns)
                        stage.train(learns)
                        if not learns:
                            for parameter in stage.parameters():
                                parameter.grad = None
                    model.head.requires_grad_(True).train()
                    pass
                    return model
                """
            ),
        },
        frozenset({"test-learning", "test-modes"}),
        "Begin next to the head",
    ),
    Wrong(
        "set_learning: stages[-0:]",
        {
            "set-learning": dedent(
                """
                def set_learning(model, learn):
                    last = list(model.stages)[-learn:]
                    for index, stage in enumerate(model.stages):
                        learns = any(stage is s for s in last)
                        stage.requires_grad_(learns)
                        stage.train(learns)
                        if not learns:
                            for parameter in stage.parameters():
                                parameter.grad = None
                    model.head.requires_grad_(True).train()
                    pass
                    return model
                """
            ),
        },
        frozenset({"test-learning"}),
        "stages[-0:] is the whole list",
    ),
    Wrong(
        "set_learning: a stale gradient stays",
        {
            "set-learning": dedent(
                """
                def set_learning(model, learn):
                    pass
                    for index, stage in enumerate(model.stages):
                        learns = index >= len(model.stages) - learn
                        stage.requires_grad_(learns)
                        stage.train(learns)
                        if not learns:
                            for parameter in stage.parameters():
                                pass
                    model.head.requires_grad_(True).train()
                    pass
                    return model
                """
            ),
        },
        frozenset({"test-learning"}),
        "keeps its last gradient",
    ),
    Wrong(
        "set_learning: train() at the end reaches the frozen stages",
        {
            "set-learning": dedent(
                """
                def set_learning(model, learn):
                    pass
                    for index, stage in enumerate(model.stages):
                        learns = index >= len(model.stages) - learn
                        stage.requires_grad_(learns)
                        stage.train(learns)
                        if not learns:
                            for parameter in stage.parameters():
                                parameter.grad = None
                    model.head.requires_grad_(True).train()
                    model.train()
                    return model
                """
            ),
        },
        frozenset({"test-modes"}),
        "BatchNorm goes on averaging",
    ),
    Wrong(
        "optimizer: one rate for all",
        {
            "make-optimizer": dedent(
                """
                def make_optimizer(model, phase):
                    parts = [*model.stages, model.head]
                    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=phase.rates[-1])
                """
            ),
        },
        frozenset({"test-optimizer"}),
        "give each its own group",
    ),
    Wrong(
        "optimizer: frozen stages are in it",
        {
            "make-optimizer": dedent(
                """
                def make_optimizer(model, phase):
                    parts = [*model.stages, model.head]
                    return torch.optim.AdamW([{'params': p.parameters(), 'lr': r} for p, r in zip(parts, phase.rates)])
                """
            ),
        },
        frozenset({"test-optimizer"}),
        "Frozen stages are in the optimizer",
    ),
    Wrong(
        "run_phase: optimizer built before the thaw",
        {
            "run-phase": dedent(
                """
                def run_phase(model, phase, train, generator, after_epoch=lambda model: None):
                    learns = [p for p in model.parameters() if p.requires_grad]
                    optimizer = torch.optim.AdamW(learns, lr=phase.rates[-1])
                    set_learning(model, phase.learn)
                    for _ in range(phase.epochs):
                        one_epoch(model, optimizer, train, generator)
                        after_epoch(model)
                """
            ),
        },
        frozenset({"test-run-phase"}),
        "Was the optimizer built before it was thawed?",
    ),
    Wrong(
        "run_phase: train() undoes the evaluation mode",
        {
            "run-phase": dedent(
                """
                def run_phase(model, phase, train, generator, after_epoch=lambda model: None):
                    set_learning(model, phase.learn)
                    optimizer = make_optimizer(model, phase)
                    for _ in range(phase.epochs):
                        model.train()
                        one_epoch(model, optimizer, train, generator)
                        after_epoch(model)
                """
            ),
        },
        frozenset({"test-run-phase"}),
        "undoes the evaluation mode",
    ),
    Wrong(
        "fingerprint: a sum",
        {
            "fingerprint": dedent(
                """
                def fingerprint(module):
                    return str(sum(t.double().sum().item() for t in module.state_dict().values()))
                """
            ),
        },
        frozenset({"test-fingerprint"}),
        "a sum does not see where",
    ),
    Wrong(
        "fingerprint: str() of the tensors",
        {
            "fingerprint": dedent(
                """
                def fingerprint(module):
                    return hashlib.sha256(str(module.state_dict()).encode()).hexdigest()
                """
            ),
        },
        frozenset({"test-fingerprint"}),
        "Take the bytes",
    ),
    Wrong(
        "fingerprint: parameters only",
        {
            "fingerprint": dedent(
                """
                def fingerprint(module):
                    digest = hashlib.sha256()
                    for p in module.parameters():
                        digest.update(p.detach().numpy().tobytes())
                    return digest.hexdigest()
                """
            ),
        },
        frozenset({"test-fingerprint"}),
        "parameters() leaves buffers out",
    ),
    Wrong(
        "moved: compared with the beginning",
        {
            "moved": dedent(
                """
                def moved(model, phases, run):
                    parts = [*model.stages, model.head]
                    before, rows = [fingerprint(p) for p in parts], []
                    for phase in phases:
                        run(model, phase)
                        rows.append([fingerprint(p) != b for p, b in zip(parts, before)])
                    return np.array(rows)
                """
            ),
        },
        frozenset({"test-moved"}),
        "just before the phase",
    ),
    Wrong(
        "moved: states kept by reference",
        {
            "moved": dedent(
                """
                def moved(model, phases, run):
                    parts, rows = [*model.stages, model.head], []
                    for phase in phases:
                        before = [p.state_dict() for p in parts]
                        run(model, phase)
                        rows.append([any(not torch.equal(t, b[n]) for n, t in p.state_dict().items()) for p, b in zip(parts, before)])
                    return np.array(rows)
                """
            ),
        },
        frozenset({"test-moved"}),
        "kept by reference changes with the model",
    ),
    Wrong(
        "keeper: by reference",
        {
            "keeper": dedent(
                """
                class Keeper:
                    def __init__(self):
                        self.score, self.state = None, None
                    def offer(self, model, score):
                        if self.score is None or score > self.score:
                            self.score, self.state = score, model.state_dict()
                    def restore(self, model):
                        model.load_state_dict(self.state, strict=False)
                """
            ),
        },
        frozenset({"test-keeper"}),
        "keep copies, by clone or deepcopy",
    ),
    Wrong(
        "keeper: parameters only",
        {
            "keeper": dedent(
                """
                class Keeper:
                    def __init__(self):
                        self.score, self.state = None, None
                    def offer(self, model, score):
                        if self.score is None or score > self.score:
                            self.score, self.state = score, {n: p.detach().clone() for n, p in model.named_parameters()}
                    def restore(self, model):
                        model.load_state_dict(self.state, strict=False)
                """
            ),
        },
        frozenset({"test-keeper"}),
        "Keep the whole state_dict()",
    ),
    Wrong(
        "keeper: the last",
        {
            "keeper": dedent(
                """
                class Keeper:
                    def __init__(self):
                        self.score, self.state = None, None
                    def offer(self, model, score):
                        if True:
                            self.score, self.state = score, deepcopy(model.state_dict())
                    def restore(self, model):
                        model.load_state_dict(self.state, strict=False)
                """
            ),
        },
        frozenset({"test-keeper"}),
        "You kept the last state that was offered",
    ),
    Wrong(
        "keeper: begins at 0, so a first score of 0 is never kept",
        {
            "keeper": dedent(
                """
                class Keeper:
                    def __init__(self):
                        self.score, self.state = 0, None
                    def offer(self, model, score):
                        if score > self.score:
                            self.score, self.state = score, deepcopy(model.state_dict())
                    def restore(self, model):
                        model.load_state_dict(self.state, strict=False)
                """
            ),
        },
        frozenset({"test-keeper"}),
        "also if it is 0",
    ),
    Wrong(
        "keeper: the latest among equals",
        {
            "keeper": dedent(
                """
                class Keeper:
                    def __init__(self):
                        self.score, self.state = None, None
                    def offer(self, model, score):
                        if self.score is None or score >= self.score:
                            self.score, self.state = score, deepcopy(model.state_dict())
                    def restore(self, model):
                        model.load_state_dict(self.state, strict=False)
                """
            ),
        },
        frozenset({"test-keeper"}),
        "Among equals the earliest stays",
    ),
    Wrong(
        "run_schedule: keeps the last epoch",
        {
            "run-schedule": dedent(
                """
                def run_schedule(model, phases, train, val, seed):
                    generator = torch.Generator().manual_seed(seed)
                    keeper, history = Keeper(), []
                    def after_epoch(model):
                        history.append(accuracy(model, val))
                        keeper.offer(model, history[-1])
                    for phase in phases:
                        pass
                        run_phase(model, phase, train, generator, after_epoch)
                        pass
                    pass
                    model.eval()
                    return history
                """
            ),
        },
        frozenset({"test-run-schedule"}),
        "The model ends with its last epoch",
    ),
    Wrong(
        "run_schedule: chooses on the training images",
        {
            "run-schedule": dedent(
                """
                def run_schedule(model, phases, train, val, seed):
                    generator = torch.Generator().manual_seed(seed)
                    keeper, history = Keeper(), []
                    def after_epoch(model):
                        history.append(accuracy(model, train))
                        keeper.offer(model, history[-1])
                    for phase in phases:
                        pass
                        run_phase(model, phase, train, generator, after_epoch)
                        pass
                    keeper.restore(model)
                    model.eval()
                    return history
                """
            ),
        },
        frozenset({"test-run-schedule"}),
        "must come from the validation split",
    ),
    Wrong(
        "run_schedule: goes back to the best after each phase",
        {
            "run-schedule": dedent(
                """
                def run_schedule(model, phases, train, val, seed):
                    generator = torch.Generator().manual_seed(seed)
                    keeper, history = Keeper(), []
                    def after_epoch(model):
                        history.append(accuracy(model, val))
                        keeper.offer(model, history[-1])
                    for phase in phases:
                        pass
                        run_phase(model, phase, train, generator, after_epoch)
                        keeper.restore(model)
                    keeper.restore(model)
                    model.eval()
                    return history
                """
            ),
        },
        frozenset({"test-run-schedule"}),
        "the best comes back only at the end",
    ),
    Wrong(
        "run_schedule: measures once a phase",
        {
            "run-schedule": dedent(
                """
                def run_schedule(model, phases, train, val, seed):
                    generator = torch.Generator().manual_seed(seed)
                    keeper, history = Keeper(), []
                    for phase in phases:
                        run_phase(model, phase, train, generator)
                        history.append(accuracy(model, val))
                        keeper.offer(model, history[-1])
                    keeper.restore(model)
                    model.eval()
                    return history
                """
            ),
        },
        frozenset({"test-run-schedule"}),
        "not after every phase",
    ),
    Wrong(
        "choose: by the test split",
        {
            "choose": dedent(
                """
                def choose(candidates, data, seed):
                    found = []
                    for name, phases in candidates.items():
                        model = fresh(seed)
                        history = run_schedule(model, phases, data.train, data.val, seed)
                        found.append((name, max(history), accuracy(model, data.test)))
                    return max(found, key=lambda row: row[2])
                """
            ),
        },
        frozenset({"test-choose"}),
        "with the best test accuracy",
    ),
    Wrong(
        "choose: by validation, but the test labels are read for all",
        {
            "choose": dedent(
                """
                def choose(candidates, data, seed):
                    found = []
                    for name, phases in candidates.items():
                        model = fresh(seed)
                        history = run_schedule(model, phases, data.train, data.val, seed)
                        found.append((name, max(history), accuracy(model, data.test)))
                    return max(found, key=lambda row: row[1])
                """
            ),
        },
        frozenset({"test-choose"}),
        "Once, for the one that was chosen",
    ),
    Wrong(
        "choose: tests the last network instead of the chosen one",
        {
            "choose": dedent(
                """
                def choose(candidates, data, seed):
                    found = []
                    for name, phases in candidates.items():
                        model = fresh(seed)
                        found.append((name, max(run_schedule(model, phases, data.train, data.val, seed))))
                    return (*max(found, key=lambda row: row[1]), accuracy(model, data.test))
                """
            ),
        },
        frozenset({"test-choose"}),
        "Keep the chosen model beside its name",
    ),
    Wrong(
        "race: different seeds for the two strategies",
        {
            "race": dedent(
                """
                def race(first, second, seeds):
                    if sum(p.epochs for p in first) != sum(p.epochs for p in second):
                        raise ValueError("different budgets")
                    rows = []
                    for row, phases in enumerate((first, second)):
                        rows.append([])
                        for seed in seeds:
                            seed = seed + 100 * row
                            data = draw(seed)
                            model = fresh(seed)
                            run_schedule(model, phases, data.train, data.val, seed)
                            rows[-1].append(accuracy(model, data.test))
                    return np.array(rows)
                """
            ),
        },
        frozenset({"test-race"}),
        "did not get the same seeds",
    ),
    Wrong(
        "race: the second goes on with the first one's network",
        {
            "race": dedent(
                """
                def race(first, second, seeds):
                    if sum(p.epochs for p in first) != sum(p.epochs for p in second):
                        raise ValueError
                    columns = []
                    for seed in seeds:
                        data, model = draw(seed), fresh(seed)
                        columns.append([])
                        for phases in (first, second):
                            run_schedule(model, phases, data.train, data.val, seed)
                            columns[-1].append(accuracy(model, data.test))
                    return np.array(columns).T
                """
            ),
        },
        frozenset({"test-race"}),
        "a fresh network of its own",
    ),
    Wrong(
        "race: unequal budgets are let through",
        {
            "race": dedent(
                """
                def race(first, second, seeds):
                    if sum(p.epochs for p in first) != sum(p.epochs for p in second):
                        pass
                    rows = []
                    for row, phases in enumerate((first, second)):
                        rows.append([])
                        for seed in seeds:
                            pass
                            data = draw(seed)
                            model = fresh(seed)
                            run_schedule(model, phases, data.train, data.val, seed)
                            rows[-1].append(accuracy(model, data.test))
                    return np.array(rows)
                """
            ),
        },
        frozenset({"test-race"}),
        "not the same budget",
    ),
    Wrong(
        "compare: population standard deviation",
        {
            "compare": dedent(
                """
                def compare(first, second):
                    first, second = np.asarray(first), np.asarray(second)
                    n = len(first)
                    if n != len(second) or n < 2:
                        raise ValueError("no pairs")
                    gain = first - second
                    half = stats.t.ppf(0.975, n - 1) * gain.std(ddof=1) / n**0.5
                    low, high = gain.mean() - half, gain.mean() + half
                    return Comparison(
                        (first.mean(), second.mean()),
                        (first.std(ddof=0), second.std(ddof=0)),
                        gain,
                        (low, high),
                        "clear" if low > 0 or high < 0 else "not clear",
                    )
                """
            ),
        },
        frozenset({"test-spread"}),
        "This is the population's standard deviation",
    ),
    Wrong(
        "compare: population standard deviation of the differences",
        {
            "compare": dedent(
                """
                def compare(first, second):
                    first, second = np.asarray(first), np.asarray(second)
                    n = len(first)
                    if n != len(second) or n < 2:
                        raise ValueError("no pairs")
                    gain = first - second
                    half = stats.t.ppf(0.975, n - 1) * gain.std(ddof=0) / n**0.5
                    low, high = gain.mean() - half, gain.mean() + half
                    return Comparison(
                        (first.mean(), second.mean()),
                        (first.std(ddof=1), second.std(ddof=1)),
                        gain,
                        (low, high),
                        "clear" if low > 0 or high < 0 else "not clear",
                    )
                """
            ),
        },
        frozenset({"test-interval"}),
        "use ddof=1",
    ),
    Wrong(
        "compare: 1.96 for three seeds",
        {
            "compare": dedent(
                """
                def compare(first, second):
                    first, second = np.asarray(first), np.asarray(second)
                    n = len(first)
                    if n != len(second) or n < 2:
                        raise ValueError("no pairs")
                    gain = first - second
                    half = 1.96 * gain.std(ddof=1) / n**0.5
                    low, high = gain.mean() - half, gain.mean() + half
                    return Comparison(
                        (first.mean(), second.mean()),
                        (first.std(ddof=1), second.std(ddof=1)),
                        gain,
                        (low, high),
                        "clear" if low > 0 or high < 0 else "not clear",
                    )
                """
            ),
        },
        frozenset({"test-interval"}),
        "1.96 belongs to the normal distribution",
    ),
    Wrong(
        "compare: unpaired",
        {
            "compare": dedent(
                """
                def compare(first, second):
                    first, second = np.asarray(first), np.asarray(second)
                    n = len(first)
                    if n != len(second) or n < 2:
                        raise ValueError("no pairs")
                    gain = first - second
                    half = stats.t.ppf(0.975, 2 * n - 2) * ((first.var(ddof=1) + second.var(ddof=1)) / n) ** 0.5
                    low, high = gain.mean() - half, gain.mean() + half
                    return Comparison(
                        (first.mean(), second.mean()),
                        (first.std(ddof=1), second.std(ddof=1)),
                        gain,
                        (low, high),
                        "clear" if low > 0 or high < 0 else "not clear",
                    )
                """
            ),
        },
        frozenset({"test-interval"}),
        "You ignored the pairs",
    ),
    Wrong(
        "compare: without the square root of n",
        {
            "compare": dedent(
                """
                def compare(first, second):
                    first, second = np.asarray(first), np.asarray(second)
                    n = len(first)
                    if n != len(second) or n < 2:
                        raise ValueError("no pairs")
                    gain = first - second
                    half = stats.t.ppf(0.975, n - 1) * gain.std(ddof=1)
                    low, high = gain.mean() - half, gain.mean() + half
                    return Comparison(
                        (first.mean(), second.mean()),
                        (first.std(ddof=1), second.std(ddof=1)),
                        gain,
                        (low, high),
                        "clear" if low > 0 or high < 0 else "not clear",
                    )
                """
            ),
        },
        frozenset({"test-interval"}),
        "divide by the square root",
    ),
    Wrong(
        "compare: clear only where the first is better",
        {
            "compare": dedent(
                """
                def compare(first, second):
                    first, second = np.asarray(first), np.asarray(second)
                    n = len(first)
                    if n != len(second) or n < 2:
                        raise ValueError("no pairs")
                    gain = first - second
                    half = stats.t.ppf(0.975, n - 1) * gain.std(ddof=1) / n**0.5
                    low, high = gain.mean() - half, gain.mean() + half
                    return Comparison(
                        (first.mean(), second.mean()),
                        (first.std(ddof=1), second.std(ddof=1)),
                        gain,
                        (low, high),
                        "clear" if low > 0 else "not clear",
                    )
                """
            ),
        },
        frozenset({"test-interval"}),
        "clear on either side of zero",
    ),
]
