"""Which humans are used: whole, large enough, and with a label to believe."""

from __future__ import annotations

from dataclasses import dataclass

from deocc_bench.synth.humans.base import HumanInfo


@dataclass(frozen=True)
class HumanFilter:
    """What a human must be like. Amodal truth needs integrated humans: all of the person is in the photo.

    Args:
        min_height: of the person, pixels of the photo.
        min_area: of the person, pixels of the photo.
        integrated_only: leave out who is cut by the frame or borders on another labelled person.
        allow_bags: take who carries a bag; its pixels are not the person, so they may hide a part unlabelled.
        allow_defects: take humans with a suspicious label.
    """

    min_height: int = 96
    min_area: int = 1000
    integrated_only: bool = True
    allow_bags: bool = False
    allow_defects: bool = False

    def reject_reason(self, info: HumanInfo) -> str | None:
        """Why a human is left out, in fixed words up to a colon or parenthesis; None if it is used.

        The gravest reason comes first: what is wrong with the label, then the person, then the photo.
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
