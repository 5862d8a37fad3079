"""Assignment 1: what students typically write instead."""

from textwrap import dedent

from submissions import Wrong

WRONG = [
    Wrong(
        "counts tensors instead of numbers",
        {
            "count": dedent(
                """
                def count(module):
                    parameters = list(module.parameters())
                    return len(parameters), sum(p.requires_grad for p in parameters)
                """
            ),
        },
        frozenset({"test-count", "test-share"}),
        "Did you count tensors instead of numbers?",
    ),
    Wrong(
        "writes the number of features down",
        {
            "new-head": dedent(
                """
                def new_head(model, classes):
                    model.head = nn.Linear(1280, classes)
                    return model
                """
            ),
        },
        frozenset({"test-new-head"}),
        "do not write the number of features down",
    ),
    Wrong(
        "never thaws what was frozen",
        {
            "freeze-first": dedent(
                """
                def freeze_first(model, n):
                    for stage in list(model.stages)[:n]:
                        stage.requires_grad_(False)
                    return model
                """
            ),
        },
        frozenset({"test-thaw"}),
        "say of every stage whether it learns",
    ),
    Wrong(
        "BatchNorm left in training mode",
        {
            "features": dedent(
                """
                def features(model, images):
                    with torch.no_grad():
                        x = model.preprocess.apply(images)
                        for stage in model.stages:
                            x = stage(x)
                    return x
                """
            ),
        },
        frozenset({"test-features-mode"}),
        "Call eval() first",
    ),
    Wrong(
        "pixels only divided by 255",
        {
            "features": dedent(
                """
                def features(model, images):
                    training = model.training
                    model.eval()
                    with torch.no_grad():
                        x = model.stages(images / 255)
                    model.train(training)
                    return x
                """
            ),
        },
        frozenset({"test-features"}),
        "were not scaled as the weights expect",
    ),
    Wrong(
        "leaves the model in evaluation mode",
        {
            "features": dedent(
                """
                def features(model, images):
                    model.eval()
                    with torch.no_grad():
                        return model.features(images)
                """
            ),
        },
        frozenset({"test-features-mode"}),
        "it must be afterwards",
    ),
]
