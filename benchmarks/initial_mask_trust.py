"""How well the true modal masks and the initial masks of datasets are told apart, and the constants that do it best.

    python benchmarks/initial_mask_trust.py DATASET... [--people IDS.txt] [--weights FILE]

Prints the area under the ROC curve of the mask's detail, of the network's surprise and of both
(`models/initial_mask_trust.py`), fitted to every second person and measured on the others, then the fit to all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import torch
from scipy.optimize import minimize
from torchmetrics.functional.classification import binary_auroc

from deocc_bench.core.dataset import DatasetReader
from deocc_bench.models.initial_mask_trust import network_surprise, outline_detail
from deocc_bench.models.mask_net import MaskNet
from deocc_bench.models.weights import load_weights, shipped_weights
from deocc_bench.models.working_frame import WorkingFrame


def features(net: MaskNet, image: np.ndarray, given: np.ndarray) -> tuple[float, float]:
    """Detail and logarithm of the surprise of one given mask, bool H x W."""
    frame = WorkingFrame.fit(*given.shape, net.config.size)
    coverage = frame.coverage(given[None])
    with torch.inference_mode():
        modal = net(frame.images(image[None]), coverage).modal
    nats = network_surprise(coverage[:, 0].numpy(), (modal[:, 1] - modal[:, 0]).numpy())
    return outline_detail(given), float(np.log(nats[0]))


def fit(x: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Logistic regression by maximum likelihood, a little drawn to 0: coefficients and, last, the constant."""
    middle, spread = x.mean(axis=0), x.std(axis=0)
    z, sign = np.column_stack([(x - middle) / spread, np.ones(len(x))]), np.where(true, 1, -1)
    best = minimize(lambda w: np.logaddexp(0, -sign * (z @ w)).sum() + 0.5 * w @ w, np.zeros(z.shape[1])).x
    slopes = best[:-1] / spread
    return np.append(slopes, best[-1] - slopes @ middle)


@click.command(help=__doc__)
@click.argument("datasets", nargs=-1, required=True)
@click.option("--split", default="test")
@click.option("--people", type=click.Path(exists=True), help="File with the numbers of the photos to take, one a line.")
@click.option("--weights", help="Weights of stage 1; the shipped ones without it.")
def main(datasets: Sequence[str], split: str, people: str | None, weights: str | None) -> None:
    """Measure and fit."""
    net, _ = load_weights(weights or shipped_weights("tiny-mask") or "tiny-mask")
    assert isinstance(net, MaskNet)
    wanted = {int(n) for n in Path(people).read_text().split()} if people else None
    rows, true, person = [], [], []
    for folder in datasets:
        reader = DatasetReader(folder)
        for record in reader.records(split):
            if wanted is not None and int(record.human_id.rpartition("-")[2]) not in wanted:
                continue
            sample = record.load()
            for given in (sample.modal, sample.initial):
                rows.append(features(net, sample.image, given))
                true.append(given is sample.modal)
                person.append(record.human_id)
    x, label = np.array(rows), np.array(true)
    learn = np.isin(person, sorted(set(person))[::2])
    print(f"{len(x) // 2} samples of {len(set(person))} people")
    for name, columns in (("detail", [0]), ("surprise", [1]), ("both", [0, 1])):
        w = fit(x[learn][:, columns], label[learn])
        score = x[~learn][:, columns] @ w[:-1] + w[-1]
        right = float(np.mean((score > 0) == label[~learn]))
        area = float(binary_auroc(torch.from_numpy(score), torch.from_numpy(label[~learn])))
        print(f"{name:9s} area under the curve {area:.3f}, told right {right:.3f}")
    slopes = fit(x, label)
    print(f"DETAIL = {slopes[0]:.1f}, SURPRISE = {-slopes[1]:.1f}, BIAS = {slopes[2]:.1f}")


if __name__ == "__main__":
    main()
