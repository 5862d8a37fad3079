"""scikit-learn's handwritten digits."""

import numpy as np
import torch

from transferlib.data.splits import Split, Splits, held_out_first, resized


def digits(
    n_train: int | None = 160, *, image_size: int = 64, seed: int = 0, n_val: int = 160, n_test: int = 512
) -> Splits:
    """scikit-learn's 1,797 handwritten digits of 8×8 pixels, enlarged to image_size: nothing like a photograph.

    n_train: None takes all that val and test leave. Val and test do not depend on it.
    Raises DataError when more is asked for than there is.
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    labels = data.target.astype(np.int64)
    parts = held_out_first(labels, np.arange(len(labels)), n_train, n_val, n_test, seed=seed)
    images = torch.from_numpy(data.images / 16 * 255).float()[:, None].expand(-1, 3, -1, -1)
    train, val, test = (
        Split(resized(images[at], image_size), torch.from_numpy(labels[at]), torch.from_numpy(at)) for at in parts
    )
    credit = "Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, UCI, CC BY 4.0"
    note = "The writers are not recorded, so one hand may be in train and test."
    return Splits(train, val, test, tuple("0123456789"), "digits", augment="none", credits=credit, notes=(note,))
