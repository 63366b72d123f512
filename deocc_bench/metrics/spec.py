"""All metrics by id: built-in ones, and those of installed packages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import pandas as pd

from deocc_bench.core.errors import DeoccError, UsageError, one_line
from deocc_bench.core.registry import Registry, unknown
from deocc_bench.metrics.content_specs import CONTENT_SPECS
from deocc_bench.metrics.definition import REGIONS, TASKS, MetricSpec, split_id
from deocc_bench.metrics.mask_specs import MASK_SPECS
from deocc_bench.metrics.network_specs import FAMILIES, INCEPTION_SPECS

METRICS: Mapping[str, MetricSpec] = {s.id: s for s in (*MASK_SPECS, *CONTENT_SPECS, *INCEPTION_SPECS)}
# An entry point is a MetricSpec, several of them, or a function that returns either.
PACKAGES = Registry("metric", {}, "deocc_bench.metrics")


@cache
def all_metrics() -> Mapping[str, MetricSpec]:
    """Every metric with a fixed id: built-in ones in their order, then those of installed packages.

    Raises:
        DeoccError: a package provides something other than metrics, or a metric whose id is taken.
    """
    found = dict(METRICS)
    for name in PACKAGES.names():
        for spec in _brought(name):
            if spec.id in found or split_id(spec.id)[0] in FAMILIES:
                raise DeoccError(
                    f"metric {spec.id!r} of entry point {name!r} ({PACKAGES.source(name)}) already exists; "
                    "rename it, or uninstall one of the packages"
                )
            found[spec.id] = spec
    return found


def get_spec(metric_id: str) -> MetricSpec:
    """The spec of a metric, including metrics with a network name in brackets.

    Raises:
        UsageError: no such metric.
    """
    known = all_metrics()
    if metric_id in known:
        return known[metric_id]
    family, member = split_id(metric_id)
    if member and family in FAMILIES:
        return FAMILIES[family](metric_id)
    raise UsageError(unknown("metric", metric_id, (m for m, spec in known.items() if not spec.each_part)))


def specs_for(task: str, table: pd.DataFrame | None = None) -> dict[str, MetricSpec]:
    """The metrics of a task that are functions of the table, including those of networks with columns in the table.

    Raises:
        UsageError: no such task.
    """
    if task not in TASKS:
        raise UsageError(unknown("task", task, TASKS))
    found = dict(all_metrics())
    for name in () if table is None else table.columns:
        if split_id(name)[0] in FAMILIES:
            found[name] = get_spec(name)
    return {name: s for name, s in found.items() if task in s.tasks and s.terms is not None}


def spec_of_record(metric_id: str, recorded: Mapping[str, Any], task: str) -> MetricSpec:
    """The spec of a metric in a record, which may come from another version or from a package that is not installed.

    If this version has the same definition, its spec is returned. A known id with another definition can't be computed
    here, but is printed in the same column. For an unknown id, unit and direction come from the record, and the region
    comes from the task if the task has only one.

    Args:
        recorded: the metric's entry in the record.
        task: the record's task.
    """
    unit, definition = str(recorded["unit"]), str(recorded["definition"])
    better = bool(recorded["higher_is_better"])
    try:
        known = get_spec(metric_id)
    except UsageError:
        return MetricSpec(
            id=metric_id,
            region=next((region for region in REGIONS if task == region), None),
            meaning="",
            source="",
            low=None,
            high=None,
            unit=unit,
            higher_is_better=better,
            definition=definition,
        )
    if known.definition == definition:
        return known
    # Its number can't be computed here.
    known = replace(known, meaning="", source="", terms=None, row=None)
    return replace(known, unit=unit, higher_is_better=better, definition=definition)


def _brought(name: str) -> Iterable[MetricSpec]:
    where = f"entry point {name!r} ({PACKAGES.source(name)})"
    try:
        found = PACKAGES.load(name)
        found = found() if callable(found) else found
    except (TypeError, ValueError) as error:
        raise DeoccError(f"{where} fails: {one_line(error, 200)}; fix or uninstall its package") from error
    specs = list(found) if isinstance(found, Iterable) else [found]
    for spec in specs:
        if not isinstance(spec, MetricSpec):
            raise DeoccError(
                f"{where} provides a {type(spec).__name__}, not a MetricSpec; fix or uninstall its package"
            )
    return specs
