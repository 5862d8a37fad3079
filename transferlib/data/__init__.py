"""Where images and texts come from. Knows nothing of models.

`splits` divides them, `transforms` changes them at random, `builtin` and `own` are the sources.
"""

import lazy_loader

SOURCES = {
    "photos": "builtin.photos",
    "lesions": "builtin.lesions",
    "digits": "builtin.digits",
    "triage": "builtin.texts",
    "dermamnist": "builtin.public",
    "flowers102": "builtin.public",
    "oxford_pets": "builtin.public",
    "agnews": "builtin.texts",
    "folder": "own.folder",
    "texts": "own.texts",
    "dataset": "own.dataset",
}
"""Each source is the function of that name in that module here. photos, lesions, digits and triage need no network."""

NAMES = {"load": ["load_data"], "splits": ["Split", "Splits", "decode", "encode", "split_by_group"]}
__getattr__, __dir__, _ = lazy_loader.attach(__name__, submod_attrs=NAMES)  # imported when they are asked for
