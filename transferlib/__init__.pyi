from . import plots as plots
from .advice.advise import Advice as Advice
from .advice.advise import advise as advise
from .data.load import load_data as load_data
from .data.splits import (
    Split as Split,
)
from .data.splits import (
    Splits as Splits,
)
from .data.splits import (
    decode as decode,
)
from .data.splits import (
    encode as encode,
)
from .data.splits import (
    split_by_group as split_by_group,
)
from .engine.checkpoints import load as load
from .engine.checkpoints import save as save
from .engine.memory import keep_freed_memory as keep_freed_memory
from .errors import (
    CheckpointError as CheckpointError,
)
from .errors import (
    DataError as DataError,
)
from .errors import (
    DownloadError as DownloadError,
)
from .errors import (
    TrainingDiverged as TrainingDiverged,
)
from .errors import (
    TransferError as TransferError,
)
from .errors import (
    WeightsError as WeightsError,
)
from .evaluation import (
    ClassScore as ClassScore,
)
from .evaluation import (
    Scores as Scores,
)
from .evaluation import (
    evaluate as evaluate,
)
from .evaluation import (
    predict as predict,
)
from .evaluation import (
    score as score,
)
from .evidence.claims import (
    Claim as Claim,
)
from .evidence.claims import (
    Evidence as Evidence,
)
from .evidence.claims import (
    above as above,
)
from .evidence.claims import (
    below as below,
)
from .evidence.claims import (
    between as between,
)
from .evidence.claims import (
    claim as claim,
)
from .evidence.comparison import Comparison as Comparison
from .evidence.comparison import compare as compare
from .evidence.comparison import spread as spread
from .features import cache_features as cache_features
from .features import extract_features as extract_features
from .model import TransferModel as TransferModel
from .networks.backbone import Backbone as Backbone
from .networks.backbone import Preprocess as Preprocess
from .networks.registry import build_backbone as build_backbone
from .networks.registry import list_backbones as list_backbones
from .probe import FeatureExtractor as FeatureExtractor
from .probe import linear_probe as linear_probe
from .run import Epoch as Epoch
from .run import Run as Run
from .run import TrainingInterrupted as TrainingInterrupted
from .ship.grad_cam import grad_cam as grad_cam
from .ship.grad_cam import overlay as overlay
from .ship.onnx import Exported as Exported
from .ship.onnx import export_onnx as export_onnx
from .strategies import (
    Phase as Phase,
)
from .strategies import (
    Strategy as Strategy,
)
from .strategies import (
    feature_extraction as feature_extraction,
)
from .strategies import (
    fine_tuning as fine_tuning,
)
from .strategies import (
    from_scratch as from_scratch,
)
from .strategies import (
    lp_ft as lp_ft,
)
from .strategies import (
    progressive_unfreezing as progressive_unfreezing,
)
from .training import fit as fit
