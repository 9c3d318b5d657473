"""Sound and timing of a written video are those of its input."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from video_clips import scene

from tracker.video import Sound, VideoWriter, open_video


def with_sound(
    path: Path, times: list[float], *, codec: str = "aac", start_s: float = 0.0, seconds: float = 1.2, pcm: str = "fltp"
) -> Path:
    """A clip with pictures at ``times`` and a beep of 0.1 s every half second, all shifted by ``start_s``."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"preset": "ultrafast", "bf": "0"})
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        audio = out.add_stream(codec, rate=48000, layout="mono")
        t = np.arange(round(seconds * 48000)) / 48000
        wave = (np.sin(2 * np.pi * 1000 * t) * (t % 0.5 < 0.1) * 0.6).astype(np.float32)
        resampler = av.AudioResampler(pcm, "mono", 48000, frame_size=1024)
        frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, round(start_s * 48000), Fraction(1, 48000)
        for i, time_s in enumerate(times):
            picture = av.VideoFrame.from_ndarray(scene(i), "rgb24").reformat(format="yuv420p")
            picture.pts, picture.time_base = round((time_s + start_s) * 1000), Fraction(1, 1000)
            out.mux(video.encode(picture))
        out.mux(video.encode(None))
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(audio.encode(part))
        out.mux(audio.encode(None))
    return path


def heard(path: Path) -> tuple[str, float, float]:
    """Codec; start of the first beep and end of the sound in s after the first picture."""
    with av.open(str(path)) as f:
        start = next(f.decode(video=0)).time
    with av.open(str(path)) as f:
        codec, times, loud = f.streams.audio[0].codec_context.name, [], []
        for frame in f.decode(audio=0):
            values = frame.to_ndarray().astype(float).reshape(-1)[:: len(frame.layout.channels)]
            loud.append(np.abs(values) / (32768 if "s16" in frame.format.name else 1))
            times.append(frame.time - start + np.arange(len(values)) / frame.sample_rate)
    t, a = np.concatenate(times), np.concatenate(loud)
    return codec, float(t[(a > 0.2) & (t > 0.2)][0]), float(t[-1])


def copied(source: Path, target: Path, frames: int | None = None) -> list[float]:
    """Writes ``source`` again and returns the times of its frames."""
    times = []
    with open_video(source) as video:
        i = video.info
        with VideoWriter(target, i.width, i.height, i.fps, sound=Sound.open(source)) as writer:
            for frame in video:
                writer.write(frame.image, frame.time_s)
                times.append(frame.time_s)
                if len(times) == frames:
                    break
            else:
                writer.complete = True
    return times


UNEVEN = [0.0, 0.033, 0.1, 0.14, 0.3, 0.333, 0.5, 0.54, 0.9, 1.1]


@pytest.mark.parametrize(
    ("suffix", "target", "codec", "kept"),
    [
        (".mp4", ".mp4", "aac", "aac"),
        (".mkv", ".mp4", "aac", "aac"),
        (".mkv", ".mkv", "flac", "flac"),
        (".avi", ".mp4", "adpcm_ms", "aac"),  # a codec that MP4 does not take is encoded anew
        (".mp4", ".avi", "aac", "aac"),
    ],
)
def test_sound_is_carried_over_in_step(tmp_path, suffix, target, codec, kept):
    times = [i / 25 for i in range(28)] if ".avi" in (suffix, target) else UNEVEN
    source = with_sound(tmp_path / f"in{suffix}", times, codec=codec, pcm="fltp" if codec == "aac" else "s16")
    out = tmp_path / f"out{target}"
    copied(source, out)
    before, after = heard(source), heard(out)
    assert after[0] == kept
    assert after[1] == pytest.approx(0.5, abs=0.03)
    assert after[2] == pytest.approx(before[2], abs=0.06)


def test_times_of_a_variable_frame_rate_are_kept(tmp_path):
    source = with_sound(tmp_path / "in.mp4", UNEVEN)
    given = copied(source, tmp_path / "out.mp4")
    assert given == pytest.approx(UNEVEN, abs=1e-6)
    with open_video(tmp_path / "out.mp4") as video:
        assert [f.time_s for f in video] == pytest.approx(UNEVEN, abs=2e-5)


def test_sound_stays_in_step_when_the_clip_starts_late(tmp_path):
    source = with_sound(tmp_path / "in.mkv", UNEVEN, start_s=5.0)
    copied(source, tmp_path / "out.mp4")
    assert heard(tmp_path / "out.mp4")[1] == pytest.approx(0.5, abs=0.03)


def test_sound_of_a_shortened_video_ends_with_it(tmp_path):
    source = with_sound(tmp_path / "in.mp4", UNEVEN)
    copied(source, tmp_path / "out.mp4", frames=7)
    assert heard(tmp_path / "out.mp4")[2] == pytest.approx(0.56, abs=0.08)


def test_without_sound_nothing_is_opened(tmp_path, tennis_video):
    assert Sound.open(tennis_video) is None and Sound.open("-") is None and Sound.open(tmp_path) is None
    (tmp_path / "bad.mp4").write_bytes(b"not a video")
    assert Sound.open(tmp_path / "bad.mp4") is None
