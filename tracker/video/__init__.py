"""Bytes <-> frames: files, picture folders, cameras, network streams, stdin; and a writer."""

from tracker.video.open import open_video
from tracker.video.sound import Sound
from tracker.video.source import VideoInfo, VideoSource, VideoStats
from tracker.video.writer import VideoWriter

__all__ = ["Sound", "VideoInfo", "VideoSource", "VideoStats", "VideoWriter", "open_video"]
