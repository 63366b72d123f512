"""Speed and memory of the two networks against the literal reference, on this machine.

    python benchmarks/models_speed.py speed            batch 1, 256x256, interleaved literal / ours, medians and ratios
    python benchmarks/models_speed.py memory           peak memory of one PGA block by number of positions, figure
    python benchmarks/models_speed.py attention        chunked softmax and scaled_dot_product_attention on this CPU
    python benchmarks/models_speed.py convolutions     3x3 convolutions by shape: NNPACK, packed for oneDNN, Winograd

Ratios are medians over rounds of (ours / literal) within a round, so that a slow moment of the machine hits both. CPU
time (all threads) is given beside wall time: a loaded machine stretches the second and hardly the first.
"""

import argparse
import importlib.util
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from deocc_bench.models.attention import mutual_attention
from deocc_bench.models.config import ContentConfig
from deocc_bench.models.content_net import ContentNet, content_input
from deocc_bench.models.cpu import FastConv
from deocc_bench.models.deploy import fast_form
from deocc_bench.models.mask_net import MaskNet
from deocc_bench.models.pga import ParsingGuidedAttention
from deocc_bench.models.winograd import WinogradConv

ROOT = Path(__file__).resolve().parent.parent
SIDES = (32, 48, 64, 96, 128)
CHANNELS = 128
CONVOLUTIONS = (
    (1024, 256, 32), (512, 512, 32), (256, 512, 32), (768, 256, 32), (256, 256, 32), (128, 128, 32),
    (512, 128, 64), (256, 256, 64), (128, 192, 64), (128, 128, 64), (64, 64, 64), (19, 16, 64),
    (256, 64, 128), (128, 128, 128), (64, 64, 128), (128, 64, 256), (64, 64, 256), (32, 32, 256), (4, 64, 256),
    (512, 512, 16), (1536, 512, 8),
)  # fmt: skip


