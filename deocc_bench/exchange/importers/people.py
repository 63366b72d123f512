"""Whether a free-text category name is that of a person, by its head noun: a man, but not a man's hat."""

from __future__ import annotations

import re

_PEOPLE = frozenset(
    {
        *("person", "persons", "people", "human", "humans", "man", "men", "woman", "women", "boy", "boys", "girl"),
        *("girls", "child", "children", "kid", "kids", "baby", "babies", "lady", "ladies", "gentleman", "guy", "guys"),
        *("player", "players", "rider", "riders", "cyclist", "pedestrian", "pedestrians", "skier", "surfer"),
    }
)
# The noun phrase ends before these words: "man in red", "person with bag", "shadow of person".
_ENDS = frozenset(
    {
        *("of", "in", "on", "at", "by", "with", "w", "without", "from", "to", "for", "and", "or", "behind", "near"),
        *("under", "over", "beside", "before", "around", "inside", "outside", "next", "who", "that", "which", "is"),
    }
)
# Words that may follow the noun.
_AFTER = frozenset(
    {*("left", "right", "back", "front", "middle", "center", "far", "away", "close", "background", "foreground")}
    | {*("top", "bottom", "up", "down", "seated", "occluded", "hidden", "truncated", "visible", "other", "unknown")}
)


def is_person(name: str) -> bool:
    """Whether a category name is that of a person: "man ", "person-sitting", "old man in red", "baseball player"."""
    # What follows a comma or a bracket describes the noun.
    phrase = re.split(r"[,;:(\[]", name.lower().strip())[0]
    words = [w for w in re.findall(r"[^\W\d_]+(?:['’][^\W\d_]*)?", phrase) if len(w) > 1 or w == "w"]
    head: list[str] = []
    for word in words:
        if word in _ENDS or (head and head[-1] in _PEOPLE and (word in _AFTER or word.endswith("ing"))):
            break
        head.append(word)
    return bool(head) and head[-1] in _PEOPLE
