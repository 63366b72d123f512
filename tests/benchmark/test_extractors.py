"""Feature networks: naming, fetching, caching, failing well; with small scripted modules and no internet."""

from __future__ import annotations

import hashlib
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deocc_bench.benchmark import extractors as ex
from deocc_bench.core.errors import DeoccError, InputError
from deocc_bench.core.samples import identity_row, to_table
from deocc_bench.metrics.aggregate import aggregate, unavailable
from deocc_bench.metrics.arrays import SampleArrays
from deocc_bench.metrics.distribution import frechet_distance, kernel_distance
from deocc_bench.metrics.feature_inputs import distribution_view, region_view
from deocc_bench.metrics.rows import metrics_to_score, sample_row
from deocc_bench.metrics.spec import get_spec

torch = pytest.importorskip("torch")

NUMBERS = count()
NET = "def forward(self, x: Tensor) -> Tensor:\n    return {}\n"


def script(path: Path, *definitions: str) -> Path:
    """Save a TorchScript module made of `definitions`."""
    # A class of its own: torch keeps one method table per class name.
    module = type(f"Net{next(NUMBERS)}", (torch.jit.ScriptModule,), {})()
    for code in definitions:
        module.define(code)
    module.save(str(path))
    return path


@pytest.fixture
def means(tmp_path: Path) -> Path:
    return script(tmp_path / "channel means.pt", NET.format("x.mean(dim=[2, 3])"))


def pictures(n: int, seed: int = 0) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).integers(0, 256, (n, 9, 7, 3), dtype=np.uint8))


def test_other_networks_never_give_fid(means: Path) -> None:
    extractor = ex.find_extractor(means)
    assert isinstance(extractor, ex.Extractor)
    sha8 = hashlib.sha256(means.read_bytes()).hexdigest()[:8]
    assert extractor.label == f"channel-means@{sha8}"
    assert extractor.metric_id("fid", "image") == f"fd[channel-means@{sha8}]"
    assert extractor.metric_id("kid", "human") == f"kd_human[channel-means@{sha8}]"
    assert get_spec(extractor.metric_id("kid", "human")).definition.startswith("kd_human[channel-means@")
    # A copy under the famous name is still another file.
    copy = means.with_name(ex.INCEPTION_FILE)
    copy.write_bytes(means.read_bytes())
    renamed = ex.find_extractor(copy)
    assert isinstance(renamed, ex.Extractor)
    assert not renamed.is_inception
    assert renamed.metric_id("fid", "image").startswith("fd[")
    inception = ex.Extractor(means, ex.INCEPTION_SHA256, "any-name")
    assert inception.metric_id("fid", "image") == "fid"
    assert inception.metric_id("kid", "human") == "kid_human"


def test_features_are_what_the_network_says_for_any_batch(means: Path) -> None:
    extractor = ex.find_extractor(means)
    assert isinstance(extractor, ex.Extractor)
    images = [*pictures(5), *(p[:4] for p in pictures(3, 1))]  # two sizes
    seen: list[int] = []
    features = extractor.features(images, batch=2, progress=lambda done, total: seen.append(done))
    np.testing.assert_allclose(features, [i.reshape(-1, 3).mean(axis=0) for i in images], rtol=1e-6)
    np.testing.assert_allclose(extractor.features(images, batch=16), features, rtol=1e-6)
    assert features.dtype == np.float64
    assert seen == [2, 4, 5, 7, 8]
    assert extractor.features([]).shape[0] == 0


def test_return_features_is_set_where_the_network_takes_it(tmp_path: Path) -> None:
    code = (
        "def forward(self, img: Tensor, return_features: bool = False) -> Tensor:\n"
        "    if return_features:\n        return img.amax(dim=[2, 3])\n    return img.mean(dim=[2, 3])\n"
    )
    extractor = ex.find_extractor(script(tmp_path / "two.pt", code))
    assert isinstance(extractor, ex.Extractor)
    images = pictures(3)
    np.testing.assert_array_equal(extractor.features(images), [i.reshape(-1, 3).max(axis=0) for i in images])


def test_distances_carry_the_right_ids(means: Path) -> None:
    extractor = ex.find_extractor(means)
    assert isinstance(extractor, ex.Extractor)
    x, y = extractor.features(pictures(20)), extractor.features(pictures(20, 1))
    found = ex.distances(x, y, extractor, "human")
    assert found == {
        f"fd_human[{extractor.label}]": frechet_distance(x, y),
        f"kd_human[{extractor.label}]": kernel_distance(x, y),
    }


