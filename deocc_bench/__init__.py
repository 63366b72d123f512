"""deocc-bench: datasets, networks and a benchmark for human de-occlusion.

The functions of `__all__` are the Python front door: what the commands of `deocc-bench` call, with the same defaults.
Each is imported when it is first used, so that `import deocc_bench` is quick and needs neither numpy nor torch.

The rooms (`synth`, `benchmark`, `baselines`, `models`, `leaderboard`) stand at the top of the repository and are
installed under this name. In a checkout they are found beside this package, so `import deocc_bench.synth` also works
without an install and next to another repository that has a `models/` folder of its own.
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

# Public name -> the module that holds it. `leaderboard` is not among them: it is the room itself, which can be called.
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
