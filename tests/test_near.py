from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageFilter

from transferlib.data.builtin.originals import CREDITS, photograph
from transferlib.data.own.images import decode_image, thumbnail
from transferlib.data.own.near import DISTANCE, agree, close_pairs, near_copies, perceptual_hash
from transferlib.data.own.scan import Item, scan

NAMES = sorted(CREDITS)


def jpeg(image: Image.Image, quality: int = 92) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def thumb(data: bytes) -> np.ndarray:
    return thumbnail(decode_image(data, 64, name="x").pixels)


def looked_at(*files: bytes | np.ndarray) -> list[Item]:
    thumbs = [thumb(file) if isinstance(file, bytes) else file for file in files]
    return [Item(Path(str(i)), str(i), "", "a", same=str(i), thumb=picture) for i, picture in enumerate(thumbs)]


def found(*files: bytes | np.ndarray) -> list[list[str]]:
    return [[item.name for item in group] for group in near_copies(looked_at(*files))]


def cut(image: Image.Image, share: float) -> Image.Image:
    width, height = image.width * share / 2, image.height * share / 2
    return image.crop((round(width), round(height), round(image.width - width), round(image.height - height)))


@pytest.mark.parametrize("name", NAMES)
def test_requantised_resized_brightened_and_grey_copies_are_all_one_group(name: str) -> None:
    image = photograph(name, True)
    copies = [
        jpeg(image, 30),
        jpeg(image.resize((image.width // 2, image.height // 2))),
        jpeg(image.resize((image.width * 3 // 2, image.height * 3 // 2))),
        jpeg(ImageEnhance.Brightness(image).enhance(1.2)),
        jpeg(ImageEnhance.Brightness(image).enhance(0.7)),
        jpeg(image.convert("L")),
    ]
    assert found(jpeg(image, 95), *copies) == [[str(i) for i in range(7)]]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(NAMES), st.integers(40, 95), st.floats(0.35, 1.4), st.floats(0.75, 1.15))
def test_any_mix_of_quality_size_and_brightness_is_found(name: str, quality: int, size: float, light: float) -> None:
    image = photograph(name, True)
    small = image.resize((round(image.width * size), round(image.height * size)))
    copy = jpeg(ImageEnhance.Brightness(small).enhance(light), quality)
    assert found(jpeg(image, 95), copy) == [["0", "1"]]


def test_copies_with_two_percent_cut_off_are_found() -> None:
    whole = {name: photograph(name, True) for name in NAMES}
    missed = {name for name, image in whole.items() if not found(jpeg(image), jpeg(cut(image, 0.02)))}
    assert missed <= {"brick"}  # a pattern as fine as the thumbnail: shifted by half a brick, it is another


@pytest.mark.parametrize("turn", Image.Transpose)
def test_copies_that_were_mirrored_or_turned_by_quarters_are_found(turn: Image.Transpose) -> None:
    for name in NAMES:
        image = photograph(name, True)
        other = image.transpose(turn)
        assert found(jpeg(image), jpeg(other.resize((other.width // 2, other.height // 2)), 60)) == [["0", "1"]]


def test_two_round_things_are_not_near_copies_for_being_alike_when_turned() -> None:
    rng, (y, x) = np.random.default_rng(0), np.mgrid[-1:1:128j, -1:1:128j]
    files = []
    for _ in range(60):
        a, b, c = rng.uniform(0.3, 0.6), rng.uniform(0.3, 0.6), rng.uniform(-0.3, 0.3)
        inside = (x / a) ** 2 + (y / b) ** 2 + c * x * y / (a * b) < 1
        grey = np.where(inside, 90, 200) + rng.normal(0, 12, x.shape)
        files.append(jpeg(Image.fromarray(grey.clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(2))))
    assert found(*files) == []


def test_different_photographs_are_not_near_copies() -> None:
    assert found(*(jpeg(photograph(name, True)) for name in NAMES)) == []


def test_two_parts_of_one_texture_are_not_near_copies() -> None:
    grass = photograph("grass", False)
    tiles = [grass.crop((x, y, x + 128, y + 128)) for x in range(0, 512, 128) for y in range(0, 512, 128)]
    assert found(*map(jpeg, tiles)) == []


def test_a_copy_of_a_copy_is_in_the_group_and_so_are_exact_copies() -> None:
    image, other = photograph("cat", True), photograph("coffee", True)
    files = looked_at(jpeg(image), jpeg(image, 40), jpeg(other), jpeg(image))
    files[3] = Item(Path("again"), "again", "", "b", same="0", thumb=files[0].thumb)
    assert [[item.name for item in group] for group in near_copies(files)] == [["0", "again", "1"]]


def test_exact_copies_alone_are_no_near_copies() -> None:
    item = looked_at(jpeg(photograph("cat", True)))[0]
    assert near_copies([item, item, item]) == []
    assert near_copies([]) == []


@pytest.mark.parametrize("quality", [20, 95])
def test_blank_pages_and_smooth_gradients_do_not_match_each_other(quality: int) -> None:
    flat = [Image.new("RGB", (200, 150), (shade, shade, 240)) for shade in range(0, 250, 25)]
    ramp = np.linspace(60, 180, 200)[None] + np.zeros((150, 1))
    flat += [Image.fromarray((ramp + shift).astype(np.uint8)).convert("RGB") for shift in (0, 10, 20)]
    noise = np.random.default_rng(0).normal(230, 2, (10, 150, 200))
    flat += [Image.fromarray(page.clip(0, 255).astype(np.uint8)).convert("RGB") for page in noise]
    assert found(*(jpeg(page, quality) for page in flat)) == []


def test_a_shared_dark_frame_is_not_taken_for_a_shared_picture() -> None:
    y, x = np.mgrid[:160, :160]
    frame = (x - 80) ** 2 + (y - 80) ** 2 > 76**2
    pictures = []
    for name in ("cat", "coffee", "flower", "tissue", "retina"):
        inside = np.asarray(photograph(name, True).resize((160, 160))) * 0.15 + 180
        pictures.append(jpeg(Image.fromarray(np.where(frame[..., None], 10, inside).astype(np.uint8))))
    assert found(*pictures) == []


def test_hash_ignores_brightness_and_has_as_many_ones_as_zeros() -> None:
    thumbs = np.stack([thumb(jpeg(photograph(name, True))) for name in NAMES])
    dark = (thumbs // 2).astype(np.uint8)
    hashes = perceptual_hash(thumbs)
    assert hashes.dtype == np.uint64
    assert (np.bitwise_count(hashes) == 32).all()
    assert (np.bitwise_count(hashes ^ perceptual_hash(dark + np.uint8(40))) <= DISTANCE).all()


def test_agreement_is_that_of_the_same_picture_perhaps_cropped() -> None:
    cat, coffee = photograph("cat", True), photograph("coffee", True)
    one = np.stack([thumb(jpeg(image)) for image in (cat, cat, cut(cat, 0.06), cat)])
    other = np.stack([thumb(jpeg(image)) for image in (cat, cut(cat, 0.06), cat, coffee)])
    assert agree(one, other).tolist() == [True, True, True, False]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 120), st.integers(0, 16))
def test_close_pairs_are_exactly_those_that_comparing_all_with_all_finds(seed: int, n: int, flips: int) -> None:
    generator = np.random.default_rng(seed)
    hashes = generator.integers(0, 2**64, n, dtype=np.uint64)
    copies = hashes.copy()
    for _ in range(flips):
        copies ^= np.uint64(1) << generator.integers(0, 64, n).astype(np.uint64)
    hashes = np.unique(np.concatenate([hashes, copies]))
    first, second = np.triu_indices(len(hashes), 1)
    near = np.bitwise_count(hashes[first] ^ hashes[second]) <= DISTANCE
    wanted = set(zip(first[near].tolist(), second[near].tolist(), strict=True))
    pairs = close_pairs(hashes)
    assert set(map(tuple, pairs.tolist())) == wanted
    assert len(pairs) == len(wanted)
    assert (np.diff(np.bitwise_count(hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]]).astype(int)) >= 0).all()


def test_a_crowd_of_similar_hashes_gives_pairs_in_proportion_to_its_size() -> None:
    generator = np.random.default_rng(0)
    base = np.repeat(generator.integers(0, 2**64, 1, dtype=np.uint64), 4000)
    for _ in range(5):
        base ^= np.uint64(1) << generator.integers(0, 64, len(base)).astype(np.uint64)
    crowd = np.unique(base)
    pairs = close_pairs(crowd)
    assert len(pairs) < 128 * len(crowd) < len(crowd) * (len(crowd) - 1) / 2
    assert set(pairs.ravel().tolist()) == set(range(len(crowd)))


def test_many_copies_that_all_differ_a_little_are_one_group() -> None:
    picture = thumb(jpeg(photograph("cat", True)))
    noise = np.random.default_rng(0).integers(-3, 4, (3000, 32, 32))
    assert [len(group) for group in found(*(picture + noise).clip(0, 255).astype(np.uint8))] == [3000]


def test_real_hymenoptera_has_no_near_copies_and_finds_those_made_of_it(real_data: Callable[[str], Path]) -> None:
    items = scan(real_data("hymenoptera/hymenoptera_data"), image_size=None).readable
    assert near_copies(items) == []
    again = [jpeg(Image.open(item.path).convert("RGB").resize((240, 180)), 50) for item in items[::20]]
    wide = [jpeg(Image.open(item.path).convert("RGB"), 50) for item in items[::20]]
    assert len(near_copies([*items, *looked_at(*wide)])) == len(wide)
    assert near_copies(looked_at(*again)) == []
