"""Every loss term: its gradient reaches the network, a step along it lowers it, and it is what its definition says."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage.metrics import structural_similarity
from torch import Tensor, nn

from deocc_bench.core.errors import InputError
from deocc_bench.models.config import PRESETS, ContentConfig, MaskConfig
from deocc_bench.models.content_net import ContentResult
from deocc_bench.models.mask_net import MaskLogits
from deocc_bench.models.training.config import LossConfig
from deocc_bench.models.training.content_losses import (
    CONTENT_TERMS,
    ContentComparison,
    ContentTarget,
    part_colour_loss,
    ssim_map,
)
from deocc_bench.models.training.data import TrainingBatch
from deocc_bench.models.training.mask_losses import MASK_TERMS, MaskComparison, MaskTarget, soft_iou_loss
from deocc_bench.models.training.perceptual import Vgg16, gram, load_vgg
from deocc_bench.models.training.stages import STAGES, MaskStage
from deocc_bench.models.training.terms import NEEDS, evaluate
from deocc_bench.models.weights import build

SMALL_MASK = MaskConfig(width=4, branch_width=4, modal_width=4, amodal_width=4, template_width=4, template_count=8)
SMALL_CONTENT = ContentConfig(width=8, window_mean=True)


def batch(size: int = 64, count: int = 2) -> TrainingBatch:
    """People that are two stacked bars, the lower half of each hidden in places."""
    random = np.random.default_rng(3)
    amodal = np.zeros((count, 1, size, size), np.float32)
    amodal[:, :, size // 8 : -size // 8, size // 4 : -size // 4] = 1
    modal = amodal.copy()
    modal[:, :, size // 2 :, : size // 2] = 0
    parsing = np.zeros((count, size, size), np.int64)
    parsing[:, size // 8 : size // 2, size // 4 : -size // 4] = 5
    parsing[:, size // 2 : -size // 8, size // 4 : -size // 4] = 9
    tensors = {name: torch.from_numpy(v) for name, v in (("amodal", amodal), ("modal", modal))}
    pictures = torch.from_numpy(random.uniform(-1, 1, (2, count, 3, size, size)).astype(np.float32))
    image = torch.where(tensors["amodal"] * (1 - tensors["modal"]) > 0, pictures[0], pictures[1])
    return TrainingBatch(
        image=image,
        initial=tensors["modal"],
        known=torch.ones_like(tensors["modal"]),
        complete=pictures[1],
        parsing=torch.from_numpy(parsing),
        **tensors,
    )


def vgg() -> Vgg16:
    torch.manual_seed(1)
    return Vgg16().eval()


def only(name: str, stage: str) -> LossConfig:
    return LossConfig({**{t.name: 0.0 for t in STAGES[stage].terms}, name: 1.0})


def mask_terms(logits: MaskLogits, target: MaskTarget, config: LossConfig) -> dict[str, Tensor]:
    return evaluate(MASK_TERMS, MaskComparison(logits, target, config), config.weights)


def term(stage_name: str, name: str, net: nn.Module, adversary: nn.Module, data: TrainingBatch) -> Tensor:
    terms, _ = STAGES[stage_name](only(name, stage_name), vgg()).learn(net, data, adversary)
    assert set(terms) == {name}
    return terms[name]


EVERY = [(kind, term.name) for kind, stage in STAGES.items() for term in stage.terms]


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "name"), EVERY)
def test_gradient_of_each_term_reaches_the_network_and_a_step_lowers_it(stage: str, name: str) -> None:
    data = batch(64 if stage == "mask" else 128)
    net = build(SMALL_MASK if stage == "mask" else SMALL_CONTENT, seed=0).train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        adversary = STAGES[stage](LossConfig()).adversary().eval().requires_grad_(False)
    before = term(stage, name, net, adversary, data)
    before.backward()
    gradients = {n: p.grad for n, p in net.named_parameters() if p.grad is not None}
    first = "modal_hourglass.down.0.0.weight" if stage == "mask" else "encoder.0.weight"
    assert float(gradients[first].abs().max()) > 0, "the first layer learns nothing from this term"
    norm = torch.sqrt(sum((g**2).sum() for g in gradients.values()))
    # The gradient is a direction of descent: some small step along it must lower the term.
    start = {k: v.clone() for k, v in net.state_dict().items()}
    lowered = []
    for length in (1e-1, 1e-2, 1e-3):
        net.load_state_dict(start)
        with torch.no_grad():
            for parameter in net.parameters():
                if parameter.grad is not None:
                    parameter -= length * parameter.grad / norm
            lowered.append(float(term(stage, name, net, adversary, data).detach()))
    assert min(lowered) < float(before.detach())


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_term_is_left_out_exactly_where_its_need_is_not_met(stage: str) -> None:
    """What a row says it needs is what its function cannot do without."""
    data = batch(64 if stage == "mask" else 128)
    net = build(SMALL_MASK if stage == "mask" else SMALL_CONTENT, seed=0).eval()
    terms = STAGES[stage].terms
    weights = LossConfig(dict.fromkeys((t.name for t in terms), 1.0))
    adversary = STAGES[stage](weights).adversary().eval()
    for missing in NEEDS:
        here = dataclasses.replace(data, parsing=None) if missing == "parsing" else data
        made = STAGES[stage](weights, None if missing == "vgg" else vgg())
        values, _ = made.learn(net, here, None if missing == "adversary" else adversary)
        assert set(values) == {t.name for t in terms if missing not in t.needs}


@pytest.mark.parametrize("stage", STAGES)
def test_each_row_names_known_needs_and_recipes(stage: str) -> None:
    rows = STAGES[stage].terms
    assert len({t.name for t in rows}) == len(rows)
    recipes = {p.recipe.name for p in PRESETS.values()}
    for row in rows:
        assert set(row.needs) <= set(NEEDS)
        assert set(row.weights) <= recipes
        assert row.meaning


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["mask", "content"])
def test_adversary_learns_and_the_network_does_not_while_it_does(stage: str) -> None:
    data = batch(64 if stage == "mask" else 128)
    net = build(SMALL_MASK if stage == "mask" else SMALL_CONTENT, seed=0).train()
    made = STAGES[stage](only("adversarial", stage))
    adversary = made.adversary()
    _, judge = made.learn(net, data, adversary.requires_grad_(False))
    judge(adversary.requires_grad_(True)).backward()
    assert all(float(p.grad.abs().max()) > 0 for p in adversary.parameters() if p.grad is not None)
    assert any(p.grad is not None for p in adversary.parameters())
    assert all(p.grad is None for p in net.parameters())


def logits(probability: Tensor) -> Tensor:
    """Two logits whose foreground has this probability."""
    return torch.cat([torch.zeros_like(probability), torch.logit(probability)], dim=1)


@pytest.mark.slow
def test_cross_entropy_of_two_classes_is_that_of_torch() -> None:
    torch.manual_seed(0)
    values = torch.randn(2, 2, 8, 8)
    truth = (torch.rand(2, 1, 8, 8) > 0.5).float()
    target = MaskTarget(torch.zeros(2, 3, 8, 8), truth, truth * 0, torch.ones_like(truth))
    found = mask_terms(MaskLogits(values), target, only("amodal", "mask"))["amodal"]
    torch.testing.assert_close(found, F.cross_entropy(values, truth[:, 0].long()))


def test_unknown_pixels_do_not_count() -> None:
    data = batch()
    net = build(SMALL_MASK, seed=0).eval()
    known = data.known.clone()
    known[:, :, 20:40, 20:40] = 0
    off = dataclasses.replace(data, known=known)
    other = data.amodal.clone()
    other[:, :, 20:40, 20:40] = 1 - other[:, :, 20:40, 20:40]
    labels = data.parsing.clone()
    labels[:, 20:40, 20:40] = 13
    names = [t.name for t in MASK_TERMS if not {"vgg", "adversary"} & set(t.needs)]
    stage = MaskStage(LossConfig(dict.fromkeys(names, 1.0)))
    first, _ = stage.learn(net, off, None)
    second, _ = stage.learn(net, dataclasses.replace(off, amodal=other, parsing=labels), None)
    counted, _ = stage.learn(net, dataclasses.replace(data, amodal=other, parsing=labels), None)
    assert set(first) == set(names)
    for name in first:
        torch.testing.assert_close(first[name], second[name])
    assert float(counted["amodal"].detach()) != pytest.approx(float(first["amodal"].detach()))


def test_soft_iou_of_hard_masks_is_the_iou() -> None:
    a, b, everywhere = (torch.zeros(1, 1, 256, 256) for _ in range(3))
    a[..., :100, :100] = 1
    b[..., 50:150, :100] = 1
    everywhere[:] = 1
    # 16 pixels of smoothing at 256 x 256.
    assert float(soft_iou_loss(a, b, everywhere)) == pytest.approx(1 - 5016 / 15016)
    assert float(soft_iou_loss(b, b, everywhere)) == pytest.approx(0)
    # Only what lies in the region counts.
    everywhere[..., :100, :] = 0
    assert float(soft_iou_loss(a, b, everywhere)) == pytest.approx(1 - 16 / 5016)


def test_ssim_map_is_that_of_skimage() -> None:
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (40, 36, 3)).astype(np.uint8)
    y = np.clip(x.astype(int) + random.integers(-40, 40, x.shape), 0, 255).astype(np.uint8)
    _, expected = structural_similarity(
        x, y, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, full=True
    )
    tensors = [torch.from_numpy(v).permute(2, 0, 1)[None].float() / 127.5 - 1 for v in (x, y)]
    found = ssim_map(*tensors)[0, 0].numpy()
    np.testing.assert_allclose(found[5:-5, 5:-5], expected.mean(axis=2)[5:-5, 5:-5], atol=1e-4)


def test_part_colour_is_the_difference_of_mean_colours() -> None:
    data = batch()
    hole = data.amodal * (1 - data.modal)
    moved = data.complete.clone()
    moved[:, 0] += 0.25
    # Every hidden part is off by 0.25 in one of three channels.
    found = part_colour_loss(moved, data.complete, data.parsing, hole)
    assert float(found) == pytest.approx(0.25 / 3, rel=1e-4)
    # Noise of mean zero within a part does not count.
    hidden = (hole[:, 0] > 0) & (data.parsing == 9)
    flat = data.complete.clone()
    for i in range(len(flat)):
        flat[i, :, hidden[i]] = data.complete[i, :, hidden[i]].mean(dim=1, keepdim=True)
    assert float(part_colour_loss(flat, data.complete, data.parsing, hole)) < 1e-5


def test_gram_matrix_by_hand() -> None:
    feature = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])
    torch.testing.assert_close(gram(feature), torch.tensor([[[5.0, 11.0], [11.0, 25.0]]]) / 4)


def test_content_l1_counts_the_composite_five_times() -> None:
    truth = torch.zeros(1, 3, 4, 4)
    target = ContentTarget(truth, torch.ones(1, 1, 4, 4), torch.zeros(1, 1, 4, 4))
    result = ContentResult(truth + 0.5, truth + 0.1)
    config = only("l1", "content")
    found = evaluate(CONTENT_TERMS, ContentComparison(result, target, config), config.weights)["l1"]
    assert float(found) == pytest.approx(0.5 + 5 * 0.1)


def test_vgg_is_read_from_both_kinds_of_file(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    net = vgg()
    state = {k.replace("convs", "features"): v.clone() for k, v in net.state_dict().items() if "convs" in k}
    save_file(state, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "b.pth")
    picture = torch.rand(1, 3, 32, 32) * 2 - 1
    for name in ("a.safetensors", "b.pth"):
        for mine, theirs in zip(net(picture), load_vgg(tmp_path / name)(picture), strict=True):
            torch.testing.assert_close(mine, theirs)


def test_bad_vgg_files_are_refused_in_one_line(tmp_path: Path) -> None:
    class Bad:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("code was run",)

    torch.save({"x": Bad()}, tmp_path / "pickle.pth")
    torch.save({"features.0.weight": torch.zeros(2)}, tmp_path / "other.pth")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\x00")
    for name in ("pickle.pth", "other.pth", "cut.safetensors", "none.pth"):
        with pytest.raises(InputError) as caught:
            load_vgg(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_network_on_patches_learns_its_parsing_once_a_patch() -> None:
    data = batch()
    net = build(dataclasses.replace(SMALL_MASK, patch=2), seed=0)
    logits = net.train()(data.image, data.initial)
    assert logits.parsing_amodal.shape == (2, 20, 32, 32)
    terms, _ = MaskStage(only("parsing_amodal", "mask")).learn(net, data, None)
    assert data.parsing is not None
    labels = data.parsing[:, 1::2, 1::2]
    torch.testing.assert_close(terms["parsing_amodal"], F.cross_entropy(logits.parsing_amodal, labels))
    with torch.no_grad():
        assert net.eval()(data.image, data.initial).parsing_amodal.shape == (2, 20, 64, 64)


def test_the_union_is_what_the_amodal_terms_are_of() -> None:
    """With `union` a visible pixel that the modal head alone finds costs nothing, and a false one of it costs."""
    data = batch()
    zeros = torch.zeros_like(data.modal)
    hidden, seen = (torch.cat([zeros, 40 * v - 20], dim=1) for v in (data.amodal - data.modal, data.modal))
    logits = MaskLogits(amodal=hidden, modal=seen)
    target = MaskTarget(data.image, data.amodal, data.modal, data.known)
    weights = {"amodal": 1.0, "l1": 1.0, "invisible_iou": 1.0}
    alone = mask_terms(logits, target, LossConfig(weights))
    union = mask_terms(logits, target, LossConfig(weights, union=True))
    assert alone["amodal"] > 1
    assert union["amodal"] < 1e-6
    assert max(union["l1"], union["invisible_iou"]) < 1e-6
    false = torch.cat([zeros, torch.ones_like(zeros)], dim=1).requires_grad_()
    wrong = mask_terms(dataclasses.replace(logits, modal=false), target, LossConfig(weights, union=True))
    wrong["invisible_iou"].backward()
    assert wrong["invisible_iou"] > 0.3
    outside = (data.amodal == 0)[:, 0]
    assert (false.grad[:, 1][outside] > 0).all()
