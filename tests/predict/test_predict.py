"""`predict`: a photo of any size in, the whole person out; what was seen stays as it was, to the bit."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from deocc_bench.core import images, mask_files
from deocc_bench.core.errors import DeoccError, UsageError
from deocc_bench.core.types import Batch, ContentOutput, MaskOutput
from deocc_bench.core.window import Window, cut
from deocc_bench.methods.loading import Method, load_method
from deocc_bench.predict.predict_command import predict
from deocc_bench.predict.recovery import _grow_mask, _paste, _shrink_mask, recover_person, together

RED = (255, 0, 0)


class Below:
    """Completes a person to the bottom of a column of fixed width, and paints it red; notes what it was shown."""

    name = "below"
    needs = ("initial",)

    def __init__(self, refine: int = 0) -> None:
        self.refine = refine
        self.shown: list[Batch] = []

    def complete(self, batch: Batch) -> MaskOutput:
        self.shown.append(batch)
        assert batch.initial is not None
        columns = batch.initial.any(axis=1, keepdims=True)
        first = batch.initial.argmax(axis=1)[:, None, :]
        rows = np.arange(batch.initial.shape[1])[None, :, None]
        amodal = columns & (rows >= first) & (rows < first + 2 * batch.initial.sum(axis=1).max())
        modal = None
        if self.refine:
            kernel = np.ones((self.refine, self.refine), np.uint8)
            modal = np.stack([cv2.erode(m.astype(np.uint8), kernel) > 0 for m in batch.initial])
        return MaskOutput(amodal | batch.initial, modal)

    def recover(self, batch: Batch) -> ContentOutput:
        self.shown.append(batch)
        assert batch.amodal is not None
        assert batch.modal is not None
        out = batch.images.copy()
        out[batch.amodal & ~batch.modal] = RED
        return ContentOutput(out)


def method(instance: object) -> Method:
    return Method("test", "test", "test:Test", instance)


def scene(height: int = 300, width: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """A noisy photo and a visible upper body in it."""
    photo = np.random.default_rng(0).integers(0, 200, (height, width, 3), dtype=np.uint8)
    mask = np.zeros((height, width), bool)
    mask[height // 5 : height // 2, width // 3 : width // 2] = True
    return photo, mask


def whole_scene(height: int = 300, width: int = 400) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[height // 5 : height // 5 + 2 * (height // 2 - height // 5), width // 3 : width // 2] = True
    return mask


@pytest.mark.parametrize("size", [(300, 400), (1200, 900), (60, 50), (301, 777)])
@pytest.mark.parametrize("exact", [False, True])
def test_only_the_hidden_part_changes_at_any_size(size: tuple[int, int], exact: bool) -> None:
    photo, mask = scene(*size)
    found = recover_person(method(Below()), photo, mask, size=128, exact=exact)
    assert found.image is not None
    assert np.array_equal(found.image[~found.invisible], photo[~found.invisible])
    assert np.array_equal(found.modal, mask)
    # Neither occluder nor background bleeds in; at the seam the seen part of the person may.
    reach = 2 * int(3 * found.window.side / 128 + 2) + 1
    seam = cv2.dilate(mask.astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0
    painted = found.image[found.invisible & ~seam]
    assert len(painted) > 50
    assert np.all(painted == RED)
    wanted = whole_scene(*size)
    assert (found.amodal & wanted).sum() / (found.amodal | wanted).sum() > 0.93


def test_a_coarse_outline_paints_no_rim_about_a_sharp_person() -> None:
    photo, mask = scene(900, 1200)
    y, x = np.indices(mask.shape)
    # An outline that the working size can't follow.
    mask &= (x + 3 * (y // 7 % 2)) % 97 > 1
    found = recover_person(load_method("chain:initial+copy"), photo, mask, size=64, exact=True)
    assert np.array_equal(found.amodal, mask)
    assert found.image is not None
    assert np.array_equal(found.image, photo)
    assert found.hidden_share == 0


def test_no_gap_is_left_between_seen_and_hidden() -> None:
    photo, mask = scene(900, 1200)
    found = recover_person(method(Below()), photo, mask, size=64, exact=True)
    column = found.amodal[:, 900 // 2 - 200 + 250]
    assert column.any()
    rows = np.flatnonzero(column)
    assert len(rows) == rows[-1] - rows[0] + 1


def test_a_refined_visible_part_is_used_unless_the_mask_is_exact() -> None:
    photo, mask = scene()
    refined = recover_person(method(Below(refine=9)), photo, mask)
    exact = recover_person(method(Below(refine=9)), photo, mask, exact=True)
    assert refined.modal.sum() < mask.sum()
    assert not np.any(refined.modal & ~mask)
    assert np.array_equal(exact.modal, mask)
    assert np.array_equal(exact.image[mask], photo[mask])  # type: ignore[index]


def test_it_looks_again_at_the_window_of_the_whole_person() -> None:
    photo, mask = scene(800, 800)
    seer = Below()
    found = recover_person(method(seer), photo, mask, size=64)
    assert len(seer.shown) >= 3
    box = np.argwhere(found.amodal)
    height, width = np.ptp(box, axis=0) + 1
    side = max(np.sqrt(3 * height * width), 1.1 * height, 1.1 * width)
    assert found.window.side == pytest.approx(side, rel=0.1)


def test_people_do_not_change_each_other() -> None:
    photo, first = scene()
    second = np.zeros_like(first)
    second[200:260, 120:190] = True  # stands where the first one's hidden part is
    alone = [recover_person(method(Below()), photo, m, exact=True) for m in (first, second)]
    assert np.any(alone[0].invisible & second)
    both = together(photo, alone, [first, second])
    swapped = together(photo, alone[::-1], [second, first])
    assert np.array_equal(both[first | second], photo[first | second])
    assert np.array_equal(both, swapped)
    assert np.array_equal(
        both[~(alone[0].invisible | alone[1].invisible)], photo[~(alone[0].invisible | alone[1].invisible)]
    )


def test_nothing_is_painted_where_no_occluder_stands() -> None:
    photo, mask = scene()
    hiding = np.zeros_like(mask)
    hiding[150:190] = True
    found = recover_person(method(Below()), photo, mask, hiding=hiding)
    assert found.invisible.any()
    assert not np.any(found.invisible & ~hiding)


def test_a_known_whole_person_needs_no_mask_method() -> None:
    photo, mask = scene()
    whole = whole_scene()
    found = recover_person(load_method("telea"), photo, mask, whole=whole)
    assert np.array_equal(found.amodal, whole)
    assert found.image is not None
    assert np.array_equal(found.image[~found.invisible], photo[~found.invisible])
    assert not np.array_equal(found.image[found.invisible], photo[found.invisible])


def test_a_person_at_the_edge_and_a_single_pixel() -> None:
    photo, mask = scene()
    edge = np.zeros_like(mask)
    edge[250:, 380:] = True
    dot = np.zeros_like(mask)
    dot[7, 9] = True
    for m in (edge, dot):
        found = recover_person(method(Below()), photo, m, size=64, exact=True)
        assert np.array_equal(found.modal, m)
        assert found.image.shape == photo.shape  # type: ignore[union-attr]


@pytest.mark.slow
def test_the_network_runs_on_a_photo_and_keeps_what_is_seen() -> None:
    photo, mask = scene(200, 150)
    network = load_method("two-stage", {"size": 128}, "cpu")
    found = recover_person(network, photo, mask, size=128, exact=True)
    assert found.image is not None
    assert np.array_equal(found.image[~found.invisible], photo[~found.invisible])


class Random(Below):
    samples = 3

    def complete(self, batch: Batch, seed: int) -> MaskOutput:  # type: ignore[override]
        self.seed = seed
        return super().complete(batch)

    def recover(self, batch: Batch, seed: int) -> ContentOutput:  # type: ignore[override]
        return ContentOutput(np.full_like(batch.images, seed % 251))


def test_a_random_method_is_given_its_seed() -> None:
    photo, mask = scene()
    one, same, other = (recover_person(method(Random()), photo, mask, seed=s).image for s in (0, 0, 1))
    assert np.array_equal(one, same)  # type: ignore[arg-type]
    assert not np.array_equal(one, other)  # type: ignore[arg-type]


class Broken(Below):
    def complete(self, batch: Batch) -> MaskOutput:
        raise ValueError("two\nlines")


class Nobody(Below):
    def complete(self, batch: Batch) -> MaskOutput:
        nothing = np.zeros_like(batch.initial)
        return MaskOutput(nothing, nothing)


@pytest.mark.parametrize(("instance", "says"), [(Broken(), "ValueError: two lines"), (Nobody(), "finds nobody")])
def test_a_method_that_fails_is_one_line(instance: object, says: str) -> None:
    with pytest.raises(DeoccError, match=says) as caught:
        recover_person(method(instance), *scene())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["telea", "oracle", "modal"])
def test_methods_that_do_not_fit_a_photo_say_why(name: str) -> None:
    photo, mask = scene()
    if name == "modal":
        # What is seen is all it needs; it paints nothing.
        assert recover_person(load_method(name), photo, mask).image is None
        with pytest.raises(UsageError, match="only completes masks"):
            recover_person(load_method(name), photo, mask, whole=mask)
        return
    with pytest.raises(UsageError, match=r"--method|--amodal"):
        recover_person(load_method(name), photo, mask)


@settings(max_examples=40, deadline=None)
@given(x=st.integers(-40, 60), y=st.integers(-40, 60), side=st.integers(1, 90))
def test_paste_is_the_inverse_of_cut(x: int, y: int, side: int) -> None:
    photo = np.random.default_rng(1).integers(1, 255, (50, 40, 3), dtype=np.uint8)
    where = Window(x, y, side)
    back = _paste(cut(photo, where), where, photo.shape)
    inside = np.zeros((50, 40), bool)
    inside[max(0, y) : max(0, y + side), max(0, x) : max(0, x + side)] = True
    assert np.array_equal(back[inside], photo[inside])
    assert not back[~inside].any()


@pytest.mark.parametrize("side", [64, 256, 640])
def test_a_mask_survives_the_way_to_the_working_size_and_back(side: int) -> None:
    mask = np.zeros((700, 700), np.uint8)
    cv2.circle(mask, (40 + side // 2, 30 + side // 2), side // 3, 1, -1)
    where = Window(40, 30, side)
    back = _grow_mask(_shrink_mask(mask > 0, where, 128), where, mask.shape)
    assert (back & (mask > 0)).sum() / (back | (mask > 0)).sum() > 0.97


# --- the command ---


@pytest.fixture
def files(tmp_path: Path) -> Path:
    photo, mask = scene()
    images.write_png(tmp_path / "photo.png", photo)
    images.write_png(tmp_path / "mask.png", mask)
    images.write_png(tmp_path / "other.png", np.roll(mask, (60, 90), (0, 1)))
    images.write_png(tmp_path / "whole.png", whole_scene())
    return tmp_path


def call(folder: Path, *arguments: str, method: str = "chain:convex-hull+telea", out: str = "out") -> Result:
    given = [a if a.startswith("-") or not (folder / a).suffix else str(folder / a) for a in arguments]
    return CliRunner().invoke(predict, [*given, "--out", str(folder / out), "--method", method])


def test_the_files_of_one_person(files: Path) -> None:
    done = call(files, "photo.png", "--mask", "mask.png", "--amodal", "whole.png", method="telea")
    assert done.exit_code == 0, done.exception
    out = files / "out"
    names = {"amodal.png", "modal.png", "invisible.png", "recovered.png", "cutout.png", "panel.png", "predict.json"}
    assert {p.name for p in out.iterdir()} == names
    amodal, modal, invisible = (mask_files.read_mask(out / f"{n}.png") for n in ("amodal", "modal", "invisible"))
    assert np.array_equal(invisible, amodal & ~modal)
    recovered = images.read_rgb(out / "recovered.png")
    cutout = images.read_rgba(out / "cutout.png")
    report = json.loads((out / "predict.json").read_text())
    (person,) = report["people"]
    x, y = person["cutout_corner"]
    h, w = cutout.shape[:2]
    assert np.array_equal(cutout[..., 3] == 255, amodal[y : y + h, x : x + w])
    assert np.array_equal(cutout[..., :3][cutout[..., 3] > 0], recovered[amodal])
    assert not cutout[cutout[..., 3] == 0].any()
    assert person["hidden_share"] == pytest.approx(invisible.sum() / amodal.sum())
    assert report["method"]["name"] == "telea"
    assert f"{person['hidden_share']:.1%} of the person is hidden" in done.output


def test_the_files_of_several_people(files: Path) -> None:
    done = call(files, "photo.png", "--mask", "mask.png", "--mask", "other.png")
    assert done.exit_code == 0, done.exception
    out = files / "out"
    assert {p.name for p in out.iterdir()} == {"person-1", "person-2", "recovered.png", "panel.png", "predict.json"}
    assert (out / "person-2" / "cutout.png").is_file()
    assert [p["folder"] for p in json.loads((out / "predict.json").read_text())["people"]] == ["person-1", "person-2"]


def test_a_mask_method_writes_no_content(files: Path) -> None:
    done = call(files, "photo.png", "--mask", "mask.png", method="convex-hull")
    assert done.exit_code == 0, done.exception
    assert not (files / "out" / "recovered.png").exists()
    assert (files / "out" / "amodal.png").exists()


def _write(folder: Path, name: str, array: np.ndarray) -> None:
    Image.fromarray(array).save(folder / name)


def test_bad_input_is_one_line_that_names_the_cure(files: Path) -> None:
    _, mask = scene()
    images.write_png(files / "small.png", mask[:-1])
    images.write_png(files / "turned.png", np.ascontiguousarray(mask.T))
    images.write_png(files / "empty.png", np.zeros_like(mask))
    labels = mask.astype(np.uint8)
    labels[:5] = 2
    _write(files, "labels.png", labels)
    (files / "text.png").write_text("no picture")
    (files / "cut.png").write_bytes((files / "photo.png").read_bytes()[:-40])
    cases: list[tuple[tuple[str, ...], str]] = [
        (("photo.png",), "--mask MASK"),
        (("missing.png", "--mask", "mask.png"), "no such file"),
        (("text.png", "--mask", "mask.png"), "not an image"),
        (("cut.png", "--mask", "mask.png"), "truncated"),
        (("photo.png", "--mask", "missing.png"), "no such file"),
        (("photo.png", "--mask", "small.png"), "the mask is 400 x 299, but the photo is 400 x 300"),
        (("photo.png", "--mask", "turned.png"), "turn it upright"),
        (("photo.png", "--mask", "empty.png"), "the mask is empty"),
        (("photo.png", "--mask", "photo.png"), "a colour picture"),
        (("photo.png", "--mask", "labels.png"), "several labels"),
        (("photo.png", "--mask", "mask.png", "--mask", "other.png", "--amodal", "whole.png"), "one --amodal for each"),
    ]
    for arguments, says in cases:
        done = call(files, *arguments)
        assert isinstance(done.exception, DeoccError), (arguments, done.exception)
        assert says in str(done.exception), str(done.exception)
        assert "\n" not in str(done.exception)
        assert "--skip-bad" not in str(done.exception)
        assert not (files / "out").exists()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nearest-template", "--fit-data"),
        ("oracle", "no truth|has none"),
        ("telea", "--amodal"),
        ("tela", "did you mean"),
    ],
)
def test_methods_that_can_not_run_say_what_to_give(files: Path, name: str, says: str) -> None:
    done = call(files, "photo.png", "--mask", "mask.png", method=name)
    assert isinstance(done.exception, UsageError)
    assert any(s in str(done.exception) for s in says.split("|")), str(done.exception)


def test_a_folder_with_files_is_not_written_to(files: Path) -> None:
    (files / "out").mkdir()
    (files / "out" / "mine.txt").write_text("keep")
    done = call(files, "photo.png", "--mask", "mask.png")
    assert isinstance(done.exception, UsageError)
    assert [p.name for p in (files / "out").iterdir()] == ["mine.txt"]


def test_masks_as_painting_programs_save_them(files: Path) -> None:
    _, mask = scene()
    grey = cv2.GaussianBlur(mask.astype(np.uint8) * 255, (0, 0), 2)
    _write(files, "soft.png", grey)
    _write(files, "rgb.png", np.dstack([mask.astype(np.uint8) * 255] * 3))
    _write(files, "ones.png", mask.astype(np.uint8))
    for name in ("soft.png", "rgb.png", "ones.png"):
        done = CliRunner().invoke(
            predict,
            f"{files}/photo.png --mask {files}/{name} --out {files}/{name[:-4]} --exact --method initial".split(),
        )
        assert done.exit_code == 0, done.exception
        written = mask_files.read_mask(files / name[:-4] / "modal.png")
        assert np.mean(written != mask) < 0.005


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_phone_photo_is_turned_as_viewers_turn_it(files: Path, orientation: int) -> None:
    from PIL import ImageOps

    from deocc_bench.predict.photos import read_photo

    photo, _ = scene()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(photo).save(files / "phone.png", exif=exif)
    with Image.open(files / "phone.png") as im:
        assert np.array_equal(read_photo(files / "phone.png"), np.asarray(ImageOps.exif_transpose(im)))


def test_the_astronaut(files: Path) -> None:
    from skimage.data import astronaut

    photo = astronaut()
    person = np.zeros(photo.shape[:2], np.uint8)
    cv2.fillPoly(
        person, [np.array([[0, 511], [60, 350], [170, 270], [160, 80], [225, 18], [290, 100], [480, 511]])], 255
    )
    board = np.zeros_like(person)
    cv2.rectangle(board, (230, 300), (400, 440), 255, -1)
    photo = np.where(board[..., None] > 0, np.uint8(90), photo)
    images.write_png(files / "astronaut.png", photo)
    images.write_png(files / "seen.png", (person > 0) & (board == 0))
    images.write_png(files / "board.png", board > 0)
    done = call(files, "astronaut.png", "--mask", "seen.png", "--occluder", "board.png", "--exact")
    assert done.exit_code == 0, done.exception
    hidden = mask_files.read_mask(files / "out" / "invisible.png")
    truth = (person > 0) & (board > 0)
    assert (hidden & truth).sum() / (hidden | truth).sum() > 0.8
    recovered = images.read_rgb(files / "out" / "recovered.png")
    assert np.array_equal(recovered[~hidden], photo[~hidden])


def test_masks_are_read_by_one_rule_and_soft_ones_are_told(files: Path) -> None:
    _, mask = scene()
    levels = np.where(mask, 255, np.where(np.roll(mask, 2, 1), 100, 3)).astype(np.uint8)
    white = np.full((*mask.shape, 3), 255, np.uint8)
    styles = {"soft.png": levels, "cutout.png": np.dstack([white, mask * np.uint8(255)]), "one.png": mask * np.uint8(1)}
    for number, (name, array) in enumerate(styles.items()):
        _write(files, name, array)
        done = call(files, "photo.png", "--mask", name, "--exact", out=f"out{number}", method="convex-hull")
        assert done.exit_code == 0, done.output
        assert np.array_equal(mask_files.read_mask(files / f"out{number}" / "modal.png"), mask)
        assert ("is soft: it was read at half of white" in done.output) is (name == "soft.png")
