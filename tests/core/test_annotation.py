"""The annotation record: JSON comes back as it was, and a wrong type is one line."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deocc_bench.core import masks
from deocc_bench.core.annotation import Annotation, ImageEntry, OccluderEntry
from deocc_bench.core.errors import InputError
from deocc_bench.core.paths import is_relative, is_safe_id

MASK = masks.encode(np.eye(4, 5, dtype=bool))
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
NAME = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(is_safe_id)
FILE = st.lists(NAME, min_size=1, max_size=3).map("/".join).filter(is_relative)
SIDE = st.integers(1, 2**31 - 1)
SHARE = st.floats(0, 1)
WHOLE = st.integers(-5, 2**52)
NUMBER = st.floats(allow_nan=False, allow_infinity=False) | WHOLE
COUNTS = st.text(st.characters(codec="ascii"), max_size=8) | st.lists(WHOLE)
RLE = st.builds(lambda n, counts: {"size": [n, 4], "counts": counts}, st.integers(1, 99), COUNTS)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
OCCLUDER = {"id": TEXT, "category": TEXT, "order": WHOLE, "segmentation": RLE}
OCCLUDER_MORE = {"group_id": TEXT, "licence": TEXT, "behind": st.booleans()}
IMAGE = {"id": WHOLE | TEXT, "file_name": FILE, "height": SIDE, "width": SIDE, "group_id": TEXT}
IMAGE_MORE = {"licence": TEXT, "complete_file_name": FILE, "parsing_file_name": FILE}
ANNOTATION = {
    "id": WHOLE | TEXT,
    "image_id": WHOLE | TEXT,
    "sample_id": NAME,
    "segmentation": RLE,
    "visible_mask": RLE,
    "occlude_rate": SHARE,
}


def objects(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """JSON objects with any of the optional fields, each maybe null, and keys that nobody knows."""
    known = st.fixed_dictionaries(required, optional={k: v | st.none() for k, v in optional.items()})
    unknown = st.dictionaries(TEXT.map(lambda t: f"x-{t}"), JSON, max_size=3)
    return st.builds(lambda a, b: {**b, **a}, known, unknown)


ANNOTATION_MORE = {
    "invisible_mask": RLE,
    "initial_mask": RLE,
    "initial_iou": SHARE,
    "bbox": st.lists(NUMBER, min_size=4, max_size=4),
    "area": WHOLE,
    "category_id": WHOLE,
    "category": TEXT,
    "iscrowd": WHOLE,
    "human_id": TEXT,
    "variant": WHOLE,
    "occluders": st.lists(objects(OCCLUDER, OCCLUDER_MORE), max_size=2),
    "parts_hidden": st.dictionaries(TEXT, NUMBER, max_size=3),
    "provenance": st.dictionaries(TEXT, JSON, max_size=3),
    "complete_file_name": FILE,
    "parsing_file_name": FILE,
    "digest": TEXT,
}


@pytest.mark.slow
@given(objects(ANNOTATION, ANNOTATION_MORE), objects(IMAGE, IMAGE_MORE))
def test_json_comes_back_as_it_was(annotation: dict[str, Any], image: dict[str, Any]) -> None:
    for cls, data in ((Annotation, annotation), (ImageEntry, image)):
        record = cls.from_json(data, "file")
        assert json.dumps(record.to_json(), sort_keys=True) == json.dumps(data, sort_keys=True)
        assert cls.from_json(json.loads(json.dumps(record.to_json())), "file") == record


def valid() -> dict[str, Any]:
    occluder = {"id": "cup", "category": "cup", "order": 1, "segmentation": MASK}
    return {
        "id": 7,
        "image_id": 7,
        "sample_id": "a",
        "segmentation": MASK,
        "visible_mask": MASK,
        "occlude_rate": 0.0,
        "occluders": [occluder],
    }


def test_absent_fields_are_none_and_known_ones_typed() -> None:
    record = Annotation.from_json({**valid(), "mood": "calm"}, "file")
    assert (record.initial_mask, record.category, record.provenance) == (None, None, None)
    assert record.occluders == (OccluderEntry(id="cup", category="cup", order=1, segmentation=MASK),)
    assert record.extra == {"mood": "calm"}
    assert "category" not in record.to_json()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"variant": "one"}, "test.json: annotation 7: variant must be a whole number, got 'one'"),
        ({"variant": True}, "variant must be a whole number, got True"),
        ({"sample_id": 3}, "sample_id must be a name without folders"),
        ({"occlude_rate": "much"}, "occlude_rate must be a number"),
        ({"occlude_rate": float("nan")}, "occlude_rate must be a number"),
        ({"visible_mask": [1, 2]}, "visible_mask must be an RLE mask"),
        ({"segmentation": {"size": [3], "counts": ""}}, "segmentation must be an RLE mask"),
        ({"bbox": [1, 2]}, "bbox must be a list of four numbers"),
        ({"parts_hidden": {"hair": "all"}}, "parts_hidden must be an object of numbers"),
        ({"provenance": "own"}, "provenance must be an object"),
        ({"occluders": {}}, "occluders must be a list"),
        ({"occluders": ["cup"]}, "annotation 7: occluder 1: must be an object, got 'cup'"),
        ({"occluders": [{"id": "cup"}]}, "annotation 7: occluder 1: lacks category, order, segmentation"),
        ({"sample_id": None, "visible_mask": None}, "annotation 7: lacks sample_id, visible_mask"),
    ],
)
def test_wrong_types_are_one_line(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as caught:
        Annotation.from_json(valid() | changes, "test.json: annotation 7")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_numbers_follow_from_the_masks() -> None:
    amodal = np.zeros((8, 8), bool)
    amodal[1:5, 2:6] = True
    modal = amodal.copy()
    modal[4] = False
    encoded = {"amodal": amodal, "modal": modal, "invisible": amodal & ~modal, "initial": amodal}
    record = Annotation.of_masks(id=1, image_id=1, sample_id="a", **{k: masks.encode(v) for k, v in encoded.items()})
    assert (record.area, record.bbox, record.occlude_rate, record.initial_iou) == (16, [2, 1, 4, 4], 0.25, 0.75)


def test_an_empty_initial_mask_of_a_hidden_person_has_no_iou() -> None:
    whole, nothing = masks.encode(np.ones((3, 3), bool)), masks.encode(np.zeros((3, 3), bool))
    record = Annotation.of_masks(
        id=1, image_id=1, sample_id="a", amodal=whole, modal=nothing, invisible=whole, initial=nothing
    )
    assert record.to_json()["initial_iou"] is None
    assert Annotation.from_json(record.to_json(), "file") == record


def test_the_invisible_mask_is_worked_out_where_it_is_absent() -> None:
    record = Annotation.from_json({**valid(), "visible_mask": masks.encode(np.zeros((4, 5), bool))}, "file")
    assert record.invisible == MASK
    assert "invisible_mask" not in record.to_json()


def test_updated_checks_what_it_is_given() -> None:
    record = Annotation.from_json(valid(), "file")
    assert record.updated({"variant": 2, "mood": 1}, "file").to_json() == {**valid(), "variant": 2, "mood": 1}
    with pytest.raises(InputError, match="sample a: variant"):
        record.updated({"variant": "x"}, "sample a")
