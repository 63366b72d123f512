"""k-means: blobs, fixed points, degenerate data, and independence of threads and of OpenCV's random generator."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from deocc_bench.core.clustering import kmeans
from deocc_bench.core.seeding import rng


@pytest.fixture
def threads() -> Iterator[None]:
    before = cv2.getNumThreads()
    yield
    cv2.setNumThreads(before)


def test_blobs_are_found() -> None:
    generator = np.random.default_rng(0)
    truth = np.array([[0, 0], [10, 0], [0, 10], [10, 10]], float)
    owner = np.repeat(np.arange(4), (40, 30, 20, 10))
    centres, labels = kmeans(truth[owner] + 0.1 * generator.standard_normal((100, 2)), 4, rng(3, "test"))
    for k in range(4):
        (cluster,) = np.unique(labels[owner == k])
        assert centres[cluster] == pytest.approx(truth[k], abs=0.15)


def test_result_is_a_fixed_point_of_lloyds_rounds() -> None:
    points = np.random.default_rng(1).random((200, 6))
    centres, labels = kmeans(points, 7, rng(0, "test"))
    assert np.array_equal(((points[:, None] - centres[None]) ** 2).sum(2).argmin(1), labels)
    assert centres.dtype == np.float32
    assert labels.dtype == np.int64
    for k in range(7):
        assert np.array_equal(centres[k], points[labels == k].mean(0).astype(np.float32))


@pytest.mark.parametrize(("count", "expected"), [(2, 2), (3, 3), (5, 3), (50, 3)])
def test_fewer_distinct_points_give_fewer_clusters(count: int, expected: int) -> None:
    centres, labels = kmeans(np.repeat(np.eye(3), 4, axis=0), count, rng(0, "test"))
    assert len(centres) == expected
    assert set(labels) == set(range(expected))
    if expected == 3:
        assert {tuple(c) for c in centres} == {tuple(c) for c in np.eye(3)}


@pytest.mark.usefixtures("threads")
def test_number_of_threads_changes_no_bit() -> None:
    points = np.random.default_rng(2).random((3000, 40))
    found = []
    for count in (1, 4):
        cv2.setNumThreads(count)
        found.append(kmeans(points, 24, rng(0, "test")))
    assert np.array_equal(found[0][0], found[1][0])
    assert np.array_equal(found[0][1], found[1][1])


def test_opencvs_global_generator_is_neither_read_nor_moved() -> None:
    points = np.random.default_rng(3).random((300, 5))

    def drawn() -> np.ndarray:
        return cv2.randu(np.zeros(8, np.float32), 0, 1)

    cv2.setRNGSeed(1)
    expected = drawn().copy()
    cv2.setRNGSeed(1)
    first = kmeans(points, 9, rng(0, "test"))
    assert np.array_equal(drawn(), expected)
    cv2.setRNGSeed(2)
    second = kmeans(points, 9, rng(0, "test"))
    assert np.array_equal(first[0], second[0])
    assert not np.array_equal(first[0], kmeans(points, 9, rng(1, "test"))[0])
