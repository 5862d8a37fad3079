"""Assignment 2: what students typically write instead."""

from textwrap import dedent

from submissions import Wrong

WRONG = [
    Wrong(
        "fingerprint of the parameters only",
        {
            "fingerprint": dedent(
                """
                def fingerprint(module):
                    return {
                        name: hashlib.sha256(p.detach().numpy().tobytes()).hexdigest()
                        for name, p in module.named_parameters()
                    }
                """
            ),
        },
        frozenset({"test-fingerprint-buffers"}),
        "Running averages are buffers, not parameters",
    ),
    Wrong(
        "fingerprint of what is saved",
        {
            "fingerprint": dedent(
                """
                def fingerprint(module):
                    return {
                        name: hashlib.sha256(tensor.numpy().tobytes()).hexdigest()
                        for name, tensor in module.state_dict().items()
                    }
                """
            ),
        },
        frozenset({"test-fingerprint-buffers"}),
        "state_dict leaves such buffers out",
    ),
    Wrong(
        "fingerprint of what is printed",
        {
            "fingerprint": dedent(
                """
                def fingerprint(module):
                    tensors = [*module.named_parameters(), *module.named_buffers()]
                    return {
                        name: hashlib.sha256(str(tensor).encode()).hexdigest()
                        for name, tensor in tensors
                    }
                """
            ),
        },
        frozenset({"test-fingerprint"}),
        "str(tensor) leaves out the middle",
    ),
    Wrong(
        "fingerprint of the sum",
        {
            "fingerprint": dedent(
                """
                def fingerprint(module):
                    tensors = [*module.named_parameters(), *module.named_buffers()]
                    return {
                        name: hashlib.sha256(str(tensor.double().sum().item()).encode()).hexdigest()
                        for name, tensor in tensors
                    }
                """
            ),
        },
        frozenset({"test-fingerprint"}),
        "does not know the order of the numbers",
    ),
    Wrong(
        "references instead of a fingerprint",
        {
            "fingerprint": dedent(
                """
                def fingerprint(module):
                    return {**dict(module.named_parameters()), **dict(module.named_buffers())}
                """
            ),
        },
        frozenset({"test-fingerprint", "test-fingerprint-buffers"}),
        "change along with the model",
    ),
    Wrong(
        "careless loop in evaluation mode",
        {
            "careless": dedent(
                """
                def careless(model, images, labels, steps, rate):
                    model.stages.requires_grad_(False)
                    before = fingerprint(model.stages)
                    optimizer = torch.optim.SGD(model.head.parameters(), lr=rate)
                    model.eval()
                    for _ in range(steps):
                        loss = cross_entropy(model(images), labels)
                        optimizer.zero_grad()
                        loss.backward()
                        optimizer.step()

                    after = fingerprint(model.stages)
                    return [name for name in after if after[name] != before[name]]
                """
            ),
        },
        frozenset({"test-careless"}),
        "so call model.train()",
    ),
    Wrong(
        "first fingerprint after the training",
        {
            "careless": dedent(
                """
                def careless(model, images, labels, steps, rate):
                    model.stages.requires_grad_(False)
                    optimizer = torch.optim.SGD(model.head.parameters(), lr=rate)
                    model.train()
                    for _ in range(steps):
                        loss = cross_entropy(model(images), labels)
                        optimizer.zero_grad()
                        loss.backward()
                        optimizer.step()
                    before = fingerprint(model.stages)

                    after = fingerprint(model.stages)
                    return [name for name in after if after[name] != before[name]]
                """
            ),
        },
        frozenset({"test-careless"}),
        "Take the first fingerprint before the training",
    ),
    Wrong(
        "body not frozen, optimizer given everything",
        {
            "careless": dedent(
                """
                def careless(model, images, labels, steps, rate):
                    before = fingerprint(model.stages)
                    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
                    model.train()
                    for _ in range(steps):
                        loss = cross_entropy(model(images), labels)
                        optimizer.zero_grad()
                        loss.backward()
                        optimizer.step()

                    after = fingerprint(model.stages)
                    return [name for name in after if after[name] != before[name]]
                """
            ),
        },
        frozenset({"test-careless", "test-careless-head"}),
        "The body's weights changed",
    ),
    Wrong(
        "gradients added up",
        {
            "careless": dedent(
                """
                def careless(model, images, labels, steps, rate):
                    model.stages.requires_grad_(False)
                    before = fingerprint(model.stages)
                    optimizer = torch.optim.SGD(model.head.parameters(), lr=rate)
                    model.train()
                    for _ in range(steps):
                        loss = cross_entropy(model(images), labels)
                        loss.backward()
                        optimizer.step()

                    after = fingerprint(model.stages)
                    return [name for name in after if after[name] != before[name]]
                """
            ),
        },
        frozenset({"test-careless-head"}),
        "call optimizer.zero_grad() in each step",
    ),
    Wrong(
        "all stages in evaluation mode though some learn",
        {
            "training-mode": dedent(
                """
                def training_mode(model):
                    model.train()
                    model.stages.eval()
                    return model
                """
            ),
        },
        frozenset({"test-cure-part"}),
        "learns, and is in evaluation mode",
    ),
    Wrong(
        "evaluation mode for everything",
        {
            "training-mode": dedent(
                """
                def training_mode(model):
                    model.eval()
                    return model
                """
            ),
        },
        frozenset({"test-cure", "test-cure-part"}),
        "the model and its head must be in training mode",
    ),
    Wrong(
        "eval before train",
        {
            "training-mode": dedent(
                """
                def training_mode(model):
                    for stage in model.stages:
                        if not any(p.requires_grad for p in stage.parameters()):
                            stage.eval()
                    model.train()
                    return model
                """
            ),
        },
        frozenset({"test-cure", "test-cure-part"}),
        "so eval() has to come after it",
    ),
    Wrong(
        "only BatchNorm in evaluation mode",
        {
            "training-mode": dedent(
                """
                def training_mode(model):
                    model.train()
                    for stage in model.stages:
                        if not any(p.requires_grad for p in stage.parameters()):
                            for module in stage.modules():
                                if isinstance(module, nn.BatchNorm2d):
                                    module.eval()
                    return model
                """
            ),
        },
        frozenset({"test-cure", "test-cure-part"}),
        "BatchNorm is not all that has a mode",
    ),
    Wrong(
        "a stage that learns in part taken for frozen",
        {
            "training-mode": dedent(
                """
                def training_mode(model):
                    model.train()
                    for stage in model.stages:
                        if not all(p.requires_grad for p in stage.parameters()):
                            stage.eval()
                    return model
                """
            ),
        },
        frozenset({"test-cure-part"}),
        "Only stages that are frozen, every parameter of them",
    ),
    Wrong(
        "only the first stages can be frozen",
        {
            "training-mode": dedent(
                """
                def training_mode(model):
                    model.train()
                    for stage in model.stages:
                        if any(p.requires_grad for p in stage.parameters()):
                            break
                        stage.eval()
                    return model
                """
            ),
        },
        frozenset({"test-cure-part"}),
        "whether it is among the first ones or not",
    ),
    Wrong(
        "asks in training mode",
        {
            "in-batches": dedent(
                """
                def in_batches(module, inputs, batch_size):
                    with torch.no_grad():
                        return torch.cat([module(b) for b in inputs.split(batch_size)])
                """
            ),
        },
        frozenset({"test-batches-state"}),
        "was in training mode. Call eval() first.",
    ),
    Wrong(
        "one mode for all modules put back",
        {
            "in-batches": dedent(
                """
                def in_batches(module, inputs, batch_size):
                    training = module.training
                    module.eval()
                    with torch.no_grad():
                        outputs = torch.cat([module(b) for b in inputs.split(batch_size)])
                    module.train(training)
                    return outputs
                """
            ),
        },
        frozenset({"test-batches-state"}),
        "remember the mode of each module",
    ),
    Wrong(
        "leaves the smaller last batch out",
        {
            "in-batches": dedent(
                """
                def in_batches(module, inputs, batch_size):
                    found = {part: part.training for part in module.modules()}
                    module.eval()
                    outputs = []
                    with torch.no_grad():
                        for i in range(len(inputs) // batch_size):
                            outputs.append(module(inputs[i * batch_size : (i + 1) * batch_size]))
                    for part, training in found.items():
                        part.training = training
                    return torch.cat(outputs)
                """
            ),
        },
        frozenset({"test-batches"}),
        "those of the smaller last batch too",
    ),
    Wrong(
        "forgets the preprocessing",
        {
            "extract": dedent(
                """
                def extract(model, images, cut, batch_size):
                    return in_batches(model.stages[:cut], images, batch_size)
                """
            ),
        },
        frozenset({"test-extract"}),
        "the pixels went in as they are",
    ),
    Wrong(
        "pixels only divided by 255",
        {
            "extract": dedent(
                """
                def extract(model, images, cut, batch_size):
                    return in_batches(model.stages[:cut], images / 255, batch_size)
                """
            ),
        },
        frozenset({"test-extract"}),
        "which is only half of what these weights expect",
    ),
    Wrong(
        "features in training mode",
        {
            "extract": dedent(
                """
                def extract(model, images, cut, batch_size):
                    pixels = model.preprocess.apply(images)
                    with torch.no_grad():
                        return torch.cat([model.stages[:cut](b) for b in pixels.split(batch_size)])
                """
            ),
        },
        frozenset({"test-extract"}),
        "Let in_batches do the asking",
    ),
    Wrong(
        "features of shuffled images",
        {
            "extract": dedent(
                """
                def extract(model, images, cut, batch_size):
                    pixels = model.preprocess.apply(images[torch.randperm(len(images))])
                    return in_batches(model.stages[:cut], pixels, batch_size)
                """
            ),
        },
        frozenset({"test-extract"}),
        "shuffle nothing",
    ),
    Wrong(
        "rows shuffled, labels not",
        {
            "train-head": dedent(
                """
                def train_head(model, table, labels, epochs, rate, seed, batch_size):
                    optimizer = torch.optim.SGD(model.head.parameters(), lr=rate, momentum=0.9)
                    generator = torch.Generator().manual_seed(seed)
                    losses = []
                    for _ in range(epochs):
                        total = 0.0
                        shuffled = table[torch.randperm(len(table), generator=generator)]
                        for batch in torch.arange(len(table)).split(batch_size):
                            loss = cross_entropy(model.head(shuffled[batch]), labels[batch])
                            optimizer.zero_grad()
                            loss.backward()
                            optimizer.step()
                            total += loss.item() * len(batch)
                        losses.append(total / len(table))
                    return losses
                """
            ),
        },
        frozenset({"test-head-updates"}),
        "Do rows and labels belong together?",
    ),
    Wrong(
        "not shuffled",
        {
            "train-head": dedent(
                """
                def train_head(model, table, labels, epochs, rate, seed, batch_size):
                    optimizer = torch.optim.SGD(model.head.parameters(), lr=rate, momentum=0.9)
                    generator = torch.Generator().manual_seed(seed)
                    losses = []
                    for _ in range(epochs):
                        total = 0.0
                        order = torch.arange(len(table))
                        for batch in order.split(batch_size):
                            loss = cross_entropy(model.head(table[batch]), labels[batch])
                            optimizer.zero_grad()
                            loss.backward()
                            optimizer.step()
                            total += loss.item() * len(batch)
                        losses.append(total / len(table))
                    return losses
                """
            ),
        },
        frozenset({"test-head-order"}),
        "in the order of the table",
    ),
    Wrong(
        "generator made anew in each epoch",
        {
            "train-head": dedent(
                """
                def train_head(model, table, labels, epochs, rate, seed, batch_size):
                    optimizer = torch.optim.SGD(model.head.parameters(), lr=rate, momentum=0.9)
                    losses = []
                    for _ in range(epochs):
                        total = 0.0
                        generator = torch.Generator().manual_seed(seed)
                        order = torch.randperm(len(table), generator=generator)
                        for batch in order.split(batch_size):
                            loss = cross_entropy(model.head(table[batch]), labels[batch])
                            optimizer.zero_grad()
                            loss.backward()
                            optimizer.step()
                            total += loss.item() * len(batch)
                        losses.append(total / len(table))
                    return losses
                """
            ),
        },
        frozenset({"test-head-order"}),
        "Each epoch has the same order",
    ),
    Wrong(
        "order from the shared generator",
        {
            "train-head": dedent(
                """
                def train_head(model, table, labels, epochs, rate, seed, batch_size):
                    optimizer = torch.optim.SGD(model.head.parameters(), lr=rate, momentum=0.9)
                    torch.manual_seed(seed)
                    losses = []
                    for _ in range(epochs):
                        total = 0.0
                        order = torch.randperm(len(table))
                        for batch in order.split(batch_size):
                            loss = cross_entropy(model.head(table[batch]), labels[batch])
                            optimizer.zero_grad()
                            loss.backward()
                            optimizer.step()
                            total += loss.item() * len(batch)
                        losses.append(total / len(table))
                    return losses
                """
            ),
        },
        frozenset({"test-head-order"}),
        "the dice that everybody shares",
    ),
    Wrong(
        "optimizer made anew in each epoch",
        {
            "train-head": dedent(
                """
                def train_head(model, table, labels, epochs, rate, seed, batch_size):
                    generator = torch.Generator().manual_seed(seed)
                    losses = []
                    for _ in range(epochs):
                        total = 0.0
                        optimizer = torch.optim.SGD(model.head.parameters(), lr=rate, momentum=0.9)
                        order = torch.randperm(len(table), generator=generator)
                        for batch in order.split(batch_size):
                            loss = cross_entropy(model.head(table[batch]), labels[batch])
                            optimizer.zero_grad()
                            loss.backward()
                            optimizer.step()
                            total += loss.item() * len(batch)
                        losses.append(total / len(table))
                    return losses
                """
            ),
        },
        frozenset({"test-head-updates"}),
        "forgets its momentum",
    ),
    Wrong(
        "head built anew in each epoch",
        {
            "train-head": dedent(
                """
                def train_head(model, table, labels, epochs, rate, seed, batch_size):
                    generator = torch.Generator().manual_seed(seed)
                    losses = []
                    for _ in range(epochs):
                        total = 0.0
                        model.head = nn.Linear(table.shape[1], model.head.out_features)
                        optimizer = torch.optim.SGD(model.head.parameters(), lr=rate, momentum=0.9)
                        order = torch.randperm(len(table), generator=generator)
                        for batch in order.split(batch_size):
                            loss = cross_entropy(model.head(table[batch]), labels[batch])
                            optimizer.zero_grad()
                            loss.backward()
                            optimizer.step()
                            total += loss.item() * len(batch)
                        losses.append(total / len(table))
                    return losses
                """
            ),
        },
        frozenset({"test-head-order", "test-head-updates"}),
        "Does each epoch go on",
    ),
    Wrong(
        "mean of the batches' means as the loss of an epoch",
        {
            "train-head": dedent(
                """
                def train_head(model, table, labels, epochs, rate, seed, batch_size):
                    optimizer = torch.optim.SGD(model.head.parameters(), lr=rate, momentum=0.9)
                    generator = torch.Generator().manual_seed(seed)
                    losses = []
                    for _ in range(epochs):
                        total = 0.0
                        order = torch.randperm(len(table), generator=generator)
                        for batch in order.split(batch_size):
                            loss = cross_entropy(model.head(table[batch]), labels[batch])
                            optimizer.zero_grad()
                            loss.backward()
                            optimizer.step()
                            total += loss.item()
                        losses.append(total / len(order.split(batch_size)))
                    return losses
                """
            ),
        },
        frozenset({"test-head-updates"}),
        "Weigh each batch by its size",
    ),
    Wrong(
        "optimizer given all parameters",
        {
            "train-head": dedent(
                """
                def train_head(model, table, labels, epochs, rate, seed, batch_size):
                    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
                    generator = torch.Generator().manual_seed(seed)
                    losses = []
                    for _ in range(epochs):
                        total = 0.0
                        order = torch.randperm(len(table), generator=generator)
                        for batch in order.split(batch_size):
                            loss = cross_entropy(model.head(table[batch]), labels[batch])
                            optimizer.zero_grad()
                            loss.backward()
                            optimizer.step()
                            total += loss.item() * len(batch)
                        losses.append(total / len(table))
                    return losses
                """
            ),
        },
        frozenset({"test-head-body"}),
        "Give it only what learns",
    ),
    Wrong(
        "accuracy and loss averaged over batches",
        {
            "evaluate": dedent(
                """
                def evaluate(module, inputs, labels, batch_size):
                    accuracies, losses = [], []
                    for batch, truth in zip(inputs.split(batch_size), labels.split(batch_size)):
                        logits = in_batches(module, batch, batch_size)
                        accuracies.append((logits.argmax(1) == truth).float().mean().item())
                        losses.append(cross_entropy(logits, truth).item())
                    return sum(accuracies) / len(accuracies), sum(losses) / len(losses)
                """
            ),
        },
        frozenset({"test-evaluate"}),
        "Take the mean over images",
    ),
    Wrong(
        "only the loss averaged over batches",
        {
            "evaluate": dedent(
                """
                def evaluate(module, inputs, labels, batch_size):
                    accuracies, losses = [], []
                    for batch, truth in zip(inputs.split(batch_size), labels.split(batch_size)):
                        logits = in_batches(module, batch, batch_size)
                        accuracies.append((logits.argmax(1) == truth).float().sum().item())
                        losses.append(cross_entropy(logits, truth).item())
                    return sum(accuracies) / len(labels), sum(losses) / len(losses)
                """
            ),
        },
        frozenset({"test-evaluate"}),
        "The accuracy is right; the loss is",
    ),
    Wrong(
        "scores in whatever mode the model is in",
        {
            "evaluate": dedent(
                """
                def evaluate(module, inputs, labels, batch_size):
                    logits = torch.cat([module(b) for b in inputs.split(batch_size)]).detach()
                    right = (logits.argmax(1) == labels).float()
                    return right.mean().item(), cross_entropy(logits, labels).item()
                """
            ),
        },
        frozenset({"test-evaluate"}),
        "Scoring changed the module",
    ),
    Wrong(
        "differences without their sign taken off",
        {
            "gap": dedent(
                """
                def gap(model, images, table, cut, batch_size):
                    rest = nn.Sequential(*model.stages[cut:], model.head)
                    direct = in_batches(model, images, batch_size)
                    return (direct - in_batches(rest, table, batch_size)).max().item()
                """
            ),
        },
        frozenset({"test-gap"}),
        "A difference can be negative",
    ),
    Wrong(
        "the table goes straight into the head",
        {
            "gap": dedent(
                """
                def gap(model, images, table, cut, batch_size):
                    direct = in_batches(model, images, batch_size)
                    return (direct - in_batches(model.head, table, batch_size)).abs().max().item()
                """
            ),
        },
        frozenset({"test-gap"}),
        "Three stages, a true table",
    ),
]
