"""One person of a photo of any size: completed and recovered by a method, pasted back at the photo's resolution.

A square window about the person is brought to the working size, the method completes the mask and recovers the content
there, and both go back into the photo. Pixels outside the invisible region stay those of the photo, to the bit. Several
people are worked on apart, each in the photo as it is: neither the order of the masks nor what was painted for another
person changes a person's own result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import cv2
import numpy as np

from deocc_bench.baselines.fills import extend
from deocc_bench.core import masks
from deocc_bench.core.errors import DeoccError, UsageError, describe_error
from deocc_bench.core.types import Batch, MaskOutput
from deocc_bench.core.window import Window, cut, window
from deocc_bench.methods.calling import complete, draw_seed, hand_over, recover
from deocc_bench.methods.method import Method

T = TypeVar("T")

# The visible box is smaller than the whole person's. On 48 drawn people with 5 to 70 % hidden, a window this much wider
# than that of the visible box is 0.85 (p10) to 1.25 (p90) times that of the whole person: what training jitter spans.
FIRST_LOOK = 1.25
SIZE = 256
LOOKS = 3
# A window that moved and grew by less than this share of its side would show the method the same again.
_SETTLED = 0.1
# A person who is cut by the window is taken to go on by this share of what is seen of them.
_BEYOND = 0.5
# Below this IoU the refined visible part is doubted.
_AGREES = 0.5


@dataclass(frozen=True)
class Recovery:
    """One person of a photo of H x W.

    Args:
        window: what the method was shown last.
        modal, amodal: bool H x W, the visible part and the whole person; modal lies in amodal.
        image: uint8 H x W x 3, the photo with the person's invisible region painted; None from a method of masks alone.
        notes: what the user should know, one sentence each.
    """

    window: Window
    modal: np.ndarray
    amodal: np.ndarray
    image: np.ndarray | None
    notes: tuple[str, ...] = ()

    @property
    def invisible(self) -> np.ndarray:
        """bool H x W: amodal & ~modal."""
        return self.amodal & ~self.modal

    @property
    def hidden_share(self) -> float:
        """|invisible| / |amodal|."""
        return float(np.count_nonzero(self.invisible) / np.count_nonzero(self.amodal))

    def cutout(self) -> tuple[np.ndarray, tuple[int, int]]:
        """The whole person, uint8 h x w x 4 RGBA, cut to their box and clear elsewhere; (x, y) of its corner."""
        box = masks.tight_box(self.amodal)
        assert box is not None
        assert self.image is not None
        x0, y0, x1, y1 = box
        inside = self.amodal[y0:y1, x0:x1]
        rgb = np.where(inside[..., None], self.image[y0:y1, x0:x1], 0)
        return np.dstack([rgb, inside.astype(np.uint8) * 255]).astype(np.uint8), (x0, y0)


def recover_person(
    method: Method,
    photo: np.ndarray,
    mask: np.ndarray,
    *,
    size: int = SIZE,
    exact: bool = False,
    whole: np.ndarray | None = None,
    hiding: np.ndarray | None = None,
    seed: int = 0,
) -> Recovery:
    """Complete and recover one person of a photo.

    The first look is at a window `FIRST_LOOK` times that of a person who is all visible; the next ones are at the
    window of the whole person as the look before found them, which is how the training data are cut. It ends when the
    window settles, or after `LOOKS` looks.

    Args:
        photo: uint8 H x W x 3. mask: bool H x W, their visible part.
        size: side at which the method works, pixels.
        exact: take `mask` as the visible part, whatever visible part the method makes of it.
        whole: bool H x W, the whole person where it is known; nothing is completed then and `mask` is exact.
        hiding: bool H x W, all that stands in front of people, where it is known: nobody is hidden elsewhere.
        seed: of random methods.

    Raises:
        DeoccError: the method can't do this, fails, or gives an answer of the wrong form.
    """
    check_fits(method, whole is not None)
    refined = False
    box = masks.tight_box(mask if whole is None else mask | whole)
    assert box is not None
    where = window(box, scale=FIRST_LOOK if whole is None else 1.0)
    if whole is not None:
        batch = _batch(photo, mask, where, size)
        assert batch.initial is not None
        found = MaskOutput(_shrink_mask(whole, where, size)[None] | batch.initial, modal=batch.initial)
    else:
        for look in range(LOOKS):
            batch = _batch(photo, mask, where, size)
            found, refined = _masks(method, batch, exact, seed)
            better = window(_person_box(found.amodal[0], where, box, photo.shape))
            if look == LOOKS - 1 or _settled(where, better):
                break
            where = better
    assert found.modal is not None
    modal = _grow_mask(found.modal[0], where, photo.shape) if refined else mask
    amodal = modal | whole if whole is not None else _whole(found, modal, where, size)
    if hiding is not None:
        amodal &= modal | hiding
    if not amodal.any():
        raise DeoccError(f"method {method.name!r} finds nobody at the mask; try --exact, which trusts the mask")
    image = None
    if method.can("recover"):
        # What is not to be painted is not to be erased from what the method sees, either.
        hole = _shrink_mask(amodal & ~modal, where, size) & ~found.modal[0]
        given = replace(found, amodal=found.modal | hole[None])
        image = _recover(method, photo, amodal & ~modal, batch, found=given, where=where, seed=seed)
    return Recovery(where, modal, amodal, image, _notes(mask, modal, found.amodal[0], where, whole is None))


def together(photo: np.ndarray, people: Sequence[Recovery], seen: Sequence[np.ndarray]) -> np.ndarray:
    """One picture with what hid the people painted over, uint8 H x W x 3.

    What is seen of one person (`seen`, bool H x W each) is never painted over for another; where the invisible regions
    of two overlap, the earlier one is taken to be in front.
    """
    out = photo.copy()
    visible = np.logical_or.reduce(seen)
    for person in reversed(people):
        if person.image is not None:
            region = person.invisible & ~visible
            out[region] = person.image[region]
    return out


def check_fits(method: Method, whole_known: bool) -> None:
    """Refuse a method that can't work on a photo.

    Args:
        whole_known: the whole person is given, so that only content is recovered.

    Raises:
        UsageError: says what it lacks and what to give instead.
    """
    name = method.name
    if "truth" in method.all_needs:
        raise UsageError(f"method {name!r} repeats a dataset's truth, and a photo has none; choose another --method")
    if whole_known:
        if not method.can("recover"):
            raise UsageError(f"method {name!r} only completes masks; with --amodal choose one that recovers content")
        return
    if not method.can("complete"):
        raise UsageError(
            f"method {name!r} completes no masks; give the whole person (--amodal), or a method of masks first: "
            f"--method chain:convex-hull+{method.spec}"
        )
    unknown = [n for n in method.needs("complete") if n in ("amodal", "parsing")]
    if unknown:
        raise UsageError(f"method {name!r} needs the true {unknown[0]}, and a photo has none; choose another --method")


def _batch(photo: np.ndarray, mask: np.ndarray, where: Window, size: int) -> Batch:
    how = cv2.INTER_AREA if where.side > size else cv2.INTER_CUBIC
    image = cv2.resize(cut(photo, where), (size, size), interpolation=how)
    initial = _shrink_mask(mask, where, size)[None]
    return Batch(("photo",), image[None], initial=initial, modal=initial)


def _masks(method: Method, batch: Batch, exact: bool, seed: int) -> tuple[MaskOutput, bool]:
    """The method's masks with the visible part to go by, modal in amodal; and whether that part is the method's own."""
    assert batch.initial is not None
    output = _named(method, "complete", lambda: complete(method, batch, draw_seed(seed, 0)))
    modal = batch.initial if exact or output.modal is None else output.modal
    amodal = output.amodal | modal
    # An outline that is a pixel off is not a hidden part.
    kernel = np.ones((3, 3), np.uint8)
    hidden = [cv2.morphologyEx(h.astype(np.uint8), cv2.MORPH_OPEN, kernel) > 0 for h in amodal & ~modal]
    return replace(output, amodal=modal | np.stack(hidden), modal=modal), modal is output.modal


def _recover(
    method: Method, photo: np.ndarray, hole: np.ndarray, batch: Batch, *, found: MaskOutput, where: Window, seed: int
) -> np.ndarray:
    out = photo.copy()
    if not hole.any():
        return out
    given = hand_over(batch, found, method.needs("recover"))
    painted = _named(method, "recover", lambda: recover(method, given, draw_seed(seed, 0))).images[0]
    # Occluder and background next to the hole must not bleed into it when the picture grows.
    person = extend(painted, found.amodal[0])
    how = cv2.INTER_CUBIC if where.side > painted.shape[0] else cv2.INTER_AREA
    grown = cv2.resize(person, (where.side, where.side), interpolation=how)
    out[hole] = _paste(grown, where, photo.shape)[hole]
    return out


def _named(method: Method, function: str, run: Callable[[], T]) -> T:
    """The answer of a call; what goes wrong in it is told in one line with the method's name."""
    try:
        return run()
    except DeoccError:
        raise
    except Exception as error:
        raise DeoccError(f"method {method.name!r} failed in {function}(): {describe_error(error)}") from error


