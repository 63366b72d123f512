"""Feature networks for FID, KID and LPIPS: TorchScript files, downloaded once; features are cached.

Only the file with the checksum of Inception-2015-12-05 produces metrics called `fid` and `kid`; those of any other
network are called `fd[NAME@SHA8]` and `kd[NAME@SHA8]`. A network that is not available is an `Unavailable` with the
reason, not an exception: the run continues and the metric is null.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np

from deocc_bench.core.errors import DeoccError, InputError, one_line
from deocc_bench.core.files import atomic_write, sha256_file
from deocc_bench.core.provenance import digest
from deocc_bench.metrics.arrays import SampleArrays
from deocc_bench.metrics.distribution import frechet_distance, kernel_distance
from deocc_bench.metrics.feature_inputs import VIEW_SIDE, region_view

# The TorchScript translation of the Inception network that defines FID, published with StyleGAN2-ADA (95,607,719
# bytes; NVIDIA source code licence: downloaded by the user's machine, never shipped).
INCEPTION_URL = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt"
INCEPTION_SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
INCEPTION_FILE = "inception-2015-12-05.pt"

# Numbers of other networks are never called FID or KID.
_OTHER_NETWORK = {"fid": "fd", "kid": "kd"}
_BLOCK = 1 << 20
_TIMEOUT_S = 20.0

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Unavailable:
    """A network that is not available, with the reason and a remedy."""

    reason: str


@dataclass(frozen=True)
class Extractor:
    """A feature network: a TorchScript file that maps float32 NCHW in 0..255 to N x D.

    A file whose forward takes `return_features` is called with it set, as the Inception file requires.
    """

    path: Path
    sha256: str
    name: str

    @property
    def is_inception(self) -> bool:
        """Whether its numbers may be called FID and KID."""
        return self.sha256 == INCEPTION_SHA256

    @property
    def label(self) -> str:
        """`NAME@SHA8`."""
        return f"{self.name}@{self.sha256[:8]}"

    def metric_id(self, base: str, region: str) -> str:
        """The id of a distance: `base` "fid" or "kid", `region` "image" or "human"."""
        suffix = "" if region == "image" else f"_{region}"
        if self.is_inception:
            return f"{base}{suffix}"
        return f"{_OTHER_NETWORK[base]}{suffix}[{self.label}]"

    @cached_property
    def _module(self) -> Any:
        return _load_script(self.path)

    def features(
        self,
        images: Iterable[np.ndarray],
        batch: int = 32,
        device: str = "cpu",
        progress: Progress | None = None,
    ) -> np.ndarray:
        """Compute the features of RGB pictures.

        Args:
            images: uint8 (H, W, 3); consecutive images of one size share a batch.
            batch: maximum batch size.
            device: torch device.
            progress: called with (done, None) after each batch.

        Returns:
            float64 (N, D).

        Raises:
            DeoccError: the network fails on a picture, or its output is not one finite vector per picture.
        """
        import torch

        module = self._module.to(device)
        options = {"return_features": True} if "return_features" in _arguments(module) else {}
        blocks: list[np.ndarray] = []
        done = 0
        for group in _batches(images, batch):
            tensor = torch.from_numpy(np.stack(group).transpose(0, 3, 1, 2).astype(np.float32)).to(device)
            try:
                with torch.inference_mode():
                    out = module(tensor, **options)
                rows = np.asarray(out.reshape(len(group), -1).double().cpu().numpy())
            except (RuntimeError, AttributeError, TypeError) as error:
                raise DeoccError(
                    f"{self.path}: fails on pictures of {group[0].shape} ({one_line(error, 200)}); "
                    "give a TorchScript file that maps NCHW in 0..255 to N x D"
                ) from error
            if not np.isfinite(rows).all():
                raise DeoccError(f"{self.path}: the output contains NaN or infinity; use another extractor")
            blocks.append(rows)
            done += len(group)
            if progress is not None:
                progress(done, None)
        return np.concatenate(blocks) if blocks else np.zeros((0, 0))


@dataclass(frozen=True)
class PerceptualDistance:
    """A learned perceptual distance (LPIPS) as a TorchScript file.

    Two kinds are supported: forward(x, y) with float32 NCHW in [-1, 1], which returns one distance per pair; and
    forward(x, ..., return_lpips) with NCHW in 0..255, which returns vectors whose squared distance is the value
    (StyleGAN2-ADA's vgg16.pt).
    """

    path: Path
    sha256: str
    name: str

    @property
    def label(self) -> str:
        """`NAME@SHA8`."""
        return f"{self.name}@{self.sha256[:8]}"

    def metric_id(self, region: str) -> str:
        """The column and metric id of a region: `lpips_REGION[NAME@SHA8]`."""
        return f"lpips_{region}[{self.label}]"

    @cached_property
    def _module(self) -> Any:
        return _load_script(self.path)

    def distance(self, first: np.ndarray, second: np.ndarray, device: str = "cpu") -> float:
        """Distance between two RGB pictures of equal size, uint8 (H, W, 3).

        Raises:
            DeoccError: the network fails or does not return a single finite number.
        """
        import torch

        module = self._module.to(device)
        names = _arguments(module)
        x, y = (torch.from_numpy(p.transpose(2, 0, 1)[None].astype(np.float32)).to(device) for p in (first, second))
        try:
            with torch.inference_mode():
                if "return_lpips" in names:
                    options = {"return_lpips": True} | ({"resize_images": False} if "resize_images" in names else {})
                    gap = (module(x, **options) - module(y, **options)).double().square().sum()
                else:
                    gap = module(x / 127.5 - 1.0, y / 127.5 - 1.0).double()
                value = float(gap.item())
        except (RuntimeError, AttributeError, TypeError, ValueError) as error:
            raise DeoccError(
                f"{self.path}: fails on a pair of pictures of {first.shape} ({one_line(error, 200)}); "
                "give a TorchScript file that maps two NCHW tensors to a distance"
            ) from error
        if not np.isfinite(value):
            raise DeoccError(f"{self.path}: the output is NaN or infinity; use another file")
        return value


def cache_dir() -> Path:
    """Folder of downloaded networks and features: `DEOCC_CACHE`, else `deocc-bench` in the user's cache folder."""
    if os.environ.get("DEOCC_CACHE"):
        return Path(os.environ["DEOCC_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "deocc-bench"


def find_extractor(
    path: str | Path | None = None,
    *,
    cache: str | Path | None = None,
    fetch: bool = True,
    progress: Progress | None = None,
    url: str = INCEPTION_URL,
    sha256: str = INCEPTION_SHA256,
) -> Extractor | Unavailable:
    """Find the feature network: the file at `path`, else the cached Inception network, else a download.

    Args:
        path: a TorchScript file; named after its stem unless it is the known Inception file.
        cache: folder of the cache (`cache_dir()` by default).
        fetch: whether a download is allowed; the environment variable `DEOCC_OFFLINE` also forbids it.
        progress: called with (bytes so far, total bytes if known).
        url, sha256: of the default network.

    Raises:
        InputError: `path` is not a TorchScript file. All other failures return `Unavailable`.
    """
    if path is not None:
        return Extractor(*_identify(path))
    target = Path(cache or cache_dir()) / INCEPTION_FILE
    cure = f"pass the file with --fid-extractor, or put it at {target}"
    if target.is_file() and sha256_file(target) == sha256:
        return Extractor(target, sha256, target.stem)
    if not fetch or os.environ.get("DEOCC_OFFLINE"):
        return Unavailable(f"{INCEPTION_FILE} is not in the cache and downloads are off; {cure}")
    try:
        fetch_file(url, target, sha256, progress)
    except DeoccError as error:
        return Unavailable(f"{error}; {cure}")
    return Extractor(target, sha256, target.stem)


def find_perceptual(path: str | Path | None) -> PerceptualDistance | Unavailable:
    """The LPIPS network of a TorchScript file; `Unavailable` without a file, since none may be shipped.

    Raises:
        InputError: `path` is not a TorchScript file.
    """
    if path is None:
        return Unavailable("LPIPS needs network weights; pass a TorchScript file with --lpips")
    return PerceptualDistance(*_identify(path))


def fetch_file(url: str, target: str | Path, sha256: str, progress: Progress | None = None) -> None:
    """Download `url` to `target` and check its SHA-256; nothing is left behind on failure.

    Raises:
        DeoccError: the download failed, or the checksum does not match.
    """
    received = io.BytesIO()
    try:
        with urlopen(url, timeout=_TIMEOUT_S) as response:
            length = response.headers.get("Content-Length")
            total = int(length) if length and length.isdigit() else None
            while block := response.read(_BLOCK):
                received.write(block)
                if progress is not None:
                    progress(received.tell(), total)
    except (URLError, HTTPException, OSError, ValueError) as error:
        raise DeoccError(f"{url}: could not be downloaded ({one_line(error, 120)})") from error
    data = received.getvalue()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DeoccError(f"{url}: discarded {len(data)} bytes, whose checksum is not {sha256[:8]}...")
    atomic_write(target, data)


def perceptual_row(network: PerceptualDistance, sample: SampleArrays, device: str = "cpu") -> dict[str, float | None]:
    """LPIPS columns of one sample for the regions image, human and invisible (the latter two by `region_view`)."""
    scored, truth = sample.composite, sample.truth
    row: dict[str, float | None] = {network.metric_id("image"): network.distance(scored, truth, device)}
    for region, mask in (("human", sample.of("amodal")), ("invisible", sample.hidden)):
        seen, expected = region_view(scored, mask), region_view(truth, mask)
        value = None if seen is None or expected is None else network.distance(seen, expected, device)
        row[network.metric_id(region)] = value
    return row


def cached_features(
    compute: Callable[[], np.ndarray],
    *,
    fingerprint: str,
    extractor: Extractor,
    region: str,
    ids: Sequence[str],
    cache: str | Path | None = None,
) -> np.ndarray:
    """Features of the ground truth, cached by dataset fingerprint, network, region and sample ids.

    Args:
        compute: returns float64 (len(ids), D); called if the cache file is missing or broken.
    """
    key = digest(fingerprint, extractor.sha256, region, str(VIEW_SIDE), *ids)
    path = Path(cache or cache_dir()) / "features" / f"{key[:32]}.npz"
    known = _read_features(path, len(ids))
    if known is not None:
        return known
    features = compute()
    buffer = io.BytesIO()
    np.savez(buffer, features=features)
    atomic_write(path, buffer.getvalue())
    return features


def distances(truth: np.ndarray, predicted: np.ndarray, extractor: Extractor, region: str) -> dict[str, float]:
    """Both distances between two feature sets (N, D), under the metric ids of this network."""
    return {
        extractor.metric_id("fid", region): frechet_distance(truth, predicted),
        extractor.metric_id("kid", region): kernel_distance(truth, predicted),
    }


def _identify(path: str | Path) -> tuple[Path, str, str]:
    path = Path(path)
    cure = "use a file written by torch.jit.save"
    if not path.is_file():
        raise InputError(path, "no such file", cure)
    if not zipfile.is_zipfile(path):
        raise InputError(path, "not a TorchScript file", cure)
    name = re.sub(r"[^A-Za-z0-9.+-]+", "-", path.stem).strip("-") or "network"
    return path, sha256_file(path), name


def _load_script(path: Path) -> Any:
    import torch

    try:
        return torch.jit.load(str(path), map_location="cpu").eval()
    except (RuntimeError, ValueError) as error:
        raise InputError(
            path, f"can't be loaded as TorchScript ({one_line(error, 120)})", "use a file written by torch.jit.save"
        ) from error


def _arguments(module: Any) -> list[str]:
    return [a.name for a in module.forward.schema.arguments]


def _batches(images: Iterable[np.ndarray], batch: int) -> Iterator[list[np.ndarray]]:
    group: list[np.ndarray] = []
    for image in images:
        if group and (len(group) == batch or image.shape != group[0].shape):
            yield group
            group = []
        group.append(image)
    if group:
        yield group


def _read_features(path: Path, rows: int) -> np.ndarray | None:
    try:
        with np.load(path, allow_pickle=False) as stored:
            features = np.asarray(stored["features"], dtype=np.float64)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return features if features.ndim == 2 and len(features) == rows else None
