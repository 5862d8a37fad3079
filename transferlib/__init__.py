"""Transfer learning in PyTorch.

A network is an ordered list of stages, a strategy is a list of phases.
"""

from transferlib.advice import Advice, advise
from transferlib.allocator import keep_freed_memory
from transferlib.backbones import Backbone, Preprocess, build_backbone, list_backbones
from transferlib.checkpoints import load, save
from transferlib.claims import Claim, Evidence, above, below, between, claim
from transferlib.comparison import Comparison, compare
from transferlib.data import Split, Splits, decode, encode, load_data, split_by_group
from transferlib.errors import (
    CheckpointError,
    DataError,
    DownloadError,
    TrainingDiverged,
    TransferError,
    WeightsError,
)
from transferlib.evaluation import ClassScore, Scores, evaluate, predict, score
from transferlib.explain import grad_cam, overlay
from transferlib.export import Exported, export_onnx
from transferlib.features import cache_features
from transferlib.model import TransferModel
from transferlib.run import Epoch, Run, TrainingInterrupted
from transferlib.strategies import (
    Phase,
    Strategy,
    feature_extraction,
    fine_tuning,
    from_scratch,
    lp_ft,
    progressive_unfreezing,
)
from transferlib.training import fit

__version__ = "0.1.0"
__all__ = [
    "Advice",
    "Backbone",
    "CheckpointError",
    "Claim",
    "ClassScore",
    "Comparison",
    "DataError",
    "DownloadError",
    "Epoch",
    "Evidence",
    "Exported",
    "Phase",
    "Preprocess",
    "Run",
    "Scores",
    "Split",
    "Splits",
    "Strategy",
    "TrainingDiverged",
    "TrainingInterrupted",
    "TransferError",
    "TransferModel",
    "WeightsError",
    "above",
    "advise",
    "below",
    "between",
    "build_backbone",
    "cache_features",
    "claim",
    "compare",
    "decode",
    "encode",
    "evaluate",
    "export_onnx",
    "feature_extraction",
    "fine_tuning",
    "fit",
    "from_scratch",
    "grad_cam",
    "keep_freed_memory",
    "list_backbones",
    "load",
    "load_data",
    "lp_ft",
    "overlay",
    "predict",
    "progressive_unfreezing",
    "save",
    "score",
    "split_by_group",
]
