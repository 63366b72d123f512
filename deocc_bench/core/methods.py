"""The names of methods that `deocc-bench evaluate` knows. Installed packages add theirs under `deocc_bench.methods`."""

from deocc_bench.core.registry import Registry

METHODS = Registry("method", {}, "deocc_bench.methods")
