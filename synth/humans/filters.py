"""Filters that keep humans who are complete, large enough and reliably labelled."""

from __future__ import annotations

from dataclasses import dataclass

from deocc_bench.synth.humans.base import HumanInfo


@dataclass(frozen=True)
class HumanFilter:
    """Conditions on a human. Amodal ground truth needs integrated humans, fully visible in the photo.

    Args:
        min_height: minimum height of the person, pixels of the photo.
        min_area: minimum area of the person, pixels of the photo.
        integrated_only: exclude humans who are cut by the frame or border on another labelled person.
        allow_bags: include humans who carry a bag; regions occluded by bags are unlabelled.
        allow_defects: include humans with a suspicious label.
    """

    min_height: int = 96
    min_area: int = 1000
    integrated_only: bool = True
    allow_bags: bool = False
    allow_defects: bool = False

    def reject_reason(self, info: HumanInfo) -> str | None:
        """The reason to exclude a human, or None. The text before a colon or parenthesis is a fixed phrase.

        The most serious reason is returned: first the label, then the person, then the photo.
        """
        if info.area == 0:
            return "empty label"
        if info.defects and not self.allow_defects:
            more = ("cut by the frame",) if info.touches_frame else ()
            return f"suspicious label: {'; '.join(info.defects + more)}"
        if self.integrated_only and info.touches_frame:
            return "cut by the frame"
        if self.integrated_only and info.touches_person:
            return "borders on another person"
        if info.carries_bag and not self.allow_bags:
            return "carries a bag"
        if info.height < self.min_height:
            return f"too small (height {info.height} px, at least {self.min_height} wanted)"
        if info.area < self.min_area:
            return f"too small (area {info.area} px, at least {self.min_area} wanted)"
        return None