def literal_module() -> ModuleType:
    """The literal reference that the tests compare with."""
    spec = importlib.util.spec_from_file_location("literal_reference", ROOT / "tests" / "models" / "literal.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def seconds(function: Callable[[], Any]) -> tuple[float, float]:
    """(wall, CPU) seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - cpu


def peak_gflops(size: int = 2048, runs: int = 9) -> float:
    """GFLOP/s of a large float32 convolution as matrix product, the best of a few: what this machine can do."""
    x, weight = torch.randn(1, 512, 32, 32), torch.randn(512, 512, 3, 3)
    a, b = torch.randn(size, size), torch.randn(size, size)
    convolution = min(seconds(lambda: torch.nn.functional.conv2d(x, weight, padding=1))[0] for _ in range(runs))
    product = min(seconds(lambda: a @ b)[0] for _ in range(runs))
    return max(2 * 512 * 512 * 9 * 1024 / convolution, 2 * size**3 / product) / 1e9


def gflop(net: torch.nn.Module, *inputs: torch.Tensor) -> float:
    """Floating-point operations of the plain forward pass, by torch's own counter, in units of 1e9."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        net(*inputs)
    return counter.get_total_flops() / 1e9


@torch.no_grad()
def speed(rounds: int) -> dict[str, Any]:
    """Literal and ours in turns: both stages, PGA with both fuse kernels and without, masks without branches."""
    literal = literal_module()
    torch.manual_seed(0)
    image = torch.rand(1, 3, 256, 256) * 2 - 1
    visible, amodal, modal = literal.human_masks(1, 256, 256)
    erased, _ = content_input(image, modal, amodal)
    parsing = torch.randint(0, 20, (1, 256, 256)) * amodal[:, 0].long()
    modal_parsing = parsing * modal[:, 0].long()
    hot, modal_hot = (
        torch.nn.functional.one_hot(p, 20).permute(0, 3, 1, 2)[:, 1:].float().contiguous()
        for p in (parsing, modal_parsing)
    )
    pairs: dict[str, tuple[Callable[[], Any], Callable[[], Any], float]] = {}
    mask_net = literal.randomise(MaskNet()).eval()
    slow, fast = literal.LiteralMaskNet(mask_net.state_dict()), fast_form(mask_net)
    pairs["mask"] = (lambda: slow(image, modal), lambda: fast(image, modal), gflop(mask_net, image, modal))
    for name, config in (
        ("content, PGA fuse 3", ContentConfig(fuse_kernel=3)),
        ("content, PGA fuse 1", ContentConfig()),
        ("content, no PGA", ContentConfig(pga="none")),
    ):
        net = literal.randomise(ContentNet(config)).eval()
        reference, form = literal.LiteralContentNet(net.state_dict()), fast_form(net)
        case = erased, visible, amodal, modal_parsing, parsing

        def run_slow(reference: Any = reference) -> Any:
            return reference(erased, visible, amodal, modal_hot, hot)

        def run_fast(form: Any = form, case: Any = case) -> Any:
            return form(*case)

        pairs[name] = (run_slow, run_fast, gflop(net, *case))
    peak = peak_gflops()
    report: dict[str, Any] = {"threads": torch.get_num_threads(), "rounds": rounds, "peak_gflops": peak, "networks": {}}
    for name, (run_slow, run_fast, work) in pairs.items():
        expected, found = run_slow(), run_fast()
        error = max(float((value - getattr(found, key)).abs().max()) for key, value in expected.items())
        times = [(seconds(run_slow), seconds(run_fast)) for _ in range(rounds)]
        ours = statistics.median(b[0] for _, b in times)
        report["networks"][name] = {
            "literal_ms": 1e3 * statistics.median(a[0] for a, _ in times),
            "ours_ms": 1e3 * ours,
            "ratio_wall": statistics.median(b[0] / a[0] for a, b in times),
            "ratio_cpu": statistics.median(b[1] / a[1] for a, b in times),
            "ratio_best": min(b[0] for _, b in times) / min(a[0] for a, _ in times),
            "max_abs_difference": error,
            "gflop": work,
            "share_of_peak": work / ours / peak,
        }
    return report


@torch.no_grad()
def attention_speed(rounds: int) -> dict[str, float]:
    """Median milliseconds of attention T at 64 x 64, C = 128: chunks, fused kernel, and the whole matrix."""
    q, k, v = torch.randn(1, 16, 4096), torch.randn(1, 16, 4096), torch.randn(1, 128, 4096)

    def matrix() -> Any:
        energy = q.transpose(1, 2) @ k
        rows, columns = torch.softmax(energy, dim=2), torch.softmax(energy.transpose(1, 2), dim=2)
        return v @ rows.transpose(1, 2), v @ columns.transpose(1, 2)

    runs: dict[str, Callable[[], Any]] = {
        "chunked": lambda: mutual_attention(q, k, v, "chunked"),
        "fused": lambda: mutual_attention(q, k, v, "fused"),
        "matrix": matrix,
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            times[name].append(seconds(run)[0])
    return {name: 1e3 * statistics.median(values) for name, values in times.items()}


@torch.no_grad()
def convolutions(rounds: int) -> dict[str, dict[str, float]]:
    """Median milliseconds of a 3x3 convolution by backend: what the rules of `models/cpu.py` stand on."""
    times: dict[str, dict[str, float]] = {}
    for inputs, outputs, side in CONVOLUTIONS:
        x, weight = torch.randn(1, inputs, side, side), torch.randn(outputs, inputs, 3, 3) / (3 * inputs**0.5)
        bias = torch.randn(outputs)
        runs: dict[str, Callable[[], Any]] = {
            "packed": partial(FastConv(weight, bias)._packed, x),
            "winograd": partial(WinogradConv(weight, bias), x),
        }
        if torch._nnpack_available():
            runs["nnpack"] = partial(torch._nnpack_spatial_convolution, x, weight, bias, 1, 1)
        for run in runs.values():
            run()
        found = [{name: seconds(run)[0] for name, run in runs.items()} for _ in range(rounds)]
        medians = {name: 1e3 * statistics.median(row[name] for row in found) for name in runs}
        times[f"{inputs} -> {outputs} at {side} x {side}"] = {name: round(value, 2) for name, value in medians.items()}
    return times


def block_peak(form: str, side: int) -> float:
    """MiB that one PGA block (C = 128) needs on top of its process, weights and input: run in a process of its own."""
    torch.set_num_threads(1)
    block = ParsingGuidedAttention(CHANNELS).eval()
    x = torch.randn(1, CHANNELS, side, side)
    labels = torch.randint(0, 20, (1, side, side))
    literal = literal_module()
    hot = torch.nn.functional.one_hot(labels, 20).permute(0, 3, 1, 2)[:, 1:].float().contiguous()
    with torch.no_grad():
        small, few = torch.randn(1, CHANNELS, 8, 8), labels[:, :8, :8]
        block(small, few, few)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if form == "ours":
            block(x, labels, labels)
        else:
            state = {f"block.{name}": value for name, value in block.state_dict().items()}
            literal.LiteralContentNet(state).pga("block", x, hot, hot)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def memory(figure: Path) -> dict[str, list[float]]:
    """Peak MiB by number of positions, ours and literal, and the figure."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    found: dict[str, list[float]] = {}
    for form in ("ours", "literal"):
        found[form] = []
        for side in SIDES:
            command = [sys.executable, __file__, "block", "--form", form, "--side", str(side)]
            found[form].append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    positions = [side * side for side in SIDES]
    plot, axes = pyplot.subplots(figsize=(6, 4), constrained_layout=True)
    for form, label, marker in (("literal", "listing 1, literally", "s"), ("ours", "this implementation", "o")):
        axes.plot(positions, found[form], marker=marker, label=label)
    axes.set(xscale="log", yscale="log", xlabel="positions (height x width of the feature)", ylabel="peak memory, MiB")
    axes.set_xticks(positions, [f"{side}x{side}" for side in SIDES])
    axes.minorticks_off()
    axes.set_title("One PGA block, C = 128, batch 1, float32, CPU")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.parent.mkdir(parents=True, exist_ok=True)
    plot.savefig(figure, dpi=150)
    return {"positions": [float(value) for value in positions], **found}


def main() -> None:
    """Parse, measure, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "memory", "attention", "convolutions", "block"))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--figure", type=Path, default=ROOT / "docs" / "figures" / "pga_memory.png")
    parser.add_argument("--form", choices=("ours", "literal"), default="ours")
    parser.add_argument("--side", type=int, default=64)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.what == "block":
        print(block_peak(options.form, options.side))
        return
    runs: dict[str, Callable[[], Any]] = {
        "speed": lambda: speed(options.rounds),
        "attention": lambda: attention_speed(options.rounds),
        "convolutions": lambda: convolutions(options.rounds),
        "memory": lambda: memory(options.figure),
    }
    print(json.dumps(runs[options.what](), indent=1))


if __name__ == "__main__":
    main()
