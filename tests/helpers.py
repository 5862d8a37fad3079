"""Small data and models that several test files build on."""

from pathlib import Path

import torch

import transferlib as tl
from transferlib.data.splits import Split, Splits


def stripes(n: int, seed: int, first_group: int = 0, size: int = 32) -> Split:
    """Two easy classes: horizontal and vertical stripes under noise."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 2
    wave = (torch.arange(size) // 4 % 2 * 120 + 60).float()
    across, down = wave.expand(size, size), wave.expand(size, size).T
    images = torch.where(labels[:, None, None] == 0, across, down)[:, None].repeat(1, 3, 1, 1)
    noisy = images + 25 * torch.randn(images.shape, generator=generator)
    return Split(noisy.clamp(0, 255).to(torch.uint8), labels, torch.arange(first_group, first_group + n))


def stripe_splits(n: int = 24, augment: str = "none") -> Splits:
    """Splits of `stripes`, too small to be interesting and fast to train on."""
    train, val, test = stripes(n, 0), stripes(16, 1, 1000), stripes(20, 2, 2000)
    return Splits(train, val, test, ("across", "down"), "stripes", augment=augment, synthetic=True)


def small_model(seed: int = 0) -> tl.TransferModel:
    """A model of a few thousand parameters per stage, with BatchNorm."""
    return tl.TransferModel("small_cnn", num_classes=2, pretrained=False, seed=seed)


def state_of(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A copy of every parameter and buffer."""
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Bit-identical in every tensor."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def tiny_encoder(folder: Path, kind: str = "bert") -> Path:
    """A small random encoder of a dozen words, with its tokeniser, written into the folder."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["[PAD]", "[UNK]", *(["my", "knee", "hurts", "i", "cannot", "sleep", "itchy", ".", ","])]
    small = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 24}
    distil = {"dim": 16, "n_heads": 2, "n_layers": 2, "hidden_dim": 24}
    make = {
        "bert": lambda **more: transformers.BertConfig(**small, **more),
        "roberta": lambda **more: transformers.RobertaConfig(**small, **more),
        "distilbert": lambda **more: transformers.DistilBertConfig(**distil, **more),
    }
    transformers.AutoModel.from_config(make[kind](vocab_size=len(words), pad_token_id=0)).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    fast.save_pretrained(folder)
    return folder