def _whole(found: MaskOutput, modal: np.ndarray, where: Window, size: int) -> np.ndarray:
    """The amodal mask in the photo: `modal` there, and what the method adds to its own modal mask.

    The method's outline is coarser than the photo, so its two masks are compared with each other and not with a sharp
    `modal`: else a rim of background would be painted all about the person. Gaps between `modal` and the hidden part
    are closed.
    """
    assert found.modal is not None
    hidden = _grow_mask(found.amodal[0] & ~found.modal[0], where, modal.shape)
    reach = 2 * max(1, math.ceil(where.side / size)) + 1
    near = cv2.dilate(hidden.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))) > 0
    return modal | hidden | (near & _grow_mask(found.amodal[0], where, modal.shape))


def _person_box(
    amodal: np.ndarray, where: Window, seen: tuple[int, int, int, int], shape: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """The box in the photo of what hangs together with the visible person; specks elsewhere are left out."""
    scale = where.side / amodal.shape[0]
    x0, y0, x1, y1 = seen
    _, labels = cv2.connectedComponents(amodal.astype(np.uint8))
    rows = slice(max(0, math.floor((y0 - where.y) / scale)), math.ceil((y1 - where.y) / scale))
    columns = slice(max(0, math.floor((x0 - where.x) / scale)), math.ceil((x1 - where.x) / scale))
    mine = np.setdiff1d(labels[rows, columns], 0)
    box = masks.tight_box(np.isin(labels, mine))
    if box is None:
        return seen
    left, top = where.x + math.floor(box[0] * scale), where.y + math.floor(box[1] * scale)
    right, bottom = where.x + math.ceil(box[2] * scale), where.y + math.ceil(box[3] * scale)
    # Who is cut by the window goes on beyond it, nobody knows how far, but not beyond the photo.
    more = math.ceil(_BEYOND * max(right - left, bottom - top))
    size = amodal.shape[0]
    left, top = left - more * (box[0] == 0), top - more * (box[1] == 0)
    right, bottom = right + more * (box[2] == size), bottom + more * (box[3] == size)
    height, width = shape[:2]
    return min(x0, max(0, left)), min(y0, max(0, top)), max(x1, min(width, right)), max(y1, min(height, bottom))


def _settled(old: Window, new: Window) -> bool:
    moved = max(abs(old.x + old.side / 2 - new.x - new.side / 2), abs(old.y + old.side / 2 - new.y - new.side / 2))
    return max(moved, abs(old.side - new.side)) <= _SETTLED * old.side


def _shrink_mask(mask: np.ndarray, where: Window, size: int) -> np.ndarray:
    inside = cut(mask, where).astype(np.float32)
    how = cv2.INTER_AREA if where.side > size else cv2.INTER_LINEAR
    soft = cv2.resize(inside, (size, size), interpolation=how)
    small = soft >= 0.5
    # A thin person must not vanish.
    return small if small.any() else soft > 0


def _grow_mask(mask: np.ndarray, where: Window, shape: tuple[int, ...]) -> np.ndarray:
    """A mask at the working size in the photo, bool H x W, its steps rounded off."""
    factor = where.side / mask.shape[0]
    soft = cv2.resize(mask.astype(np.float32), (where.side, where.side), interpolation=cv2.INTER_LINEAR)
    if factor > 1:
        soft = cv2.GaussianBlur(soft, (0, 0), 0.5 * factor)
    return _paste(soft >= 0.5, where, shape)


def _paste(inside: np.ndarray, where: Window, shape: tuple[int, ...]) -> np.ndarray:
    """The inverse of `cut`: an array of a photo's H x W that holds the window's content, 0 elsewhere."""
    height, width = shape[:2]
    out = np.zeros((height, width, *inside.shape[2:]), inside.dtype)
    x0, y0 = max(0, where.x), max(0, where.y)
    x1, y1 = min(width, where.x + where.side), min(height, where.y + where.side)
    if x1 > x0 and y1 > y0:
        out[y0:y1, x0:x1] = inside[y0 - where.y : y1 - where.y, x0 - where.x : x1 - where.x]
    return out


def _notes(mask: np.ndarray, modal: np.ndarray, amodal: np.ndarray, where: Window, completed: bool) -> tuple[str, ...]:
    notes = []
    agree = masks.mask_iou(mask, modal) or 0.0
    if agree < _AGREES:
        notes.append(f"the refined visible part hardly agrees with the mask (IoU {agree:.2f}); try --exact")
    if completed and (amodal[0].any() or amodal[-1].any() or amodal[:, 0].any() or amodal[:, -1].any()):
        notes.append(f"the person reaches the edge of what the method saw, {where.side} pixels square")
    return tuple(notes)
