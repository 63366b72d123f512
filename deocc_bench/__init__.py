"""deocc-bench: datasets, networks and a benchmark for human de-occlusion.

The rooms (`synth`, `benchmark`, `baselines`, `models`, `leaderboard`) stand at the top of the repository and are
installed under this name. In a checkout they are found beside this package, so `import deocc_bench.synth` also works
without an install and next to another repository that has a `models/` folder of its own.
"""

from pathlib import Path

__version__ = "0.1.0"

_ROOT = Path(__file__).resolve().parent.parent
if (_ROOT / "setup.cfg").is_file() and (_ROOT / "synth" / "__init__.py").is_file():
    __path__.append(str(_ROOT))
