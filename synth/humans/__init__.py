"""Labelled humans, read from data sets on disk or drawn.

Installed packages can add kinds through the entry point group `deocc_bench.humans`. The entry point is a class that
implements `HumanSource`; it is called with the path after `KIND:`.
"""

from __future__ import annotations

from pathlib import Path

from deocc_bench.core.errors import DeoccError, UsageError
from deocc_bench.core.registry import Registry
from deocc_bench.synth.humans.base import HumanInfo, HumanSource, PartlyKnown
from deocc_bench.synth.humans.filters import HumanFilter
from deocc_bench.synth.humans.layout import WrongLayout, find_places

__all__ = ["HUMANS", "HumanFilter", "HumanInfo", "HumanSource", "PartlyKnown", "open_humans"]

HUMANS = Registry(
    "kind of humans",
    {
        "mannequin": "deocc_bench.synth.humans.drawn:DrawnSource",
        "folder": "deocc_bench.synth.humans.folder:FolderSource",
        "lip": "deocc_bench.synth.humans.lip:LipSource",
        "cihp": "deocc_bench.synth.humans.cihp:CihpSource",
        "atr": "deocc_bench.synth.humans.atr:AtrSource",
        "ccp": "deocc_bench.synth.humans.ccp:CcpSource",
        "ahp": "deocc_bench.synth.humans.ahp:AhpSource",
    },
    "deocc_bench.humans",
    {"mannequin": "mannequin[:N]"},
)
DEFAULT_MANNEQUINS = 60


def open_humans(spec: str, seed: int = 0) -> HumanSource:
    """Open the source named by `KIND:PATH` or `mannequin[:N]`.

    Args:
        seed: random seed of the drawn humans; not used for photos.

    Raises:
        UsageError: unknown kind, no path, or a bad number of mannequins.
        InputError: the folder is missing or has another layout.
    """
    kind, _, argument = spec.partition(":")
    source = HUMANS.load(kind)
    if kind == "mannequin":
        return source(count=_count(spec, argument), seed=seed)
    if not argument:
        raise UsageError(f"--humans {spec}: give the folder as {kind}:PATH")
    path = Path(argument).expanduser()
    try:
        return source(path)
    except WrongLayout as error:
        fits = _kinds_that_fit(path)
        if not fits:
            raise
        raise WrongLayout(
            error.where, error.problem, f"it looks like {fits[0]}: try --humans {fits[0]}:{path}"
        ) from None


def _count(spec: str, argument: str) -> int:
    if not argument:
        return DEFAULT_MANNEQUINS
    if not argument.isdecimal() or int(argument) == 0:
        raise UsageError(f"--humans {spec}: give the number of humans, for example mannequin:100")
    return int(argument)


def _kinds_that_fit(path: Path) -> list[str]:
    fits = []
    for kind in HUMANS.names():
        try:
            layouts = getattr(HUMANS.load(kind), "layouts", None)
        except DeoccError:
            continue  # a broken third-party package; the user did not ask for it
        if layouts is None:
            continue
        try:
            find_places(path, kind, layouts)
        except WrongLayout:
            continue
        fits.append(kind)
    return fits
