"""Transfer learning in PyTorch.

A network is an ordered list of stages, a strategy is a list of phases.
"""

from transferlib.allocator import keep_freed_memory
from transferlib.backbones import Backbone, Preprocess, build_backbone, list_backbones
from transferlib.checkpoints import load, save
from transferlib.data import Split, Splits, load_data, split_by_group
from transferlib.errors import (
    CheckpointError,
    DataError,
    DownloadError,
    TrainingDiverged,
    TransferError,
    WeightsError,
)
from transferlib.evaluation import ClassScore, Scores, evaluate, predict, score
from transferlib.features import cache_features
from transferlib.model import TransferModel
from transferlib.strategies import (
    Phase,
    Strategy,
    feature_extraction,
    fine_tuning,
    from_scratch,
    lp_ft,
    progressive_unfreezing,
)
from transferlib.training import Epoch, Run, TrainingInterrupted, fit

__version__ = "0.1.0"
__all__ = [
    "Backbone",
    "CheckpointError",
    "ClassScore",
    "DataError",
    "DownloadError",
    "Epoch",
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
    "build_backbone",
    "cache_features",
    "evaluate",
    "feature_extraction",
    "fine_tuning",
    "fit",
    "from_scratch",
    "keep_freed_memory",
    "list_backbones",
    "load",
    "load_data",
    "lp_ft",
    "predict",
    "progressive_unfreezing",
    "save",
    "score",
    "split_by_group",
]
