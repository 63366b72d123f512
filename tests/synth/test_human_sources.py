"""Sources of humans, on tiny folders drawn here: every layout, the conversions, the filters, every bad input."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from deocc_bench.core.errors import InputError, UsageError
from deocc_bench.core.images import encode_png
from deocc_bench.core.labels import ATR, CCP, CIHP, LIP
from deocc_bench.synth.humans import HumanFilter, HumanInfo, open_humans
from deocc_bench.synth.humans.ahp import fill_parsing
from deocc_bench.synth.humans.cihp import split_instances
from deocc_bench.synth.plan import make_plan
from deocc_bench.synth.spec import SynthSpec

H, W = 120, 80


def figure(ids: tuple[int, ...], x: int = 30, shape: tuple[int, int] = (H, W)) -> np.ndarray:
    """Stacked blocks, 20 wide, from row 10 to 110: one a label."""
    labels = np.zeros(shape, np.uint8)
    step = 100 // len(ids)
    for i, label in enumerate(ids):
        labels[10 + i * step : 10 + (i + 1) * step, x : x + 20] = label
    return labels


LIP_FIGURE = figure((2, 13, 5, 9, 18))


def photo(path: Path, shape: tuple[int, int] = (H, W)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(path.stem)).integers(0, 255, (*shape, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path


def palette_png(path: Path, labels: np.ndarray, palette: bytes | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(labels, LIP.palette() if palette is None else palette))
    return path


def grey_png(path: Path, labels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(labels).save(path)
    return path


def pair(root: Path, photos: str, labels: str, stem: str, array: np.ndarray = LIP_FIGURE) -> tuple[Path, Path]:
    return photo(root / photos / f"{stem}.jpg", array.shape), palette_png(root / labels / f"{stem}.png", array)


def message(run: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        run()
    text = str(caught.value)
    assert "\n" not in text
    assert "; " in text, "no cure"
    return text


# Layouts and ids


@pytest.mark.parametrize(
    ("photos", "labels", "lists"),
    [
        ("", "", ""),
        ("TrainVal_images/", "TrainVal_parsing_annotations/", "TrainVal_images/"),
        ("LIP/TrainVal_images/", "LIP/TrainVal_parsing_annotations/TrainVal_parsing_annotations/", "LIP/"),
    ],
)
def test_lip_layouts(tmp_path: Path, photos: str, labels: str, lists: str) -> None:
    for split, stem in (("val", "77_2"), ("train", "100034_483681"), ("train", "77_1")):
        pair(tmp_path, f"{photos}{split}_images", f"{labels}{split}_segmentations", stem)
    source = open_humans(f"lip:{tmp_path}")
    assert source.ids() == ["lip-100034_483681", "lip-77_1", "lip-77_2"]
    assert source.group_of("lip-77_1") == source.group_of("lip-77_2") == source.load("lip-77_2").group_id
    assert source.group_of("lip-100034_483681") == "coco-photo-100034"
    # The list decides, wherever the release puts it.
    (tmp_path / lists / "train_id.txt").write_text("100034_483681\n")
    source = open_humans(f"lip:{tmp_path}")
    assert source.ids() == ["lip-100034_483681", "lip-77_2"]
    assert source.describe()["unlisted"] == 1


def test_lip_load_is_exact_and_drops_ignored(tmp_path: Path) -> None:
    labels = LIP_FIGURE.copy()
    labels[0:5, 0:5] = 255
    path, _ = pair(tmp_path, "train_images", "train_segmentations", "1_1", labels)
    human = open_humans(f"lip:{tmp_path}").load("lip-1_1")
    assert human.parsing is not None
    np.testing.assert_array_equal(human.parsing, LIP_FIGURE)
    np.testing.assert_array_equal(human.mask, LIP_FIGURE > 0)
    assert (human.image.shape, human.source, path.stem) == ((H, W, 3), "lip", "1_1")


def test_palette_is_read_as_indices(tmp_path: Path) -> None:
    # Read as grey, these four colours would be 0, 14, 19, 33.
    voc = np.zeros((256, 3), np.uint8)
    voc[:4] = [(0, 0, 0), (48, 0, 0), (0, 33, 0), (48, 33, 0)]
    photo(tmp_path / "images/a.png")
    palette_png(tmp_path / "parsing/a.png", figure((1, 2, 3)), voc.tobytes())
    parsing = open_humans(f"folder:{tmp_path}").load("folder-a").parsing
    assert parsing is not None
    assert np.unique(parsing).tolist() == [0, 1, 2, 3]


def test_grey_labels_are_read_by_value(tmp_path: Path) -> None:
    photo(tmp_path / "images/a.jpg")
    grey_png(tmp_path / "parsing/a.png", LIP_FIGURE)
    np.testing.assert_array_equal(open_humans(f"folder:{tmp_path}").load("folder-a").parsing, LIP_FIGURE)


def test_folder_with_masks(tmp_path: Path) -> None:
    photo(tmp_path / "images/Some Photo.v2.JPG")
    grey_png(tmp_path / "masks/Some Photo.v2.png", (LIP_FIGURE > 0).astype(np.uint8) * 255)
    source = open_humans(f"folder:{tmp_path}")
    human = source.load("folder-Some Photo.v2")
    assert human.parsing is None
    np.testing.assert_array_equal(human.mask, LIP_FIGURE > 0)
    assert source.describe()["name"] == tmp_path.name
    assert str(tmp_path) not in repr(source.describe())


def instances(*people: tuple[int, np.ndarray]) -> np.ndarray:
    values = np.zeros((H, 200), np.uint16)
    for number, labels in people:
        values[labels > 0] = (number - 1) * 20 + labels[labels > 0].astype(np.uint16)
    return values


LEFT = figure((2, 13, 10, 9), x=20, shape=(H, 200))
RIGHT = figure((1, 13, 5, 12), x=120, shape=(H, 200))


@pytest.mark.parametrize(
    ("photos", "labels"),
    [("Images", "Instance_ids"), ("images", "labels"), ("Training/Images", "Training/Instance_ids")],
)
def test_cihp_several_people(tmp_path: Path, photos: str, labels: str) -> None:
    root = tmp_path / "instance-level_human_parsing"
    photo(root / photos / "0000006.jpg", (H, 200))
    grey_png(root / labels / "0000006.png", instances((1, LEFT), (2, RIGHT)).astype(np.uint8))
    photo(tmp_path / "Testing/Images/9.jpg")
    source = open_humans(f"cihp:{tmp_path}")
    assert source.ids() == ["cihp-0000006-1", "cihp-0000006-2"]
    assert {source.group_of(i) for i in source.ids()} == {"cihp-0000006"}
    first, second = source.load("cihp-0000006-1"), source.load("cihp-0000006-2")
    np.testing.assert_array_equal(second.parsing, RIGHT)
    # Torso skin is not LIP's jumpsuit.
    np.testing.assert_array_equal(first.parsing, np.where(LEFT == 10, LIP.index("upper-clothes"), LEFT))
    assert source.peek("cihp-0000006-2").box == (120, 10, 140, 110)
    assert not source.peek("cihp-0000006-1").touches_person


def test_cihp_lists_of_the_release(tmp_path: Path) -> None:
    for split, stem in (("Training", "a"), ("Validation", "b")):
        photo(tmp_path / split / f"Images/{stem}.jpg")
        grey_png(tmp_path / split / f"Instance_ids/{stem}.png", LIP_FIGURE)
    (tmp_path / "Training/train_id.txt").write_text("a\n")
    (tmp_path / "Validation/val_id.txt").write_text("b\n")
    assert open_humans(f"cihp:{tmp_path}").ids() == ["cihp-a-1", "cihp-b-1"]
    assert open_humans(f"cihp:{tmp_path / 'Validation'}").ids() == ["cihp-b-1"]


def test_cihp_categories_and_humans(tmp_path: Path) -> None:
    photo(tmp_path / "Images/a.jpg", (H, 200))
    palette_png(tmp_path / "Category_ids/a.png", LEFT + RIGHT)
    grey_png(tmp_path / "Human_ids/a.png", (LEFT > 0) + np.uint8(2) * (RIGHT > 0))
    source = open_humans(f"cihp:{tmp_path}")
    assert source.ids() == ["cihp-a-1", "cihp-a-2"]
    np.testing.assert_array_equal(source.load("cihp-a-2").parsing, RIGHT)


def test_cihp_people_side_by_side_and_untold(tmp_path: Path) -> None:
    close = figure((1, 13, 5, 12), x=40, shape=(H, 200))
    photo(tmp_path / "images/a.jpg", (H, 200))
    grey_png(tmp_path / "labels/a.png", instances((1, LEFT), (2, close)).astype(np.uint8))
    photo(tmp_path / "images/b.jpg", (H, 200))
    grey_png(tmp_path / "labels/b.png", LEFT + RIGHT)
    source = open_humans(f"cihp:{tmp_path}")
    keep = HumanFilter()
    assert [keep.reject_reason(source.peek(i)) for i in ("cihp-a-1", "cihp-a-2")] == ["borders on another person"] * 2
    assert keep.reject_reason(source.peek("cihp-b-1")) == (
        "suspicious label: several people that the label does not separate"
    )


def test_cihp_sixteen_bits_hold_many_people(tmp_path: Path) -> None:
    photo(tmp_path / "Images/a.jpg", (H, 200))
    grey_png(tmp_path / "Instance_ids/a.png", instances((1, LEFT), (14, RIGHT)))
    source = open_humans(f"cihp:{tmp_path}")
    assert source.ids() == ["cihp-a-1", "cihp-a-14"]
    np.testing.assert_array_equal(source.load("cihp-a-14").parsing, RIGHT)


def test_split_instances() -> None:
    people, categories = split_instances(np.array([[0, 1, 19, 20, 21, 39, 255]]))
    assert people.tolist() == [[0, 1, 1, 0, 2, 2, 0]]
    assert categories.tolist() == [[0, 1, 19, 0, 1, 19, 0]]
    people, categories = split_instances(np.array([[241, 255]]))
    assert (people.tolist(), categories.tolist()) == ([[13, 13]], [[1, 15]])


def test_atr(tmp_path: Path) -> None:
    labels = figure(tuple(range(1, 18)))
    pair(tmp_path / "humanparsing", "JPEGImages", "SegmentationClassAug", "a_b", labels)
    pair(tmp_path / "humanparsing", "JPEGImages", "SegmentationClassAug", "c", figure((2, 11, 4, 6)))
    (tmp_path / "humanparsing/list").mkdir()
    (tmp_path / "humanparsing/list/train_id.txt").write_text("a_b\nJPEGImages/c.jpg SegmentationClassAug/c.png\n")
    source = open_humans(f"atr:{tmp_path}")
    assert source.ids() == ["atr-a_b", "atr-c"]
    parsing = source.load("atr-a_b").parsing
    for name in ATR.names[1:]:
        expected = {"belt": "upper-clothes", "bag": "background"}.get(name, name)
        assert set(parsing[labels == ATR.index(name)]) == {LIP.index(expected)}, name
    assert source.peek("atr-a_b").carries_bag
    assert not source.peek("atr-c").carries_bag
    assert source.peek("atr-c").area == source.load("atr-c").mask.sum()


def test_ahp(tmp_path: Path) -> None:
    root = tmp_path / "AHP/train"
    mask = np.zeros((H, W), np.uint8)
    mask[10:110, 28:52] = 255
    for stem in ("one", "two"):
        photo(root / f"JPEGImages/{stem}.jpg")
        grey_png(root / f"Annotations/{stem}.png", mask)
    palette_png(root / "PseudoParsingAnnotations/one.png", figure((2, 13, 5, 9, 18), x=25))
    (root / "ImageSets").mkdir()
    (root / "ImageSets/train.txt").write_text("one\n")
    (root / "ImageSets/val.txt").write_text("two\n")
    source = open_humans(f"ahp:{tmp_path / 'AHP'}")
    assert source.ids() == ["ahp-one", "ahp-two"]
    human = source.load("ahp-one")
    np.testing.assert_array_equal(human.mask, mask > 0)
    # The strip that the pseudo parsing misses takes the label beside it; the strip outside the mask is gone.
    np.testing.assert_array_equal(human.parsing[:, 51], human.parsing[:, 40])
    assert not human.parsing[:, 25:28].any()
    assert source.load("ahp-two").parsing is None


def test_fill_parsing_takes_the_nearest_label() -> None:
    parsing = np.zeros((1, 9), np.uint8)
    parsing[0, 1], parsing[0, 7] = 5, 9
    filled = fill_parsing(parsing, np.ones((1, 9), bool))[0].tolist()
    # Column 4 is as far from the one as from the other.
    assert filled[:4] == [5] * 4
    assert filled[5:] == [9] * 4
    assert filled[4] in (5, 9)


def ccp_pair(root: Path, stem: str, labels: np.ndarray) -> None:
    photo(root / f"photos/{stem}.jpg", (labels.shape[0], labels.shape[1]))
    folder = root / "annotations/pixel-level"
    folder.mkdir(parents=True, exist_ok=True)
    savemat(folder / f"{stem}.mat", {"groundtruth": labels})
    cell = np.empty((1, CCP.size), object)
    cell[0] = [np.array(n) for n in CCP.names]
    savemat(root / "label_list.mat", {"label_list": cell})


CCP_FIGURE = figure(tuple(CCP.index(n) for n in ("hair", "skin", "shirt", "jeans", "shoes")))


def test_ccp_leaves_out_photos_with_tags_only(tmp_path: Path) -> None:
    ccp_pair(tmp_path, "0001", CCP_FIGURE)
    photo(tmp_path / "photos/0002.jpg")
    source = open_humans(f"ccp:{tmp_path}")
    assert source.ids() == ["ccp-0001", "ccp-0002"]
    assert "without label" in message(lambda: source.peek("ccp-0002"))
    (tmp_path / "annotations/image-level").mkdir()
    savemat(tmp_path / "annotations/image-level/0002.mat", {"tags": np.array([1])})
    assert open_humans(f"ccp:{tmp_path}").ids() == ["ccp-0001"]


# What every source promises


def make_all(root: Path) -> dict[str, str]:
    """One folder of each kind with the human `x`; returns kind -> its id."""
    pair(root / "lip", "train_images", "train_segmentations", "x")
    pair(root / "folder", "images", "parsing", "x")
    pair(root / "atr", "JPEGImages", "SegmentationClassAug", "x", figure((2, 11, 4, 6)))
    pair(root / "ahp", "JPEGImages", "Annotations", "x", (LIP_FIGURE > 0).astype(np.uint8))
    pair(root / "cihp", "Images", "Instance_ids", "x")
    ccp_pair(root / "ccp", "x", CCP_FIGURE)
    return {k: f"{k}-x" for k in ("lip", "folder", "atr", "ahp", "ccp")} | {"cihp": "cihp-x-1"}


def label_path(root: Path, kind: str) -> Path:
    (found,) = [p for p in (root / kind).rglob("x.*") if p.suffix in (".png", ".mat")]
    return found


KINDS = ("lip", "folder", "atr", "ahp", "cihp", "ccp")


@pytest.mark.parametrize("kind", KINDS)
def test_peek_agrees_with_load_and_survives_pickling(tmp_path: Path, kind: str) -> None:
    human_id = make_all(tmp_path)[kind]
    source = pickle.loads(pickle.dumps(open_humans(f"{kind}:{tmp_path / kind}")))
    assert (source.ids(), source.kind) == ([human_id], kind)
    info, human = source.peek(human_id), source.load(human_id)
    ys, xs = np.nonzero(human.mask)
    assert info.box == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
    assert (info.area, info.size, info.id) == (human.mask.sum(), human.mask.shape, human.id)
    assert info.group_id == source.group_of(human_id) == human.group_id
    assert HumanFilter().reject_reason(info) is None
    assert {"kind", "name", "count", "licence", "home"} <= set(source.describe())


@pytest.mark.parametrize("kind", KINDS)
def test_broken_photo_or_label(tmp_path: Path, kind: str) -> None:
    human_id = make_all(tmp_path)[kind]
    source = open_humans(f"{kind}:{tmp_path / kind}")
    (jpeg,) = (tmp_path / kind).rglob("x.jpg")
    whole = jpeg.read_bytes()

    jpeg.write_bytes(whole[: len(whole) // 2])
    for run in (source.peek, source.load):
        text = message(lambda run=run: run(human_id))
        assert "x.jpg" in text
        assert "truncated" in text
    photo(jpeg, (H + 1, W))
    text = message(lambda: source.peek(human_id))
    assert label_path(tmp_path, kind).name in text
    assert f"{W} x {H + 1}" in text
    jpeg.unlink()
    assert "label without photo" in message(lambda: source.peek(human_id))

    photo(jpeg)
    label = label_path(tmp_path, kind)
    content = label.read_bytes()
    label.write_bytes(content[: len(content) // 2])
    assert label.name in message(lambda: source.peek(human_id))
    label.unlink()
    assert "photo without label" in message(lambda: source.peek(human_id))


@pytest.mark.parametrize("kind", KINDS)
def test_empty_label_is_rejected_and_never_loaded(tmp_path: Path, kind: str) -> None:
    make_all(tmp_path)
    label = label_path(tmp_path, kind)
    if kind == "ccp":
        savemat(label, {"groundtruth": np.zeros((H, W), np.uint8)})
    else:
        palette_png(label, np.zeros((H, W), np.uint8))
    source = open_humans(f"{kind}:{tmp_path / kind}")
    (human_id,) = source.ids()
    assert HumanFilter().reject_reason(source.peek(human_id)) == "empty label"
    assert "empty label" in message(lambda: source.load(human_id))


@pytest.mark.parametrize(("kind", "bad"), [("lip", 20), ("folder", 20), ("atr", 18), ("ccp", 59)])
def test_ids_out_of_range(tmp_path: Path, kind: str, bad: int) -> None:
    human_id = make_all(tmp_path)[kind]
    label = label_path(tmp_path, kind)
    labels = figure((1, bad))
    if kind == "ccp":
        savemat(label, {"groundtruth": labels})
    else:
        palette_png(label, labels)
    source = open_humans(f"{kind}:{tmp_path / kind}")
    text = message(lambda: source.peek(human_id))
    assert label.name in text
    assert f"label id {bad} is out of range" in text


def test_cihp_category_out_of_range_is_listed_and_told(tmp_path: Path) -> None:
    photo(tmp_path / "Images/a.jpg")
    palette_png(tmp_path / "Category_ids/a.png", figure((1, 20)))
    source = open_humans(f"cihp:{tmp_path}")
    assert source.ids() == ["cihp-a-0"]
    assert "label id 20 is out of range: CIHP" in message(lambda: source.peek("cihp-a-0"))


@pytest.mark.parametrize("kind", ["lip", "folder", "atr", "cihp"])
def test_colour_label_is_refused(tmp_path: Path, kind: str) -> None:
    make_all(tmp_path)
    label = label_path(tmp_path, kind)
    Image.fromarray(np.zeros((H, W, 3), np.uint8)).save(label)
    source = open_humans(f"{kind}:{tmp_path / kind}")
    text = message(lambda: source.peek(source.ids()[0]))
    assert label.name in text
    assert "RGB" in text


def test_listing_order_and_added_photos_change_nothing(tmp_path: Path) -> None:
    for stem in ("c", "a", "b"):
        pair(tmp_path / "one", "images", "parsing", stem)
    for stem in ("b", "c", "a", "d"):
        pair(tmp_path / "two", "images", "parsing", stem)
    one, two = (open_humans(f"folder:{tmp_path / n}") for n in ("one", "two"))
    assert one.ids() == two.ids()[:3] == ["folder-a", "folder-b", "folder-c"]
    assert one.peek("folder-a") == two.peek("folder-a")


def test_wrong_folders(tmp_path: Path) -> None:
    make_all(tmp_path)
    with pytest.raises(UsageError, match="did you mean 'cihp'"):
        open_humans("cipp:somewhere")
    with pytest.raises(UsageError, match="lip:PATH"):
        open_humans("lip")
    with pytest.raises(UsageError, match="mannequin:100"):
        open_humans("mannequin:many")
    assert "no such folder" in message(lambda: open_humans(f"lip:{tmp_path / 'nowhere'}"))
    text = message(lambda: open_humans(f"lip:{tmp_path / 'atr'}"))
    assert "looked for train_images/ with train_segmentations/" in text
    assert "try --humans atr:" in text
    (tmp_path / "empty/images").mkdir(parents=True)
    (tmp_path / "empty/parsing").mkdir()
    assert "no photos" in message(lambda: open_humans(f"folder:{tmp_path / 'empty'}"))
    (tmp_path / "lip/val_images").mkdir()
    assert "no val_segmentations/" in message(lambda: open_humans(f"lip:{tmp_path / 'lip'}"))


def test_one_stem_twice(tmp_path: Path) -> None:
    pair(tmp_path, "images", "parsing", "a")
    photo(tmp_path / "images/a.png")
    source = open_humans(f"folder:{tmp_path}")
    assert "a.png too" in message(lambda: source.peek("folder-a"))
    for split in ("train", "val"):
        pair(tmp_path / "lip", f"{split}_images", f"{split}_segmentations", "1_1")
    assert "1_1 is in" in message(lambda: open_humans(f"lip:{tmp_path / 'lip'}"))


def test_a_listed_human_without_files(tmp_path: Path) -> None:
    pair(tmp_path, "train_images", "train_segmentations", "1_1")
    (tmp_path / "train_id.txt").write_text("1_1\n2_1\n")
    source = open_humans(f"lip:{tmp_path}")
    assert source.ids() == ["lip-1_1", "lip-2_1"]
    assert "neither photo nor label" in message(lambda: source.peek("lip-2_1"))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("/etc/hostname", "'/etc/hostname' leads out of the folder"),
        ("../../secret.jpg", "'../../secret.jpg' leads out of the folder"),
        ("images/../2_1", "'images/../2_1' leads out of the folder"),
        ("..", "'..' leads out of the folder"),
        (".", "'.' leads out of the folder"),
        ("..\\2_1", "leads out of the folder"),
        ("2_1\0", "is on a line with a control character"),
        ("2_1\x1b[31m", "is on a line with a control character"),
        ("2_1\x0b3_1", "is on a line with a control character"),
        ("2_1\u20283_1", "is on a line with a control character"),
        ("n" * 400, "is too long for a file name"),
        ("é" * 130, "is too long for a file name"),
    ],
)
def test_a_list_line_that_is_no_plain_name(tmp_path: Path, line: str, problem: str) -> None:
    pair(tmp_path, "train_images", "train_segmentations", "1_1")
    pair(tmp_path, "train_images", "train_segmentations", "2_1")
    path = tmp_path / "train_id.txt"
    path.write_text(f"1_1\n\n{line}\n", encoding="utf-8")
    source = pickle.loads(pickle.dumps(open_humans(f"lip:{tmp_path}")))
    assert source.ids() == ["lip-1_1", "lip-train_id.txt-line-3"]
    assert source.load("lip-1_1").mask.any()
    for run in (source.peek, source.load):
        text = message(lambda run=run: run("lip-train_id.txt-line-3"))
        assert text.startswith(f"{path}, line 3: ")
        assert problem in text
        assert len(text) < 500
        assert text.isprintable()


def test_unsafe_list_lines_in_a_run(tmp_path: Path) -> None:
    for stem in ("1_1", "2_1"):
        pair(tmp_path / "lip", "train_images", "train_segmentations", stem)
    (tmp_path / "lip/train_id.txt").write_text("1_1\n../../secret\n2_1\n")
    spec = SynthSpec(humans=(f"lip:{tmp_path / 'lip'}",), occluders=("shapes:5",), min_height=50, allow_cut=True)
    text = message(lambda: make_plan(spec))
    assert "train_id.txt, line 2: '../../secret' leads out of the folder; " in text
    plan = make_plan(spec, skip_bad=True)
    assert [entry.id for entry in plan.accepted] == ["lip-1_1", "lip-2_1"]
    assert ("human", "lip-train_id.txt-line-2", "bad input: '../../secret' leads out of the folder") in plan.rejected


def test_a_list_that_is_a_pipe(tmp_path: Path) -> None:
    pair(tmp_path, "train_images", "train_segmentations", "1_1")
    os.mkfifo(tmp_path / "train_id.txt")
    assert "train_id.txt: not a regular file" in message(lambda: open_humans(f"lip:{tmp_path}"))


# Filters


def info(**changes: object) -> HumanInfo:
    values: dict[str, object] = {
        "id": "a",
        "group_id": "a",
        "size": (400, 300),
        "box": (50, 50, 150, 350),
        "area": 9000,
    }
    return HumanInfo(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"area": 0, "box": None}, "empty label"),
        ({"box": (0, 50, 150, 350)}, "cut by the frame"),
        ({"box": (50, 50, 299, 350)}, "cut by the frame"),
        ({"box": (50, 50, 298, 350)}, None),
        ({"carries_bag": True}, "carries a bag"),
        ({"touches_person": True}, "borders on another person"),
        ({"box": (50, 50, 150, 145)}, "too small (height 95 px, at least 96 wanted)"),
        ({"area": 999}, "too small (area 999 px, at least 1000 wanted)"),
        ({"defects": ("a shadow",), "carries_bag": True}, "suspicious label: a shadow"),
        ({"defects": ("a shadow",), "box": (0, 50, 150, 350)}, "suspicious label: a shadow; cut by the frame"),
    ],
)
def test_reject_reason(changes: dict[str, object], reason: str | None) -> None:
    assert HumanFilter().reject_reason(info(**changes)) == reason


def test_filters_can_be_opened() -> None:
    assert HumanFilter(allow_bags=True).reject_reason(info(carries_bag=True)) is None
    assert HumanFilter(allow_defects=True).reject_reason(info(defects=("a shadow",))) is None
    cut = info(box=(0, 50, 150, 350), touches_person=True)
    assert HumanFilter(integrated_only=False).reject_reason(cut) is None
    assert HumanFilter(min_height=301).reject_reason(info()) is not None


@pytest.mark.slow
def test_drawn_humans() -> None:
    source = pickle.loads(pickle.dumps(open_humans("mannequin:2", seed=5)))
    assert source.ids() == sorted(source.ids())
    assert len(source.ids()) == source.describe()["count"] == 2
    first = source.ids()[0]
    seen, human = source.peek(first), source.load(first)
    assert (seen.area, seen.group_id) == (human.mask.sum(), human.group_id)
    assert first.startswith("mannequin-")
    other = open_humans("mannequin:2", seed=6).load(first)
    assert not np.array_equal(other.image, human.image)


def test_cihp_figures_use_torso_skin() -> None:
    # The fixtures above rest on it.
    assert CIHP.names[10] == "torso-skin"


@pytest.mark.parametrize("stem", ["a\nb", "\x1b[2J", "x" * 199, "a\\b"])
def test_a_photo_whose_name_can_not_be_a_sample_is_refused_or_listed(tmp_path: Path, stem: str) -> None:
    root = tmp_path / "in"
    for name in ("good", stem):
        photo(root / f"images/{name}.png")
        palette_png(root / f"parsing/{name}.png", figure((5, 9)))
    spec = SynthSpec((f"folder:{root}",), ("shapes:10",), size=64, min_height=10, splits={"test": 1.0})
    with pytest.raises(InputError, match="can't be part of a file name") as caught:
        make_plan(spec)
    assert "\n" not in str(caught.value)
    plan = make_plan(spec, skip_bad=True)
    assert [e.id for e in plan.accepted] == ["folder-good"]
    assert any("can't be part of a file name" in reason for _, _, reason in plan.rejected)


# Masks and photos that are not stored as they are shown


def soft_mask(path: Path, mask: np.ndarray) -> None:
    """White on the person, 160 on its left edge, 100 on the three columns to the left of it."""
    levels = np.where(mask, 255, 0).astype(np.uint8)
    x = int(np.flatnonzero(mask.any(axis=0))[0])
    rows = mask.any(axis=1)
    levels[rows, x], levels[rows, x - 3 : x] = 160, 100
    grey_png(path, levels)


@pytest.mark.parametrize(
    ("kind", "photos", "labels"), [("folder", "images", "masks"), ("ahp", "JPEGImages", "Annotations")]
)
def test_soft_masks_are_read_at_half_and_noted(tmp_path: Path, kind: str, photos: str, labels: str) -> None:
    photo(tmp_path / photos / "a.jpg")
    photo(tmp_path / photos / "b.jpg")
    soft_mask(tmp_path / labels / "a.png", LIP_FIGURE > 0)
    grey_png(tmp_path / labels / "b.png", (LIP_FIGURE > 0).astype(np.uint8))
    source = open_humans(f"{kind}:{tmp_path}")
    assert [source.peek(f"{kind}-{i}").soft for i in "ab"] == [True, False]
    for i in "ab":
        assert np.array_equal(source.load(f"{kind}-{i}").mask, LIP_FIGURE > 0)


def test_unknown_pixels_of_ahp_are_not_the_person(tmp_path: Path) -> None:
    photo(tmp_path / "JPEGImages/a.jpg")
    ids = (LIP_FIGURE > 0).astype(np.uint8)
    ids[:, :10] = 255
    grey_png(tmp_path / "Annotations/a.png", ids)
    assert np.array_equal(open_humans(f"ahp:{tmp_path}").load("ahp-a").mask, LIP_FIGURE > 0)
    grey_png(tmp_path / "Annotations/a.png", np.where(LIP_FIGURE > 0, np.uint8(255), np.uint8(0)))
    assert np.array_equal(open_humans(f"ahp:{tmp_path}").load("ahp-a").mask, LIP_FIGURE > 0)
    rainbow = np.random.default_rng(0).integers(0, 255, (H, W, 3), dtype=np.uint8)
    Image.fromarray(rainbow).save(tmp_path / "Annotations/a.png")
    assert "colour picture" in message(lambda: open_humans(f"ahp:{tmp_path}").peek("ahp-a"))


def turn(path: Path) -> None:
    """Store a photo with the EXIF orientation 6; viewers show it as before."""
    shown = np.asarray(Image.open(path))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.ascontiguousarray(np.rot90(shown))).save(path, exif=exif, quality=95)


@pytest.mark.parametrize(("kind", "photos", "labels"), [("folder", "images", "parsing"), ("cihp", "images", "labels")])
def test_turned_photos_are_upright_and_noted(tmp_path: Path, kind: str, photos: str, labels: str) -> None:
    picture, label = pair(tmp_path, photos, labels, "a")
    upright = open_humans(f"{kind}:{tmp_path}")
    (human_id,) = upright.ids()
    before = upright.load(human_id)
    assert not upright.peek(human_id).turned
    turn(picture)
    source = open_humans(f"{kind}:{tmp_path}")
    assert source.peek(human_id).turned
    after = source.load(human_id)
    assert after.image.shape == (H, W, 3)
    assert np.abs(after.image.astype(int) - before.image).mean() < 12
    palette_png(label, np.ascontiguousarray(np.rot90(LIP_FIGURE)))
    for read in (source.peek, source.load):
        assert "before the EXIF orientation (6)" in message(lambda read=read: read(human_id))


@pytest.mark.parametrize("value", [-1, 65_536, 2**31 - 1])
def test_wide_instance_values_are_bounded(tmp_path: Path, value: int) -> None:
    photo(tmp_path / "Images/a.jpg")
    wide = np.where(LIP_FIGURE > 0, value, 0).astype(np.int32)
    label = tmp_path / "Instance_ids/a.tif"
    label.parent.mkdir()
    Image.fromarray(wide).save(label)
    label.rename(label.with_suffix(".png"))
    source = open_humans(f"cihp:{tmp_path}")
    assert source.ids() == ["cihp-a-0"]
    assert "beyond 16 bits" in message(lambda: source.peek("cihp-a-0"))


def test_wide_categories_do_not_wrap(tmp_path: Path) -> None:
    photo(tmp_path / "Images/a.jpg")
    grey_png(tmp_path / "Category_ids/x.png", np.zeros((1, 1), np.uint8)).unlink()
    Image.fromarray(np.where(LIP_FIGURE > 0, 256 + 5, 0).astype(np.uint16)).save(tmp_path / "Category_ids/a.png")
    source = open_humans(f"cihp:{tmp_path}")
    assert "label id 261 is out of range" in message(lambda: source.peek("cihp-a-0"))
