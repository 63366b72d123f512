"""Attention without a positions x positions matrix, against the one with it; PGA's own properties."""

import pytest
import torch
from torch import Tensor

from deocc_bench.models import attention
from deocc_bench.models.attention import mutual_attention
from deocc_bench.models.parsing import one_hot_parts
from deocc_bench.models.pga import ParsingGuidedAttention


def plain(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    energy = q.transpose(1, 2) @ k
    return (
        v @ torch.softmax(energy, dim=2).transpose(1, 2),
        v @ torch.softmax(energy.transpose(1, 2), dim=2).transpose(1, 2),
    )


def case(scale: float = 1.0, positions: int = 300, depth: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    q, k = (scale * torch.randn(2, depth, positions) for _ in range(2))
    return q, k, torch.randn(2, 7, positions)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "CHUNK_ELEMENTS", 300 * 2 * 64)  # 64 rows: several chunks, the last one short


@pytest.mark.parametrize("implementation", ["chunked", "fused"])
@pytest.mark.parametrize("scale", [0.3, 3.0])
def test_every_implementation_is_the_matrix_form(implementation: str, scale: float) -> None:
    q, k, v = case(scale)
    with torch.no_grad():
        for found, expected in zip(mutual_attention(q, k, v, implementation), plain(q, k, v), strict=True):  # type: ignore[arg-type]
            assert (found - expected).abs().max() < 2e-5


@pytest.mark.parametrize("scale", [20.0, 60.0])
def test_energies_far_apart_stay_exact(scale: float) -> None:
    # A softmax that shared one exponential between rows and columns would underflow to 0 / 0 here.
    q, k, v = case(scale)
    energy = q.transpose(1, 2) @ k
    assert (energy.amax(dim=(1, 2)) - energy.amax(dim=1).amin(dim=1)).min() > 100
    with torch.no_grad():
        found = mutual_attention(q, k, v, "chunked")
    expected = plain(q.double(), k.double(), v.double())
    for a, b in zip(found, expected, strict=True):
        assert torch.isfinite(a).all()
        assert (a - b).abs().max() < 1e-2


def test_gradients_are_the_matrix_forms() -> None:
    ours = [value.requires_grad_() for value in case()]
    theirs = [value.detach().clone().requires_grad_() for value in ours]
    weight = torch.randn(2, 7, 300)
    a, b = mutual_attention(*ours, "chunked")
    (a * weight + b * weight.flip(2)).sum().backward()
    a, b = plain(*theirs)
    (a * weight + b * weight.flip(2)).sum().backward()
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine.grad - other.grad).abs().max() < 1e-4  # type: ignore[operator]


def test_positions_permute_through() -> None:
    q, k, v = case()
    order = torch.randperm(q.shape[2])
    with torch.no_grad():
        a, b = mutual_attention(q, k, v)
        c, d = mutual_attention(q[..., order], k[..., order], v[..., order])
    assert torch.allclose(a[..., order], c, atol=1e-5)
    assert torch.allclose(b[..., order], d, atol=1e-5)


def test_equal_energies_average() -> None:
    v = torch.randn(1, 3, 40)
    zero = torch.zeros(1, 2, 40)
    with torch.no_grad():
        for out in mutual_attention(zero, zero, v):
            assert torch.allclose(out, v.mean(dim=2, keepdim=True).expand_as(v), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("grad", [False, True])
def test_nothing_of_positions_squared(grad: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            out = func(*args, **(kwargs or {}))
            values = out if isinstance(out, tuple | list) else [out]
            sizes.extend(value.numel() for value in values if torch.is_tensor(value))
            return out

    monkeypatch.setattr(attention, "CHUNK_ELEMENTS", 4096)
    positions = 512
    q, k, v = (torch.randn(1, c, positions, requires_grad=grad) for c in (2, 2, 8))
    with Watch(), torch.set_grad_enabled(grad):
        a, b = mutual_attention(q, k, v, "chunked")
        if grad:
            (a.sum() + b.square().sum()).backward()
    assert max(sizes) <= 4096


def test_parsing_labels_and_one_hot_are_the_same_to_pga() -> None:
    block = ParsingGuidedAttention(16).eval()
    x = torch.randn(2, 16, 8, 8)
    labels = torch.randint(0, 20, (2, 64, 64))
    hot = torch.nn.functional.one_hot(labels, 20).permute(0, 3, 1, 2)[:, 1:].float()
    small = one_hot_parts(labels, (8, 8), torch.float32)
    assert torch.equal(small, one_hot_parts(hot, (8, 8), torch.float32))
    assert small.sum(dim=1).max() == 1
    with torch.no_grad():
        assert torch.equal(block(x, labels, labels), block(x, hot, hot))
        changed = labels.clone()
        changed[:, ::8, ::8] = (labels[:, ::8, ::8] + 1) % 20
        # The slip of listing 1 would make the amodal parsing invisible to the block.
        assert not torch.allclose(block(x, labels, labels), block(x, labels, changed))
        assert not torch.allclose(block(x, labels, labels), block(x, changed, labels))
