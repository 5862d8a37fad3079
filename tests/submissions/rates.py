"""Assignment 3: what students typically write instead."""

from textwrap import dedent

from submissions import Wrong

WRONG = [
    Wrong(
        "rates rise towards the input",
        {
            "stage-rates": dedent(
                """
                def stage_rates(model, head_rate, decay):
                    parts = [p for p in model.stages.named_children()]
                    rates = {n: head_rate * decay ** (1 + i) for i, (n, part) in enumerate(parts)
                             if any(p.requires_grad for p in part.parameters())}
                    return {**rates, 'head': head_rate}
                """
            ),
        },
        frozenset({"test-rates"}),
        "The rates rise towards the input",
    ),
    Wrong(
        "frozen stages have rates",
        {
            "stage-rates": dedent(
                """
                def stage_rates(model, head_rate, decay):
                    parts = [*model.stages.named_children(), ('head', model.head)]
                    return {n: head_rate * decay**i for i, (n, _) in enumerate(reversed(parts))}
                """
            ),
        },
        frozenset({"test-rates"}),
        "do not learn and need no rate",
    ),
    Wrong(
        "deepest stage at the head's rate",
        {
            "stage-rates": dedent(
                """
                def stage_rates(model, head_rate, decay):
                    n = len(model.stages)
                    rates = {name: head_rate * decay ** (n - 1 - i)
                             for i, (name, part) in enumerate(model.stages.named_children())
                             if any(p.requires_grad for p in part.parameters())}
                    return {**rates, 'head': head_rate}
                """
            ),
        },
        frozenset({"test-rates"}),
        "has the head's own rate",
    ),
    Wrong(
        "number of stages written down",
        {
            "stage-rates": dedent(
                """
                def stage_rates(model, head_rate, decay):
                    rates = {name: head_rate * decay ** (5 - i)
                             for i, (name, part) in enumerate(model.stages.named_children())
                             if any(p.requires_grad for p in part.parameters())}
                    return {**rates, 'head': head_rate}
                """
            ),
        },
        frozenset({"test-rates"}),
        "On small_cnn with 3 stages",
    ),
    Wrong(
        "asks model.frozen instead of the parameters",
        {
            "stage-rates": dedent(
                """
                def stage_rates(model, head_rate, decay):
                    parts = [*model.stages.named_children(), ('head', model.head)][model.frozen:]
                    return {n: head_rate * decay**i for i, (n, _) in enumerate(reversed(parts))}
                """
            ),
        },
        frozenset({"test-rates"}),
        "not model.frozen",
    ),
    Wrong(
        "head in two groups",
        {
            "parameter-groups": dedent(
                """
                def parameter_groups(model, rates):
                    found = []
                    for name, part in [*model.stages.named_children(), ('head', model.head), ('head', model.head)]:
                        learning = [p for p in part.parameters() if p.requires_grad]
                        if learning:
                            found.append({'params': learning, 'lr': rates[name]})
                    return found
                """
            ),
        },
        frozenset({"test-groups"}),
        "are in more than one group, such as head.weight",
    ),
    Wrong(
        "head forgotten",
        {
            "parameter-groups": dedent(
                """
                def parameter_groups(model, rates):
                    return [{'params': g, 'lr': rates[n]} for n, part in model.stages.named_children()
                            if (g := [p for p in part.parameters() if p.requires_grad])]
                """
            ),
        },
        frozenset({"test-groups", "test-groups-frozen"}),
        "2 parameters learn but are in no group: head.weight",
    ),
    Wrong(
        "frozen parameters in groups",
        {
            "parameter-groups": dedent(
                """
                def parameter_groups(model, rates):
                    return [{'params': list(part.parameters()), 'lr': rates[n]} for n, part in [*model.stages.named_children(), ('head', model.head)]]
                """
            ),
        },
        frozenset({"test-groups-frozen"}),
        "frozen parameters are in a group",
    ),
    Wrong(
        "asks only whether the stage learns",
        {
            "parameter-groups": dedent(
                """
                def parameter_groups(model, rates):
                    return [{'params': list(part.parameters()), 'lr': rates[n]} for n, part in [*model.stages.named_children(), ('head', model.head)]
                            if any(p.requires_grad for p in part.parameters())]
                """
            ),
        },
        frozenset({"test-groups-frozen"}),
        "of every single one, not of the stage",
    ),
    Wrong(
        "generators instead of lists",
        {
            "parameter-groups": dedent(
                """
                def parameter_groups(model, rates):
                    return [{'params': part.parameters(), 'lr': rates[n]} for n, part in [*model.stages.named_children(), ('head', model.head)]]
                """
            ),
        },
        frozenset({"test-groups", "test-groups-frozen"}),
        "Put the parameters into a list",
    ),
    Wrong(
        "only matrices decay",
        {
            "split-decay": dedent(
                """
                def split_decay(groups, weight_decay):
                    split = []
                    for group in groups:
                        for own, decay in ((True, weight_decay), (False, 0)):
                            chosen = [p for p in group['params'] if (p.ndim == 2) == own]
                            if chosen:
                                split.append({**group, 'params': chosen, 'weight_decay': decay})
                    return split
                """
            ),
        },
        frozenset({"test-decay"}),
        "A convolution's weights have four dimensions",
    ),
    Wrong(
        "vectors left to the optimizer's default",
        {
            "split-decay": dedent(
                """
                def split_decay(groups, weight_decay):
                    split = []
                    for group in groups:
                        weights = [p for p in group['params'] if p.ndim > 1]
                        vectors = [p for p in group['params'] if p.ndim < 2]
                        if weights:
                            split.append({**group, 'params': weights, 'weight_decay': weight_decay})
                        if vectors:
                            split.append({'params': vectors, 'lr': group['lr']})
                    return split
                """
            ),
        },
        frozenset({"test-decay"}),
        "the optimizer's default holds",
    ),
    Wrong(
        "a new tensor instead of a step",
        {
            "sgd-step": dedent(
                """
                def sgd_step(groups, buffers, momentum):

                    with torch.no_grad():
                        for group in groups:
                            for weight in group["params"]:
                                if weight.grad is None:
                                    continue
                                slope = weight.grad + group["weight_decay"] * weight
                                buffers[weight] = momentum * buffers.get(weight, 0 * slope) + slope
                                weight = weight - group["lr"] * buffers[weight]
                """
            ),
        },
        frozenset({"test-momentum", "test-sgd"}),
        "No weight moved",
    ),
    Wrong(
        "one rate for all groups",
        {
            "sgd-step": dedent(
                """
                def sgd_step(groups, buffers, momentum):

                    with torch.no_grad():
                        for group in groups:
                            for weight in group["params"]:
                                if weight.grad is None:
                                    continue
                                slope = weight.grad + group["weight_decay"] * weight
                                buffers[weight] = momentum * buffers.get(weight, 0 * slope) + slope
                                weight -= groups[0]["lr"] * buffers[weight]
                """
            ),
        },
        frozenset({"test-momentum", "test-sgd"}),
        "All groups learned with the rate",
    ),
    Wrong(
        "buffers emptied in each step",
        {
            "sgd-step": dedent(
                """
                def sgd_step(groups, buffers, momentum):
                    buffers = {}
                    with torch.no_grad():
                        for group in groups:
                            for weight in group["params"]:
                                if weight.grad is None:
                                    continue
                                slope = weight.grad + group["weight_decay"] * weight
                                buffers[weight] = momentum * buffers.get(weight, 0 * slope) + slope
                                weight -= group["lr"] * buffers[weight]
                """
            ),
        },
        frozenset({"test-momentum"}),
        "the buffer is empty again in every step",
    ),
    Wrong(
        "momentum as an average",
        {
            "sgd-step": dedent(
                """
                def sgd_step(groups, buffers, momentum):

                    with torch.no_grad():
                        for group in groups:
                            for weight in group["params"]:
                                if weight.grad is None:
                                    continue
                                slope = weight.grad + group["weight_decay"] * weight
                                old = buffers.get(weight, 0 * slope)
                                buffers[weight] = momentum * old + (1 - momentum) * slope
                                weight -= group["lr"] * buffers[weight]
                """
            ),
        },
        frozenset({"test-momentum"}),
        "You average",
    ),
    Wrong(
        "rate in the buffer",
        {
            "sgd-step": dedent(
                """
                def sgd_step(groups, buffers, momentum):

                    with torch.no_grad():
                        for group in groups:
                            for weight in group["params"]:
                                if weight.grad is None:
                                    continue
                                slope = weight.grad + group["weight_decay"] * weight
                                old = buffers.get(weight, 0 * slope)
                                buffers[weight] = momentum * old + group["lr"] * slope
                                weight -= buffers[weight]
                """
            ),
        },
        frozenset({"test-momentum"}),
        "no rate may be in the buffer",
    ),
    Wrong(
        "decay added to the gradient in place",
        {
            "sgd-step": dedent(
                """
                def sgd_step(groups, buffers, momentum):

                    with torch.no_grad():
                        for group in groups:
                            for weight in group["params"]:
                                if weight.grad is None:
                                    continue
                                weight.grad += group["weight_decay"] * weight
                                slope = weight.grad.clone()
                                buffers[weight] = momentum * buffers.get(weight, 0 * slope) + slope
                                weight -= group["lr"] * buffers[weight]
                """
            ),
        },
        frozenset({"test-sgd"}),
        "The gradient has changed",
    ),
    Wrong(
        "L2 penalty instead of decoupled decay",
        {
            "adamw-step": dedent(
                """
                def adamw_step(groups, state, betas=(0.9, 0.999), eps=1e-8):
                    first, second = betas

                    with torch.no_grad():
                        for group in groups:
                            for weight in group["params"]:
                                slope = weight.grad
                                if slope is None:
                                    continue
                                count, mean, square = state.get(weight, (0, 0.0, 0.0))
                                count += 1
                                slope = slope + group["weight_decay"] * weight
                                mean = first * mean + (1 - first) * slope
                                square = second * square + (1 - second) * slope**2
                                state[weight] = (count, mean, square)
                                typical = (square / (1 - second**count)).sqrt() + eps
                                weight -= group["lr"] * mean / (1 - first**count) / typical
                """
            ),
        },
        frozenset({"test-adamw", "test-adamw-steps"}),
        "That is Adam with an L2 penalty",
    ),
    Wrong(
        "no bias correction",
        {
            "adamw-step": dedent(
                """
                def adamw_step(groups, state, betas=(0.9, 0.999), eps=1e-8):
                    first, second = betas

                    with torch.no_grad():
                        for group in groups:
                            for weight in group["params"]:
                                slope = weight.grad
                                if slope is None:
                                    continue
                                count, mean, square = state.get(weight, (0, 0.0, 0.0))
                                count += 1
                                mean = first * mean + (1 - first) * slope
                                square = second * square + (1 - second) * slope**2
                                state[weight] = (count, mean, square)
                                weight *= 1 - group["lr"] * group["weight_decay"]
                                weight -= group["lr"] * mean / (square.sqrt() + eps)
                """
            ),
        },
        frozenset({"test-adamw", "test-adamw-steps"}),
        "The bias correction is missing",
    ),
    Wrong(
        "decay without the rate",
        {
            "adamw-step": dedent(
                """
                def adamw_step(groups, state, betas=(0.9, 0.999), eps=1e-8):
                    first, second = betas

                    with torch.no_grad():
                        for group in groups:
                            for weight in group["params"]:
                                slope = weight.grad
                                if slope is None:
                                    continue
                                count, mean, square = state.get(weight, (0, 0.0, 0.0))
                                count += 1
                                mean = first * mean + (1 - first) * slope
                                square = second * square + (1 - second) * slope**2
                                state[weight] = (count, mean, square)
                                weight *= 1 - group["weight_decay"]
                                typical = (square / (1 - second**count)).sqrt() + eps
                                weight -= group["lr"] * mean / (1 - first**count) / typical
                """
            ),
        },
        frozenset({"test-adamw", "test-adamw-steps"}),
        "The decay has to be multiplied by the group's rate",
    ),
    Wrong(
        "epsilon inside the root",
        {
            "adamw-step": dedent(
                """
                def adamw_step(groups, state, betas=(0.9, 0.999), eps=1e-8):
                    first, second = betas

                    with torch.no_grad():
                        for group in groups:
                            for weight in group["params"]:
                                slope = weight.grad
                                if slope is None:
                                    continue
                                count, mean, square = state.get(weight, (0, 0.0, 0.0))
                                count += 1
                                mean = first * mean + (1 - first) * slope
                                square = second * square + (1 - second) * slope**2
                                state[weight] = (count, mean, square)
                                weight *= 1 - group["lr"] * group["weight_decay"]
                                typical = (square / (1 - second**count) + eps).sqrt()
                                weight -= group["lr"] * mean / (1 - first**count) / typical
                """
            ),
        },
        frozenset({"test-adamw", "test-adamw-steps"}),
        "it is added to √v̂, not to v̂",
    ),
    Wrong(
        "epsilon before the correction",
        {
            "adamw-step": dedent(
                """
                def adamw_step(groups, state, betas=(0.9, 0.999), eps=1e-8):
                    first, second = betas

                    with torch.no_grad():
                        for group in groups:
                            for weight in group["params"]:
                                slope = weight.grad
                                if slope is None:
                                    continue
                                count, mean, square = state.get(weight, (0, 0.0, 0.0))
                                count += 1
                                mean = first * mean + (1 - first) * slope
                                square = second * square + (1 - second) * slope**2
                                state[weight] = (count, mean, square)
                                weight *= 1 - group["lr"] * group["weight_decay"]
                                typical = (square.sqrt() + eps) / (1 - second**count) ** 0.5
                                weight -= group["lr"] * mean / (1 - first**count) / typical
                """
            ),
        },
        frozenset({"test-adamw", "test-adamw-steps"}),
        "ε is added before the bias correction",
    ),
    Wrong(
        "averages forgotten",
        {
            "adamw-step": dedent(
                """
                def adamw_step(groups, state, betas=(0.9, 0.999), eps=1e-8):
                    first, second = betas
                    state = {}
                    with torch.no_grad():
                        for group in groups:
                            for weight in group["params"]:
                                slope = weight.grad
                                if slope is None:
                                    continue
                                count, mean, square = state.get(weight, (0, 0.0, 0.0))
                                count += 1
                                mean = first * mean + (1 - first) * slope
                                square = second * square + (1 - second) * slope**2
                                state[weight] = (count, mean, square)
                                weight *= 1 - group["lr"] * group["weight_decay"]
                                typical = (square / (1 - second**count)).sqrt() + eps
                                weight -= group["lr"] * mean / (1 - first**count) / typical
                """
            ),
        },
        frozenset({"test-adamw-steps"}),
        "Each step is a first step",
    ),
    Wrong(
        "counts weights instead of steps",
        {
            "adamw-step": dedent(
                """
                def adamw_step(groups, state, betas=(0.9, 0.999), eps=1e-8):
                    first, second = betas

                    with torch.no_grad():
                        for group in groups:
                            for weight in group["params"]:
                                slope = weight.grad
                                if slope is None:
                                    continue
                                count, mean, square = state.get(weight, (0, 0.0, 0.0))
                                state['t'] = count = state.get('t', 0) + 1
                                mean = first * mean + (1 - first) * slope
                                square = second * square + (1 - second) * slope**2
                                state[weight] = (count, mean, square)
                                weight *= 1 - group["lr"] * group["weight_decay"]
                                typical = (square / (1 - second**count)).sqrt() + eps
                                weight -= group["lr"] * mean / (1 - first**count) / typical
                """
            ),
        },
        frozenset({"test-adamw", "test-adamw-steps"}),
        "grow with every weight that you pass",
    ),
    Wrong(
        "one count for all weights",
        {
            "adamw-step": dedent(
                """
                def adamw_step(groups, state, betas=(0.9, 0.999), eps=1e-8):
                    first, second = betas
                    state['t'] = state.get('t', 0) + 1
                    with torch.no_grad():
                        for group in groups:
                            for weight in group["params"]:
                                slope = weight.grad
                                if slope is None:
                                    continue
                                count, mean, square = state.get(weight, (0, 0.0, 0.0))
                                count = state['t']
                                mean = first * mean + (1 - first) * slope
                                square = second * square + (1 - second) * slope**2
                                state[weight] = (count, mean, square)
                                weight *= 1 - group["lr"] * group["weight_decay"]
                                typical = (square / (1 - second**count)).sqrt() + eps
                                weight -= group["lr"] * mean / (1 - first**count) / typical
                """
            ),
        },
        frozenset({"test-adamw-steps"}),
        "each weight counts its own steps",
    ),
    Wrong(
        "warm-up begins at zero",
        {
            "factor": dedent(
                """
                def factor(step, total, warm):
                    if step < warm:
                        return step / warm
                    return 0.5 * (1 + math.cos(math.pi * (step - warm) / (total - warm)))
                """
            ),
        },
        frozenset({"test-factor"}),
        "it is wasted",
    ),
    Wrong(
        "warm-up ends a step early",
        {
            "factor": dedent(
                """
                def factor(step, total, warm):
                    if step < warm:
                        return (step + 1) / warm
                    return 0.5 * (1 + math.cos(math.pi * (step - warm) / (total - warm)))
                """
            ),
        },
        frozenset({"test-factor"}),
        "one step too early",
    ),
    Wrong(
        "cosine counted from the first step",
        {
            "factor": dedent(
                """
                def factor(step, total, warm):
                    if step < warm:
                        return (step + 1) / (warm + 1)
                    return 0.5 * (1 + math.cos(math.pi * step / total))
                """
            ),
        },
        frozenset({"test-factor"}),
        "step − warm of total − warm",
    ),
    Wrong(
        "cosine arrives in the last step",
        {
            "factor": dedent(
                """
                def factor(step, total, warm):
                    if step < warm:
                        return (step + 1) / (warm + 1)
                    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(total - warm - 1, 1)))
                """
            ),
        },
        frozenset({"test-factor"}),
        "which is never taken",
    ),
    Wrong(
        "one rate replaces all",
        {
            "set-rates": dedent(
                """
                def set_rates(optimizer, base, factor):
                    for group, rate in zip(optimizer.param_groups, base, strict=True):
                        group["lr"] = max(base) * factor
                """
            ),
        },
        frozenset({"test-set-rates"}),
        "One rate replaced them all",
    ),
    Wrong(
        "factors pile up",
        {
            "set-rates": dedent(
                """
                def set_rates(optimizer, base, factor):
                    for group, rate in zip(optimizer.param_groups, base, strict=True):
                        group["lr"] *= factor
                """
            ),
        },
        frozenset({"test-set-rates"}),
        "The factors pile up",
    ),
    Wrong(
        "the snapshot is not a copy",
        {
            "moved": dedent(
                """
                def snapshot(model):
                    return dict(model.named_parameters())


                def moved(model, before):
                    ways, now = {}, dict(model.named_parameters())
                    for part in [*model.stage_names, "head"]:
                        place = "head." if part == "head" else f"stages.{part}."
                        names = [name for name in now if name.startswith(place)]
                        old = torch.cat([before[name].flatten() for name in names])
                        new = torch.cat([now[name].detach().flatten() for name in names])
                        ways[part] = ((new - old).norm() / old.norm()).item()
                    return ways
                """
            ),
        },
        frozenset({"test-moved"}),
        "the snapshot moved along",
    ),
    Wrong(
        "ways not relative",
        {
            "moved": dedent(
                """
                def snapshot(model):
                    return {name: p.detach().clone() for name, p in model.named_parameters()}


                def moved(model, before):
                    ways, now = {}, dict(model.named_parameters())
                    for part in [*model.stage_names, "head"]:
                        place = "head." if part == "head" else f"stages.{part}."
                        names = [name for name in now if name.startswith(place)]
                        old = torch.cat([before[name].flatten() for name in names])
                        new = torch.cat([now[name].detach().flatten() for name in names])
                        ways[part] = (new - old).norm().item()
                    return ways
                """
            ),
        },
        frozenset({"test-moved"}),
        "Divide the way by the length",
    ),
    Wrong(
        "mean over tensors",
        {
            "moved": dedent(
                """
                def snapshot(model):
                    return {name: p.detach().clone() for name, p in model.named_parameters()}


                def moved(model, before):
                    ways, now = {}, dict(model.named_parameters())
                    for part in [*model.stage_names, "head"]:
                        place = "head." if part == "head" else f"stages.{part}."
                        names = [name for name in now if name.startswith(place)]
                        old = torch.cat([before[name].flatten() for name in names])
                        new = torch.cat([now[name].detach().flatten() for name in names])
                        ways[part] = sum(((now[n] - before[n]).norm() / before[n].norm()).item() for n in names) / len(names)
                    return ways
                """
            ),
        },
        frozenset({"test-moved"}),
        "Divide by the length of the whole part",
    ),
    Wrong(
        "asks for the old answers afterwards",
        {
            "measure": dedent(
                """
                def measure(model, share):
                    before = snapshot(model)
                    run = tune(model, share)
                    first = old_answers(model)
                    kept = (old_answers(model) == first).float().mean().item()
                    return moved(model, before), kept, run.best.val_loss
                """
            ),
        },
        frozenset({"test-measure"}),
        "Ask for them before you tune",
    ),
    Wrong(
        "snapshot after tuning",
        {
            "measure": dedent(
                """
                def measure(model, share):
                    first = old_answers(model)
                    run = tune(model, share)
                    before = snapshot(model)
                    kept = (old_answers(model) == first).float().mean().item()
                    return moved(model, before), kept, run.best.val_loss
                """
            ),
        },
        frozenset({"test-measure"}),
        "Take the snapshot before you tune",
    ),
    Wrong(
        "compares numbers, not tensors",
        {
            "unreached": dedent(
                """
                def unreached(model, optimizer):
                    held = [p for group in optimizer.param_groups for p in group['params']]
                    named = list(model.named_parameters())
                    missing = [n for n, p in named if p.requires_grad and p not in held]
                    frozen = [n for n, p in named if not p.requires_grad and p in held]
                    return missing, frozen
                """
            ),
        },
        frozenset({"test-unreached"}),
        "compares numbers, not tensors as objects",
    ),
    Wrong(
        "tensors that look the same",
        {
            "unreached": dedent(
                """
                def unreached(model, optimizer):
                    held = [p for group in optimizer.param_groups for p in group['params']]
                    named = list(model.named_parameters())
                    inside = {n: any(torch.equal(p, q) for q in held) for n, p in named}
                    missing = [n for n, p in named if p.requires_grad and not inside[n]]
                    frozen = [n for n, p in named if not p.requires_grad and inside[n]]
                    return missing, frozen
                """
            ),
        },
        frozenset({"test-unreached"}),
        "Two tensors with the same numbers are still two",
    ),
    Wrong(
        "optimizer built before unfreezing",
        {
            "repaired": dedent(
                """
                def repaired(model, images, labels, learn, rate):
                    depth = len(model.stages)
                    model.freeze_to(depth)
                    learning = [p for p in model.parameters() if p.requires_grad]
                    optimizer = torch.optim.SGD(learning, lr=rate)
                    some_steps(model, optimizer, images, labels, 2)
                    model.freeze_to(depth - learn)
                    some_steps(model, optimizer, images, labels, 2)
                    return optimizer
                """
            ),
        },
        frozenset({"test-repaired"}),
        "the optimizer must be told when it is thawed",
    ),
    Wrong(
        "thawed at once",
        {
            "repaired": dedent(
                """
                def repaired(model, images, labels, learn, rate):
                    depth = len(model.stages)
                    model.freeze_to(depth - learn)
                    body = list(model.stages[depth - learn :].parameters())
                    optimizer = torch.optim.SGD(
                        [{'params': model.head.parameters()}, {'params': body, 'lr': rate / 10}], lr=rate
                    )
                    some_steps(model, optimizer, images, labels, 4)
                    return optimizer
                """
            ),
        },
        frozenset({"test-repaired"}),
        "In the first two steps only the head may learn",
    ),
    Wrong(
        "thawed stages at the head's rate",
        {
            "repaired": dedent(
                """
                def repaired(model, images, labels, learn, rate):
                    depth = len(model.stages)
                    model.freeze_to(depth)
                    optimizer = torch.optim.SGD(model.head.parameters(), lr=rate)
                    some_steps(model, optimizer, images, labels, 2)
                    model.freeze_to(depth - learn)
                    optimizer.add_param_group({'params': list(model.stages[depth - learn :].parameters())})
                    some_steps(model, optimizer, images, labels, 2)
                    return optimizer
                """
            ),
        },
        frozenset({"test-repaired"}),
        "has the rate 0.05 instead of 0.005",
    ),
]
