"""The photographs inside the scikit-image and scikit-learn packages: which, whose, and proof that they are the ones."""

from __future__ import annotations

import hashlib
import importlib.util
import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image

from transferlib.errors import DataError

VERSIONS = {"skimage": "scikit-image==0.26.0", "sklearn": "scikit-learn==1.9.1"}


@dataclass(frozen=True)
class Photograph:
    """A file inside an installed package, its SHA-256, and whom to thank for it.

    box: (left, top, right, bottom), the part in use. None: all of it.
    """

    package: str
    file: str
    sha256: str
    credit: str
    box: tuple[int, int, int, int] | None = None


def _skimage(file: str, sha256: str, credit: str, box: tuple[int, int, int, int] | None = None) -> Photograph:
    return Photograph("skimage", f"data/{file}", sha256, credit, box)


def _sklearn(file: str, sha256: str, credit: str) -> Photograph:
    return Photograph("sklearn", f"datasets/images/{file}", sha256, credit)


# Credits as the docstrings of skimage/data/_fetchers.py and sklearn/datasets/images/README.txt give them.
CREDITS = {
    "cat": _skimage(
        "chelsea.png",
        "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
        "Chelsea the cat, Stefan van der Walt, CC0",
    ),
    "coffee": _skimage(
        "coffee.png",
        "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
        "Rachel Michetti, courtesy of Pikolo Espresso Bar, CC0",
    ),
    "astronaut": _skimage(
        "astronaut.png",
        "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
        "Eileen Collins, NASA, public domain",
    ),
    "rocket": _skimage(
        "rocket.jpg",
        "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
        "Launch of DSCOVR, SpaceX, public domain according to scikit-image",
    ),
    "brick": _skimage(
        "brick.png", "7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf", "CC0Textures, CC0"
    ),
    "grass": _skimage(
        "grass.png", "b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89", "linolafett, DeviantArt, CC0"
    ),
    "gravel": _skimage(
        "gravel.png", "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12", "CC0Textures, CC0"
    ),
    "palace": _sklearn(
        "china.jpg",
        "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
        "danielbuechele, Flickr, CC BY 2.0",
    ),
    "flower": _sklearn(
        "flower.jpg", "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638", "vultilion, Flickr, CC BY 2.0"
    ),
    "retina": _skimage(
        "retina.jpg",
        "38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6",
        "Mikael Häggström, Wikimedia Commons, CC0",
        box=(205, 205, 1205, 1205),  # the square inside the round image
    ),
    "tissue": _skimage(
        "ihc.png",
        "f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef",
        "Colonic glands, Center for Microscopy And Molecular Imaging (CMMI), no known copyright restrictions",
    ),
    "galaxies": _skimage(
        "hubble_deep_field.jpg",
        "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4",
        "Hubble eXtreme Deep Field, NASA, public domain",
    ),
    "moon": _skimage(
        "moon.png",
        "78739619d11f7eb9c165bb5d2efd4772cee557812ec847532dbb1d92ef71f577",
        "surface of the moon; scikit-image states no author and no licence",
    ),
    "garage": _skimage(
        "motorcycle_left.png",
        "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179",
        "Middlebury stereo benchmark, Scharstein et al. 2014; scikit-image states no licence",
    ),
    "coins": _skimage(
        "coins.png",
        "f8d773fc9cfa6f4d8e5942dc34d0a0788fcaed2a4fefbbed0aef5398d7ef4cba",
        "Greek coins from Pompeii, Brooklyn Museum, no known copyright restrictions",
    ),
    "page": _skimage(
        "page.png",
        "341a6f0a61557662b02734a9b6e56ec33a915b2c41886b97509dedf2a43b47a3",
        "a scanned page; scikit-image states no author and no licence",
    ),
}


@lru_cache(maxsize=64)
def photograph(name: str, color: bool) -> Image.Image:
    """The decoded photograph of a class, grey ("L") or in colour ("RGB"); treat it as read-only.

    Raises DataError when the file is missing or its SHA-256 is not the one in CREDITS.
    """
    photo = CREDITS[name]
    spec = importlib.util.find_spec(photo.package)
    folders = (spec.submodule_search_locations if spec else None) or [photo.package]
    path = Path(folders[0]) / photo.file
    remedy = f"Install the version it is known from: pip install {VERSIONS[photo.package]}"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"photos: {path} ({name}) cannot be read: {error.strerror}. {remedy}") from error
    if (found := hashlib.sha256(content).hexdigest()) != photo.sha256:
        raise DataError(f"photos: {path} ({name}) has SHA-256 {found}, not {photo.sha256}. {remedy}")
    return Image.open(io.BytesIO(content)).convert("RGB" if color else "L").crop(photo.box)
