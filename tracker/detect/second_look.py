"""A second look at a picture that is gone by: where a path says that the ball may have been.

An ROI pass finds a ball that a pass of the whole picture misses, and where to look is often known only when the ball
has been seen again. So the pictures of doubtful frames are kept, compressed, until their states are final.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import cv2
import numpy as np

from tracker.core.config import DetectConfig
from tracker.core.types import Detections, FloatArray, Frame, Image, Region, whole
from tracker.detect.detector import Detector
from tracker.detect.model import BallModel
from tracker.detect.views import History

JPEG_QUALITY = 85
KEPT_BYTES = 32 << 20  # of compressed pictures; the oldest goes
SHORTEST = 3  # doubtful frames in a row
Seen = list[tuple[Frame, FloatArray]]  # pictures the network sees at once, newest first, and the map to the newest


class SecondLook:
    """Keeps pictures and shows parts of them to the network.

    Args:
        model: the opened model file. config: section ``detect``. width, height: source picture in px.
    """

    def __init__(self, model: BallModel, config: DetectConfig, width: int, height: int) -> None:
        self._detector = Detector(model, config, width, height)
        halves = max(0, int(np.ceil(np.log2(max(width, height) / model.info.working_width))))  # cheap to cut
        self._size = max(2, width >> halves), max(2, height >> halves)
        self._pictures: dict[int, tuple[float, bytes]] = {}  # frame number -> time, JPEG
        self._seen: deque[tuple[int, list[tuple[int, FloatArray]]]] = deque()  # frame number, what was seen in it
        self._bytes = 0
        self._begun: deque[Seen] = deque()  # of a doubt that is short so far
        self._doubt = 0  # frames in a row
        self._decoded: dict[int, Frame] = {}  # of the last look: the next one mostly shares some

    def keep(self, seen: Seen | None) -> None:
        """What the network saw in a doubtful frame (:meth:`tracker.detect.views.History.chosen`); None for others.

        A doubt of a frame or two is not kept: a path goes over it.
        """
        if seen is None:
            self._begun.clear()
            self._doubt = 0
            return
        self._doubt += 1
        self._begun.append(seen)
        if self._doubt >= SHORTEST:
            while self._begun:
                self._keep(self._begun.popleft())

    def _keep(self, seen: Seen) -> None:
        for frame, _ in seen:
            if frame.index not in self._pictures:
                picture = frame.crop(whole(frame.width, frame.height), *self._size)
                data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
                self._pictures[frame.index] = frame.time_s, data
                self._bytes += len(data)
        self._seen.append((seen[0][0].index, [(frame.index, there) for frame, there in seen]))
        while self._bytes > KEPT_BYTES and len(self._seen) > 1:
            self.forget(self._seen[0][0])

    def forget(self, frame: int) -> None:
        """Frees what is kept up to a frame."""
        while self._seen and self._seen[0][0] <= frame:
            self._seen.popleft()
            self._decoded.clear()
        needed = min((n for n, _ in self._seen[0][1]), default=frame + 1) if self._seen else frame + 1
        for n in [n for n in self._pictures if n < needed]:
            self._bytes -= len(self._pictures.pop(n)[1])

    def __call__(self, frame: int, places: Sequence[tuple[FloatArray, float]], found: Detections) -> Detections | None:
        """``found`` in a frame, with what ROI passes find in it.

        Args:
            places: where, float64 [2] source px, and the radius of the ball there (source px, NaN unknown).

        Returns:
            candidates best first, source px; None where the picture is not kept.
        """
        seen = next((s for n, s in self._seen if n == frame), None)
        if seen is None:
            return None
        detector = self._detector
        self._decoded = {n: self._decoded.get(n) or self._picture(n) for n, _ in seen}
        detector.history = History.of([(self._decoded[n], there) for n, there in seen])
        for xy, radius in places:
            if not (-0.5 <= xy[0] < detector.width - 0.5 and -0.5 <= xy[1] < detector.height - 0.5):
                continue
            detector.follow_size(radius)
            part = detector.roi_pass(xy)
            assert part.region is not None
            found = detector.merge(part, [part.region], found)
        return found

    def _picture(self, n: int) -> Frame:
        """A kept picture as the frame that it was, in the source's pixels."""
        time_s, data = self._pictures[n]
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        small = Frame(n, time_s, image)
        kx, ky = small.width / self._detector.width, small.height / self._detector.height

        def resample(region: Region, width: int, height: int) -> Image:
            x0, y0 = (region.x0 + 0.5) * kx - 0.5, (region.y0 + 0.5) * ky - 0.5
            return small.crop(Region(x0, y0, region.width * kx, region.height * ky), width, height)

        return Frame(
            n, time_s, lazy=lambda: image, width=self._detector.width, height=self._detector.height, resample=resample
        )
