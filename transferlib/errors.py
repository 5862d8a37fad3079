"""The errors a user can meet. Each message names the thing, the value and the remedy."""


class TransferError(Exception):
    """Base class: catch this to catch everything that `transferlib` raises on purpose."""


class DataError(TransferError, ValueError):
    """Images, labels or folders that cannot be used as they are."""


class WeightsError(TransferError):
    """Pretrained weights that are missing, damaged or not the ones that were asked for."""


class DownloadError(TransferError, OSError):
    """A file that could not be fetched, or arrived other than it should be."""


class CheckpointError(TransferError):
    """A model or a run that cannot be written, or what is read instead of one cannot be trusted."""


class TrainingDiverged(TransferError):
    """The loss stopped being a number."""
