"""deocc-bench: datasets, networks and a benchmark for human de-occlusion.

The functions in `__all__` are the Python API. The commands of `deocc-bench` call them, with the same defaults. Each
function is imported on first use, so `import deocc_bench` is fast and needs neither numpy nor torch.

The packages `synth`, `benchmark`, `baselines`, `models` and `leaderboard` are top-level folders of the repository and
are installed as subpackages. In a checkout they are found next to this package, so `import deocc_bench.synth` also
works without an install, and next to another repository that has its own `models/` folder.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deocc_bench.benchmark.front import compare, evaluate, score
    from deocc_bench.core.loaded import load_dataset
    from deocc_bench.core.notebook import show
    from deocc_bench.leaderboard.front import leaderboard
    from deocc_bench.predict.front import complete
    from deocc_bench.synth.front import synthesise

__all__ = ["compare", "complete", "evaluate", "leaderboard", "load_dataset", "score", "show", "synthesise"]
__version__ = "0.1.0"

_ROOT = Path(__file__).resolve().parent.parent
if (_ROOT / "setup.cfg").is_file() and (_ROOT / "synth" / "__init__.py").is_file():
    __path__.append(str(_ROOT))

# Public name -> its module. `leaderboard` is not listed, because it is the package itself, which is callable.
_PUBLIC = {
    "compare": "deocc_bench.benchmark.front",
    "complete": "deocc_bench.predict.front",
    "evaluate": "deocc_bench.benchmark.front",
    "load_dataset": "deocc_bench.core.loaded",
    "score": "deocc_bench.benchmark.front",
    "show": "deocc_bench.core.notebook",
    "synthesise": "deocc_bench.synth.front",
}


def __getattr__(name: str) -> Any:
    if name == "leaderboard":
        return import_module("deocc_bench.leaderboard")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'deocc_bench' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_PUBLIC[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
