"""The outputs of a rendering."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Modes:
    """The files to write: overlay.mp4, highlight.mp4 with masks.json, follow.mp4 with follow.csv.

    Attributes:
        png_masks: a picture per frame in ``masks/`` as well.
    """

    overlay: bool = False
    highlight: bool = False
    follow: bool = False
    png_masks: bool = False

    def __bool__(self) -> bool:
        return self.overlay or self.highlight or self.follow or self.png_masks

    @property
    def apart(self) -> list[Modes]:
        """One for each video."""
        marked = self.highlight or self.png_masks
        one = [Modes(overlay=True)] * self.overlay + [Modes(highlight=True, png_masks=self.png_masks)] * marked
        return one + [Modes(follow=True)] * self.follow

    @property
    def files(self) -> list[str]:
        """Names of the files."""
        names = ["overlay.mp4"] * self.overlay
        names += ["highlight.mp4", "masks.json"] * (self.highlight or self.png_masks)
        return names + ["masks/"] * self.png_masks + ["follow.mp4", "follow.csv"] * self.follow
