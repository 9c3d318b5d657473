"""Leave one venue out: which clips train, which test, and which must stay away.

A network remembers a court. Only footage of a venue it never saw tells what it will do on a user's court, so the
clips of one venue are tested by a model trained on all the others, each venue in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tracker.core.errors import TrackerError
from tracker.labels.dataset import Clip

MIXED_VENUES = ("several", "mixed", "various", "unknown")
Mixed = Literal["drop", "keep"]


@dataclass(frozen=True, slots=True)
class Fold:
    """One venue tested by a model of all the others.

    Attributes:
        venue: the venue left out.
        train, test: clips. excluded: clips that neither train nor test in this fold.
        clean: no training clip can show the venue.
    """

    venue: str
    train: tuple[Clip, ...]
    test: tuple[Clip, ...]
    excluded: tuple[Clip, ...] = ()
    clean: bool = True


def venue_folds(clips: Sequence[Clip], *, mixed: Mixed = "drop", test_stills: bool = False) -> list[Fold]:
    """Folds over the train clips of a data set, by venue in alphabetical order.

    Clips of other splits take no part: validation footage is kept for a threshold and one final row, even where it
    shows a venue that trains. Clips without labels, and positions without pictures, cannot train.

    Args:
        mixed: what to do with clips whose venue is a mixture (``several`` ...). Such a clip may show the venue that is
            left out, so it can never be excluded cleanly: ``drop`` keeps it out of every fold's training (clean, less
            data), ``keep`` trains on it in every fold and marks the folds as not clean. It is never a test venue.
        test_stills: also test on venues that have isolated pictures only. A network that sees motion has none there,
            so by default such clips train in every fold of other venues and are not tested.

    Raises:
        TrackerError: fewer than two venues to leave out, or a fold would have nothing to train on.
    """
    usable = [c for c in clips if c.split == "train" and c.labels is not None and c.kind != "tracks"]
    blurred = [c for c in usable if c.venue.strip().lower() in MIXED_VENUES]
    placed = [c for c in usable if c not in blurred]
    testable = [c for c in placed if test_stills or c.kind != "stills"]
    venues = sorted({c.venue for c in testable})
    if len(venues) < 2:
        raise TrackerError(
            f"cross-validation leaves one venue out and needs train clips of at least two; found {len(venues)} "
            f"({', '.join(venues) or 'none'}); fill the column venue of the index"
        )
    folds = []
    for venue in venues:
        test = tuple(c for c in testable if c.venue == venue)
        train = tuple(c for c in placed if c.venue != venue) + (tuple(blurred) if mixed == "keep" else ())
        excluded = tuple(c for c in usable if c not in test and c not in train)
        if not train:
            raise TrackerError(f"nothing to train on when venue '{venue}' is left out")
        folds.append(Fold(venue, train, test, excluded, clean=mixed == "drop" or not blurred))
    return folds
