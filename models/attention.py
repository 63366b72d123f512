"""Softmax attention over all positions of a feature map without a positions x positions matrix.

Two implementations of the same function (unscaled softmax): exact softmax over chunks of rows, forward and backward,
for CPUs; the fused kernels of ``scaled_dot_product_attention`` for GPUs. Memory grows linearly with the number of
positions.
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

Implementation = Literal["auto", "chunked", "fused"]

CHUNK_ELEMENTS = 1 << 22
"""Energies in memory at once (rows of a chunk x positions x samples), 16 MiB. Measured: smaller chunks need more thread
barriers, larger ones do not fit the cache."""


def mutual_attention(q: Tensor, k: Tensor, v: Tensor, implementation: Implementation = "auto") -> tuple[Tensor, Tensor]:
    """Attention T of listing 1: apply the softmax of the rows and of the columns of ``E = q^T k`` to `v`.

    ``auto`` is ``fused`` on a GPU and ``chunked`` elsewhere. `q`, `k` are N x d x L, `v` is N x C x L. Returns (softmax
    over the rows of E, softmax over the rows of E^T) applied to `v`, both N x C x L with the dtype of `v`; the softmax
    accumulates in float32.
    """
    q, k, values = (tensor.transpose(1, 2) for tensor in (q, k, v))
    if implementation == "auto":
        implementation = "fused" if q.is_cuda else "chunked"
    if implementation == "fused":
        pair = _fused(q, k, values), _fused(k, q, values)
    else:
        with torch.autocast(q.device.type, enabled=False):
            q, k, values = (tensor.float().contiguous() for tensor in (q, k, values))
            if torch.is_grad_enabled():
                pair = _ChunkedAttention.apply(q, k, values), _ChunkedAttention.apply(k, q, values)
            else:
                pair = _chunked(q, k, values), _chunked(k, q, values)
    by_rows, by_columns = (out.transpose(1, 2).to(v.dtype) for out in pair)
    return by_rows, by_columns


def _fused(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Fused kernels need depths in multiples of 8. Zero padding of q and k changes no energy; that of v is cut off."""
    width = v.shape[-1]
    q, k = (F.pad(tensor, (0, -tensor.shape[-1] % 8)) for tensor in (q, k))
    padded = F.pad(v, (0, -width % 8))
    out = F.scaled_dot_product_attention(q[:, None], k[:, None], padded[:, None], scale=1.0)
    return out[:, 0, :, :width]


def _rows(samples: int, positions: int) -> int:
    return max(1, min(positions, CHUNK_ELEMENTS // max(1, samples * positions)))


class _ChunkedAttention(torch.autograd.Function):
    """softmax(q k^T) v over chunks of rows; the backward pass recomputes each chunk from the stored row sums."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        samples, positions, _ = q.shape
        out, log_sums = v.new_empty(samples, positions, v.shape[2]), v.new_empty(samples, positions, 1)
        rows = _rows(samples, positions)
        for start in range(0, positions, rows):
            part = slice(start, start + rows)
            energy = q[:, part] @ k.transpose(1, 2)
            log_sums[:, part] = energy.logsumexp(dim=2, keepdim=True)
            out[:, part] = energy.sub_(log_sums[:, part]).exp_() @ v
        ctx.save_for_backward(q, k, v, out, log_sums)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v, out, log_sums = ctx.saved_tensors
        grad_q, grad_k, grad_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        inner = (grad * out).sum(dim=2, keepdim=True)
        samples, positions, _ = q.shape
        rows = _rows(samples, positions)
        for start in range(0, positions, rows):
            part = slice(start, start + rows)
            weights = (q[:, part] @ k.transpose(1, 2)).sub_(log_sums[:, part]).exp_()
            grad_v += weights.transpose(1, 2) @ grad[:, part]
            grad_energy = (grad[:, part] @ v.transpose(1, 2)).sub_(inner[:, part]).mul_(weights)
            grad_q[:, part] = grad_energy @ k
            grad_k += grad_energy.transpose(1, 2) @ q[:, part]
        return grad_q, grad_k, grad_v


def _chunked(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Chunked attention without gradients. It has no branches on values, so it can be traced for export."""
    rows, keys = _rows(q.shape[0], q.shape[1]), k.transpose(1, 2)
    return torch.cat([torch.softmax(part @ keys, dim=2) @ v for part in q.split(rows, dim=1)], dim=1)
