"""The moving picture of README: the overlay of a rendered rally, small, as an animated WebP.

python benchmarks/moving_picture.py runs/pictures/overlay.mp4 docs/img/overlay.webp
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
from PIL import Image

from tracker.video import open_video

WIDTH, EVERY, QUALITY = 640, 2, 55  # px; of the frames; WebP's 0..100


def main() -> int:
    source, out = sys.argv[1], Path(sys.argv[2])
    with open_video(source) as video:
        rate = video.info.fps or 30.0
        frames = [f.image for f in video if f.index % EVERY == 0]
    height = round(frames[0].shape[0] * WIDTH / frames[0].shape[1])
    small = [Image.fromarray(cv2.resize(f, (WIDTH, height), interpolation=cv2.INTER_AREA)) for f in frames]
    small[0].save(
        out,
        save_all=True,
        append_images=small[1:],
        duration=round(1000 * EVERY / rate),
        loop=0,
        quality=QUALITY,
        method=6,
    )
    print(f"{out}: {len(small)} pictures, {out.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