def test_bad_files_are_refused_in_one_line(tmp_path: Path, means: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        ex.find_extractor(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("weights")
    with pytest.raises(InputError, match="not a TorchScript file"):
        ex.find_extractor(tmp_path / "text.pt")
    np.savez(tmp_path / "arrays.npz", a=np.zeros(3))
    zipped = ex.find_extractor(tmp_path / "arrays.npz")
    assert isinstance(zipped, ex.Extractor)
    with pytest.raises(InputError, match="can't be loaded as TorchScript"):
        zipped.features(pictures(1))
    broken = ex.find_extractor(script(tmp_path / "nan.pt", NET.format("x.mean(dim=[2, 3]) / 0.0 * 0.0")))
    assert isinstance(broken, ex.Extractor)
    with pytest.raises(DeoccError, match="NaN"):
        broken.features(pictures(1))
    odd = ex.find_extractor(script(tmp_path / "odd.pt", NET.format("x.view(3, 5)")))
    assert isinstance(odd, ex.Extractor)
    with pytest.raises(DeoccError, match="fails on pictures") as caught:
        odd.features(pictures(1))
    assert "\n" not in str(caught.value)


def test_fetched_once_with_progress_and_checksum(tmp_path: Path, means: Path, monkeypatch: Any) -> None:
    monkeypatch.delenv("DEOCC_OFFLINE", raising=False)
    sha = hashlib.sha256(means.read_bytes()).hexdigest()
    steps: list[tuple[int, int | None]] = []
    cache = tmp_path / "cache"
    url = means.as_uri()
    found = ex.find_extractor(cache=cache, url=url, sha256=sha, progress=lambda a, b: steps.append((a, b)))
    assert isinstance(found, ex.Extractor)
    assert found.path.parent == cache
    assert steps[-1] == (means.stat().st_size, means.stat().st_size)
    means.unlink()
    again = ex.find_extractor(cache=cache, url=url, sha256=sha)
    assert isinstance(again, ex.Extractor), "from the cache: the source is gone"
    found.path.write_bytes(b"damaged")
    damaged = ex.find_extractor(cache=cache, url=url, sha256=sha)
    assert isinstance(damaged, ex.Unavailable), "a damaged cache file is not used"


def test_what_cannot_be_had_is_a_reason_not_an_error(tmp_path: Path, means: Path, monkeypatch: Any) -> None:
    monkeypatch.delenv("DEOCC_OFFLINE", raising=False)
    nowhere = ex.find_extractor(cache=tmp_path / "c", url=(tmp_path / "gone.pt").as_uri())
    assert isinstance(nowhere, ex.Unavailable)
    assert "could not be downloaded" in nowhere.reason
    assert "--fid-extractor" in nowhere.reason
    other = ex.find_extractor(cache=tmp_path / "c", url=means.as_uri())
    assert isinstance(other, ex.Unavailable)
    assert "whose checksum is not" in other.reason
    assert not list((tmp_path / "c").glob("*")), "nothing is left behind"
    off = ex.find_extractor(cache=tmp_path / "c", fetch=False)
    assert isinstance(off, ex.Unavailable)
    monkeypatch.setenv("DEOCC_OFFLINE", "1")
    assert isinstance(ex.find_extractor(cache=tmp_path / "c", url=means.as_uri()), ex.Unavailable)
    value = unavailable("fid", 12, nowhere.reason)
    assert (value["value"], value["n"], value["n_defined"]) == (None, 12, 0)
    assert value["reason"] == nowhere.reason


def test_known_checksum_is_that_of_the_published_file() -> None:
    # Published by several projects that check it, k-diffusion among them; a typo here would make every FID null.
    assert ex.INCEPTION_SHA256 == "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
    assert ex.INCEPTION_URL.endswith("/" + ex.INCEPTION_FILE)
    assert get_spec("fid_human").definition == "fid_human/1:inception-2015-12-05@f58cb9b6:human-256-area-linear-u8"


def test_truth_features_are_kept_by_content(tmp_path: Path, means: Path) -> None:
    extractor = ex.find_extractor(means)
    assert isinstance(extractor, ex.Extractor)
    calls: list[int] = []

    def compute() -> np.ndarray:
        calls.append(1)
        return np.arange(6.0).reshape(2, 3) + len(calls)

    def get(fingerprint: str = "f", region: str = "image", ids: tuple[str, ...] = ("a", "b")) -> np.ndarray:
        return ex.cached_features(
            compute, fingerprint=fingerprint, extractor=extractor, region=region, ids=ids, cache=tmp_path / "cache"
        )

    first = get()
    assert np.array_equal(get(), first)
    assert len(calls) == 1
    for other in ({"fingerprint": "g"}, {"region": "human"}, {"ids": ("a", "c")}):
        get(**other)  # type: ignore[arg-type]
    assert len(calls) == 4
    for file in (tmp_path / "cache" / "features").glob("*.npz"):
        file.write_bytes(file.read_bytes()[:20])
    get()
    assert len(calls) == 5, "a broken cache file is computed anew"


def test_region_view_crops_blackens_and_centres() -> None:
    image = np.full((40, 30, 3), 200, np.uint8)
    mask = np.zeros((40, 30), bool)
    mask[5:25, 10:20] = True
    mask[5, 10] = False
    view = region_view(image, mask, side=20)
    assert view is not None
    assert view.shape == (20, 20, 3)
    assert view[0, 5, 0] == 0, "outside the mask"
    assert (view[1:, 5:15] == 200).all()
    assert not view[:, :5].any()
    assert not view[:, 15:].any()
    assert region_view(image, mask & False) is None
    assert distribution_view(image, mask, "image") is image
    whole = distribution_view(image, mask, "human")
    assert whole is not None
    assert whole.shape == (256, 256, 3)


PAIR = "def forward(self, x: Tensor, y: Tensor) -> Tensor:\n    return (x - y).square().mean(dim=[1, 2, 3])\n"
EMBED = (
    "def forward(self, x: Tensor, resize_images: bool = True, return_lpips: bool = False) -> Tensor:\n"
    "    assert return_lpips and not resize_images\n    return x.mean(dim=[2, 3])\n"
)


def test_perceptual_distance_of_both_kinds(tmp_path: Path) -> None:
    first, second = pictures(2)
    pair = ex.find_perceptual(script(tmp_path / "pair.pt", PAIR))
    assert isinstance(pair, ex.PerceptualDistance)
    gap = (first.astype(float) - second) / 127.5
    assert pair.distance(first, second) == pytest.approx((gap**2).mean(), rel=1e-5)
    assert pair.distance(first, first) == 0.0
    embed = ex.find_perceptual(script(tmp_path / "vgg.pt", EMBED))
    assert isinstance(embed, ex.PerceptualDistance)
    wanted = ((first.mean(axis=(0, 1)) - second.mean(axis=(0, 1))) ** 2).sum()
    assert embed.distance(first, second) == pytest.approx(wanted, rel=1e-4)
    assert embed.metric_id("human").startswith("lpips_human[vgg@")
    assert isinstance(ex.find_perceptual(None), ex.Unavailable)


def test_lpips_columns_are_aggregated_under_the_networks_name(tmp_path: Path) -> None:
    network = ex.find_perceptual(script(tmp_path / "pair.pt", PAIR))
    assert isinstance(network, ex.PerceptualDistance)
    rng = np.random.default_rng(0)
    rows = []
    for k in range(3):
        complete, recovered = rng.integers(0, 256, (2, 24, 24, 3), dtype=np.uint8)
        amodal = np.zeros((24, 24), bool)
        amodal[4:20, 4:20] = True
        modal = amodal.copy()
        modal[10 : 10 + 5 * k] = False  # the first is not occluded
        image = np.where((amodal & ~modal)[..., None], np.uint8(0), complete)
        sample = SampleArrays(image=image, complete=complete, amodal=amodal, modal=modal, recovered=recovered)
        row = identity_row(f"s{k}", f"h{k}") | sample_row(sample, metrics_to_score("content"))
        rows.append(row | ex.perceptual_row(network, sample))
    values = aggregate(to_table(rows), "content", resamples=20)
    name = f"lpips_invisible[{network.label}]"
    assert (values[name]["n"], values[name]["n_defined"]) == (3, 2)
    assert values[name]["value"] > values[f"lpips_image[{network.label}]"]["value"] > 0
