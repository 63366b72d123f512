"""Specs of the metrics that need a feature network: distribution distances and LPIPS. Other code computes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from deocc_bench.metrics import terms as terms_of
from deocc_bench.metrics.content import REGIONS
from deocc_bench.metrics.definition import INCEPTION, MetricSpec, split_id

_VIEW = {
    "": "composites and ground truths, whole image",
    "_human": "the person's crop, background black, square, 256 pixels, 8 bit",
}
_DEFAULT_COLUMNS = {"fid": {"content": 50, "joint": 60}, "kid": {"content": 60, "joint": 70}}
# Metrics of user-supplied networks come after the default columns.
_OWN_NETWORK = {"content": 100, "joint": 100}


def _distance(name: str, frechet: bool, view: str, network: str | None) -> MetricSpec:
    what = "Frechet distance" if frechet else "unbiased squared MMD, kernel (x.y/d + 1)^3, all samples"
    features = "Inception-2015-12-05 pool features (2048)" if network is None else f"features of {network}"
    own = _OWN_NETWORK if network is not None and frechet and not view else {}
    return MetricSpec(
        id=name,
        region="content",
        unit="distance",
        low=0.0 if frechet else None,
        high=None,
        higher_is_better=False,
        meaning=f"{what} of {features}: {_VIEW[view]}" + ("; biased in n" if frechet else ""),
        source="Heusel et al., NeurIPS 2017" if frechet else "Binkowski et al., ICLR 2018",
        definition=f"{name}/1:{network or INCEPTION}:" + ("human-256-area-linear-u8" if view else "image-u8"),
        network=network or INCEPTION,
        columns=_DEFAULT_COLUMNS.get(name, own),
        column_if_undefined=name == "fid",
    )


def _lpips(name: str) -> MetricSpec:
    network = split_id(name)[1]
    return MetricSpec(
        id=name,
        region="content",
        unit="distance",
        high=None,
        higher_is_better=False,
        meaning=f"mean LPIPS between composite and ground truth, network {network}",
        source="Zhang et al., CVPR 2018",
        terms=terms_of.value_of(name),
        network=network,
        columns=_OWN_NETWORK,
    )


def _given_distance(frechet: bool, view: str, name: str) -> MetricSpec:
    return _distance(name, frechet, view, split_id(name)[1])


# Families whose members are networks: `fd[NAME@SHA8]`, `lpips_image[NAME@SHA8]`.
FAMILIES: Mapping[str, Callable[[str], MetricSpec]] = {
    **{f"lpips_{region}": _lpips for region in REGIONS},
    **{f"{base}{view}": partial(_given_distance, base == "fd", view) for base in ("fd", "kd") for view in _VIEW},
}

INCEPTION_SPECS: tuple[MetricSpec, ...] = tuple(
    _distance(f"{base}{view}", base == "fid", view, None) for base in ("fid", "kid") for view in _VIEW
)
