"""The colour prior of stage 2, and what a network that works at half the size is shown."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deocc_bench.core.labels import LIP
from deocc_bench.models.colour_prior import ColourPrior
from deocc_bench.models.config import ContentConfig
from deocc_bench.models.content_net import content_input
from deocc_bench.models.deploy import fast_form
from deocc_bench.models.weights import build
from deocc_bench.models.working_frame import WorkingFrame


def person(size: int = 128) -> tuple[torch.Tensor, ...]:
    """Image, modal and amodal mask, parsing: two parts half hidden, one arm hidden whose other side is seen."""
    random = np.random.default_rng(0)
    parsing = np.zeros((1, size, size), np.int64)
    parsing[:, 20:60, 40:90] = LIP.index("upper-clothes")
    parsing[:, 60:110, 40:90] = LIP.index("pants")
    parsing[:, 20:50, 30:40] = LIP.index("left-arm")
    parsing[:, 20:50, 90:100] = LIP.index("right-arm")
    amodal = (parsing > 0)[:, None]
    modal = amodal.copy()
    modal[:, :, 40:80, 50:] = False
    modal[:, :, :, 90:] = False
    image = random.integers(160, 256, (1, 3, size, size)).astype(np.float32) / 127.5 - 1
    return tuple(torch.from_numpy(np.ascontiguousarray(v)).float() for v in (image, modal, amodal, parsing))


def means_of(image: torch.Tensor, modal: torch.Tensor, parsing: torch.Tensor, name: str) -> torch.Tensor:
    """Mean visible colour of a part, by hand."""
    where = (parsing[0] == LIP.index(name)) & (modal[0, 0] > 0)
    return image[0, :, where].mean(dim=1)


def test_prior_begins_as_the_mean_colour_of_the_part_or_its_other_side() -> None:
    image, modal, amodal, parsing = person()
    image[:, 0, 60:110] -= 1.0
    image[:, 1, :, 30:40] -= 1.0
    erased, visible = content_input(image, modal, amodal)
    painted = ColourPrior()(erased, visible, parsing * modal[:, 0], parsing).detach()
    for part, source in (("upper-clothes", "upper-clothes"), ("pants", "pants"), ("right-arm", "left-arm")):
        hidden = (parsing[0] == LIP.index(part)) & (modal[0, 0] == 0)
        expected = means_of(image, modal, parsing, source)
        # Other parts and the learned colour have a small share.
        torch.testing.assert_close(painted[0, :, hidden].mean(dim=1), expected, atol=0.2, rtol=0)
    assert float(painted[0, :, parsing[0] == 0].abs().max()) == 0


def test_prior_uses_skin_for_skin() -> None:
    image, modal, amodal, parsing = person()
    parsing[:, 20:50, 90:100] = LIP.index("face")
    parsing[:, 20:50, 30:40] = LIP.index("left-leg")
    modal = amodal * (parsing != LIP.index("left-leg"))[:, None]
    image[:, 2] -= 1.5 * (parsing != LIP.index("face"))
    erased, visible = content_input(image, modal, amodal)
    painted = ColourPrior()(erased, visible, parsing * modal[:, 0], parsing).detach()
    leg = painted[0, 2, parsing[0] == LIP.index("left-leg")].mean()
    face, shirt = (means_of(image, modal, parsing, n)[2] for n in ("face", "upper-clothes"))
    person_mean = image[0, 2, modal[0, 0] > 0].mean()
    assert face > leg > person_mean + 0.1 > shirt


def test_a_fresh_network_with_the_prior_paints_it_and_its_fast_form_agrees() -> None:
    image, modal, amodal, parsing = person()
    erased, visible = content_input(image, modal, amodal)
    seen = (parsing * modal[:, 0]).long()
    inputs = (erased, visible, amodal, seen, parsing.long())
    net = build(ContentConfig(width=8, window_mean=True, colour_prior=True), seed=0).eval()
    with torch.inference_mode():
        expected = net.prior(erased, visible, seen, parsing.long())
        torch.testing.assert_close(net(*inputs).image, expected.clamp(-1, 1))
        # In bfloat16 the means must not lose their last bits.
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(net.prior(erased, visible, seen, parsing.long()), expected)
        torch.nn.init.normal_(net.decoder[-1].weight, std=0.05)
        torch.testing.assert_close(fast_form(net)(*inputs).image, net(*inputs).image, atol=1e-5, rtol=1e-5)


def test_prior_learns_the_colour_of_a_part_that_is_never_seen() -> None:
    image, modal, amodal, parsing = person()
    erased, visible = content_input(image, modal * 0, amodal)
    prior = ColourPrior()
    painted = prior(erased, visible, parsing * 0, parsing)
    assert float(painted.detach().abs().max()) == 0
    optimiser = torch.optim.Adam(prior.parameters(), 0.02)
    for _ in range(60):
        optimiser.zero_grad()
        loss = ((prior(erased, visible, parsing * 0, parsing) - 0.5) * amodal).abs().mean()
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 0.05 * 0.5


@pytest.mark.parametrize("side", [64, 128, 256])
def test_coverage_is_the_share_of_each_pixel(side: int) -> None:
    random = np.random.default_rng(1)
    masks = random.random((2, 128, 128)) > 0.5
    frame = WorkingFrame.fit(128, 128, side)
    found = frame.coverage(masks)[:, 0].numpy()
    assert frame.shrinks == (side < 128)
    inside = found[:, frame.top : frame.top + frame.height, frame.left : frame.left + frame.width]
    if side == 64:
        blocks = masks.reshape(2, 64, 2, 64, 2).mean(axis=(2, 4))
        np.testing.assert_allclose(inside, blocks, atol=1e-6)
    if side == 128:
        np.testing.assert_array_equal(inside, masks)
    assert inside.min() >= 0
    assert inside.max() <= 1
