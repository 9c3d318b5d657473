"""Renders a clip frame by frame, with exact truth. Memory does not grow with its length beyond the ball's path."""

# ruff: noqa: RUF005 - vectors are added to lists of numbers here, nothing is concatenated

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from tracker.core.types import CameraMotion, FloatArray, Image, Label, Visibility
from tracker.synth.ball import Patch, ball_patch, box_size, draw_appearance, samples_needed
from tracker.synth.config import SynthConfig
from tracker.synth.field import FIELDS
from tracker.synth.figures import Figure, Sprite, figure_sprite
from tracker.synth.layers import average, cover, darken, difference, score_board
from tracker.synth.physics import STEP_S
from tracker.synth.play_football import american_football, football
from tracker.synth.play_tennis import tennis
from tracker.synth.scene import mesh_sprite, paint
from tracker.synth.sensor import Sensor
from tracker.synth.stage import draw_camera, draw_occluders, draw_path

PLAYS = {"tennis": tennis, "football": football, "american_football": american_football}


@dataclass(frozen=True, eq=False)
class SynthFrame:
    """A rendered frame and everything known about it.

    Attributes:
        image: uint8 RGB [H, W, 3].
        label: position (middle of the motion streak), box and visibility; source ``sensor`` (it is exact).
        camera: where the picture's content went since the previous frame.
        hidden: share of the ball that something in front covers.
        contrast: largest change, in grey levels, that the ball makes to the picture before noise.
        xyz: float64 [3] the ball in metres at the middle of the exposure.
        repeated: the picture is the previous one again.
    """

    image: Image
    label: Label
    camera: CameraMotion
    hidden: float
    contrast: float
    xyz: FloatArray
    repeated: bool = False


@dataclass(frozen=True, eq=False)
class _Shot:
    """One exposure of the virtual camera."""

    image: Image
    xy: FloatArray
    wh: tuple[float, float]
    visibility: int
    hidden: float
    contrast: float
    xyz: FloatArray
    view: FloatArray  # 2x3 canvas -> frame


class SynthClip:
    """A clip that is rendered while it is read; each pass over it gives the same frames.

    Iterating yields ``(image uint8 RGB [H, W, 3], Label)``; :meth:`frames` yields :class:`SynthFrame`.
    """

    def __init__(self, config: SynthConfig, rng: np.random.Generator) -> None:
        self.config = cfg = config.resolved(rng)
        play = PLAYS[cfg.sport](cfg.seconds + 1.0, rng, cfg.people or 0, cfg.decoys or 0)
        self.tape = play.tape
        self.ball_xyz, self._axis, self._turn = play.tape.arrays()
        self.camera = draw_camera(cfg, self.ball_xyz, rng)
        self.path = draw_path(cfg, self.camera, self.ball_xyz, rng)
        self.figures = [*play.figures, *draw_occluders(cfg, self.camera, self.path, self.ball_xyz, rng)]
        self._idle_balls = play.idle_balls
        self.appearance = draw_appearance(cfg.sport, rng)
        field = FIELDS[cfg.sport](rng, cfg.view or "")
        self.background = paint(self.camera, field, rng, pictures=cfg.backgrounds)
        self._net = None
        if cfg.sport == "tennis" and cfg.backgrounds is None:
            self._net = mesh_sprite(self.camera, 6.4, 0.95, rng)
        self._graphics = score_board(cfg, rng) if cfg.graphics else None
        self._sun = rng.uniform(-0.9, 0.9, 2)
        self._sensor = Sensor(
            cfg.width, cfg.height, rng, noise=cfg.noise or 0.0, light=cfg.light or 1.0, sharpen=cfg.sharpen or 0.0
        )
        self._state = rng.bit_generator.state
        self._bits = type(rng.bit_generator)
        right = self.camera.rotation[0, :2]
        self._right = right / np.linalg.norm(right)
        self._still: Image | None = None

    def __len__(self) -> int:
        return self.config.frames

    def __iter__(self) -> Iterator[tuple[Image, Label]]:
        for frame in self.frames():
            yield frame.image, frame.label

    def frames(self) -> Iterator[SynthFrame]:
        """Renders from the start."""
        bits = self._bits()
        bits.state = copy.deepcopy(self._state)
        rng = np.random.Generator(bits)
        cfg = self.config
        every = cfg.repeat_every or (6 if cfg.blend else 0)
        source_fps = cfg.fps * (every - 1) / every if every else cfg.fps
        shots: dict[int, _Shot] = {}

        def shot(k: int) -> _Shot:
            if k not in shots:
                for old in [i for i in shots if i < k - 1]:
                    del shots[old]
                shots[k] = self._expose(k / source_fps, cfg.exposure or 0.0, source_fps, rng)
            return shots[k]

        last_view: FloatArray | None = None
        last_k = -1
        for n in range(cfg.frames):
            if cfg.blend:
                k, f = divmod(n * (every - 1), every)
                share = f / every
                a, b = shot(k), shot(k + 1)
                image = cv2.addWeighted(a.image, 1 - share, b.image, share, 0)
                main = b if share > 0.5 else a
                ghost = 0.2 < share < 0.8
            else:
                k = n - (n + 1) // every if every else n
                main, ghost = shot(k), False
                image = main.image
            image = self._sensor.compress(image, cfg.jpeg_quality if cfg.compression == "jpeg" else None)
            view = main.view
            motion = CameraMotion() if last_view is None else CameraMotion(_between(last_view, view))
            last_view = view
            vis = main.visibility
            if ghost and vis == Visibility.VISIBLE:
                vis = Visibility.HARD
            yield SynthFrame(
                image, _label(n, vis, main), motion, main.hidden, main.contrast, main.xyz, not cfg.blend and k == last_k
            )
            last_k = k

    def _expose(self, t: float, exposure: float, fps: float, rng: np.random.Generator) -> _Shot:
        cfg = self.config
        view = self.path.at(np.array(t))
        image = self._backdrop(t, exposure / fps, view)
        zoom = float(np.hypot(view[0, 0], view[1, 0]))
        times, xy, radius, axis = self._ball_path(t, exposure / fps)
        centre = self._sample(self.ball_xyz, np.array([t]))[0]
        patch = ball_patch(
            xy,
            radius,
            self.appearance,
            psf_px=cfg.psf_px or 0.0,
            axis=axis,
            elongation=self._elongation,
            turn=self._at(self._turn, times),
        )
        if cfg.shadows:
            self._shadows(image, t, view, zoom, centre)
        behind: list[tuple[float, object]] = []
        front: list[tuple[float, object]] = []
        far_side = -np.sign(self.camera.position[1]) if self._net is not None else 0.0

        def place(y: float, depth: float, thing: object) -> None:
            (behind if far_side and y * far_side > 0 else front).append((depth, thing))

        for figure in self.figures:
            pos, _, _ = figure.at(t)
            _, depth = self.camera.project(np.array([pos[0], pos[1], 0.0]))
            if depth > 1.0:
                place(pos[1], float(depth), figure)
        for since, p in self._idle_balls:
            if t >= since:
                place(p[1], float(self.camera.project(np.array(p))[1]), p)
        _, depth = self.camera.project(centre)
        if cfg.draw_ball:
            place(centre[1], float(depth), patch)
        trans = np.ones(patch.alpha.shape, np.float32)
        change: FloatArray | None = None
        for group in (behind, front):
            for _, thing in sorted(group, key=lambda d: -d[0]):
                if isinstance(thing, Patch):
                    change = difference(image, thing)
                    thing.put(image)
                    trans[:] = 1
                elif isinstance(thing, Figure):
                    for sprite in self._sprites(thing, t, exposure / fps, view, zoom):
                        cover(trans, patch, sprite.put(image))
                elif isinstance(thing, tuple):
                    self._idle_ball(thing, view, zoom).put(image)
            if group is behind and self._net is not None:
                cover(trans, patch, self._net_sprite(view).put(image))
        if self._graphics is not None:
            cover(trans, patch, self._graphics.put(image))
        image = self._sensor.expose(image, rng)
        middle = xy.mean(0)
        total = float(patch.alpha.sum())
        hidden = 1 - float((patch.alpha * trans).sum()) / total if total > 0 else 1.0
        contrast = 0.0
        if change is not None:
            contrast = float((change * trans).max()) * min(1.0, cfg.light or 1.0)
        wh = box_size(xy, radius, axis, self._elongation)
        inside = depth > 0.2 and -0.5 <= middle[0] < cfg.width - 0.5 and -0.5 <= middle[1] < cfg.height - 0.5
        if not cfg.draw_ball or not inside:
            vis = Visibility.ABSENT
        elif hidden > cfg.hidden_share:
            vis = Visibility.OCCLUDED
        elif (
            hidden > 0.6
            or contrast < cfg.hard_contrast
            or (max(wh) > 5 * 2 * radius.mean() and contrast < 2 * cfg.hard_contrast)
        ):
            vis = Visibility.HARD
        else:
            vis = Visibility.VISIBLE
        return _Shot(image, middle, wh, int(vis), hidden, contrast, centre, view)

    # ---- parts of the picture ----

    @property
    def _elongation(self) -> float:
        return self.tape.kind.half_length_m / self.tape.kind.radius_m

    def _at(self, values: FloatArray, times: FloatArray) -> FloatArray:
        return np.interp(times / STEP_S, np.arange(len(values)), values)

    def _sample(self, values: FloatArray, times: FloatArray) -> FloatArray:
        i = np.clip(times / STEP_S, 0, len(values) - 1.001)
        a = i.astype(int)
        f = (i - a)[:, None]
        return values[a] * (1 - f) + values[np.minimum(a + 1, len(values) - 1)] * f

    def _ball_path(self, t: float, open_s: float) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray | None]:
        """Over the exposure: times [K], frame px [K, 2], minor radius px [K], long axis [K, 3] (camera axes)."""
        rough = self._project(t + np.array([-0.5, -0.25, 0.0, 0.25, 0.5]) * open_s)
        k = samples_needed(rough[0], float(rough[1].max())) if open_s > 0 else 1
        times = t + ((np.arange(k) + 0.5) / k - 0.5) * open_s
        xy, radius = self._project(times)
        axis = None
        if self.tape.kind.prolate:
            world = self._sample(self._axis, times)
            axis = world @ self.camera.rotation.T
            axis /= np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-9)
        return times, xy, radius, axis

    def _project(self, times: FloatArray) -> tuple[FloatArray, FloatArray]:
        canvas, depth = self.camera.project(self._sample(self.ball_xyz, np.maximum(times, 0)))
        view = self.path.at(np.maximum(times, 0))
        xy = (view[:, :, :2] @ canvas[..., None])[..., 0] + view[:, :, 2]
        zoom = np.hypot(view[:, 0, 0], view[:, 1, 0])
        radius = self.tape.kind.radius_m * self.camera.focal_px * zoom / np.maximum(depth, 0.2)
        limit = 4.0 * self.config.width  # a ball that flies past the camera is far outside the picture
        return np.clip(xy, -limit, 2 * limit), np.minimum(radius, 0.3 * self.config.width)

    def _backdrop(self, t: float, open_s: float, view: FloatArray) -> Image:
        size = (self.config.width, self.config.height)
        if not self.path.moves:
            if self._still is None:
                self._still = cv2.warpAffine(
                    self.background, view, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
                )
            return self._still.copy()
        image = cv2.warpAffine(self.background, view, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        a, b = self.path.at(np.array([max(0.0, t - open_s / 2), t + open_s / 2]))
        step = _between(a, b) @ [size[0] / 2, size[1] / 2, 1] - [size[0] / 2, size[1] / 2]
        length = int(min(15, round(float(np.hypot(*step)))))
        if length >= 2:  # the pan smears everything that stands still
            side = length | 1
            kernel = np.zeros((side, side), np.float32)
            d = step / np.hypot(*step) * (side - 1) / 2
            c = (side - 1) / 2
            p, q = (tuple(int(v) for v in np.rint(c + s * d)) for s in (-1, 1))
            cv2.line(kernel, p, q, 1.0)
            image = cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)
        return image

    def _sprites(self, figure: Figure, t: float, open_s: float, view: FloatArray, zoom: float) -> list[Sprite]:
        pos, _, _ = figure.at(t)
        canvas, depth = self.camera.project(np.array([pos[0], pos[1], 0.0]))
        scale = self.camera.scale(float(depth)) * zoom
        foot = view[:, :2] @ canvas + view[:, 2]
        tall = figure.height_m * scale
        w, h = self.config.width, self.config.height
        if not (-tall < foot[0] < w + tall and -5 < foot[1] < h + 1.6 * tall):
            return []
        sprite = figure_sprite(figure, t, foot, scale, self._right, self._right)
        swings = any(abs(t - when) < 0.2 for when, _, _ in figure.actions)
        if sprite is None or not swings or open_s < 2e-3 or tall < 50:
            return [] if sprite is None else [sprite]
        shots = [figure_sprite(figure, t + s * open_s, foot, scale, self._right, self._right) for s in (-0.35, 0.35)]
        return [average([s for s in (sprite, *shots) if s is not None])]

    def _idle_ball(self, p: tuple[float, float, float], view: FloatArray, zoom: float) -> Patch:
        canvas, depth = self.camera.project(np.array(p))
        xy = np.clip(view[:, :2] @ canvas + view[:, 2], -4 * self.config.width, 8 * self.config.width)
        r = self.tape.kind.radius_m * self.camera.scale(float(depth)) * zoom if depth > 0.5 else 0.1
        axis = np.array([[0.9, 0.1, 0.42]]) if self.tape.kind.prolate else None
        return ball_patch(
            xy[None],
            min(r, 0.3 * self.config.width),
            self.appearance,
            psf_px=self.config.psf_px or 0.0,
            axis=axis,
            elongation=self._elongation,
        )

    def _net_sprite(self, view: FloatArray) -> Sprite:
        assert self._net is not None
        rgba, x0, y0 = self._net
        h, w = rgba.shape[:2]
        corners = np.array([[x0, y0], [x0 + w, y0], [x0, y0 + h], [x0 + w, y0 + h]], float) @ view[:, :2].T + view[:, 2]
        lo, hi = np.floor(corners.min(0)), np.ceil(corners.max(0)) + 1
        lo = np.clip(lo, -1, [self.config.width - 1, self.config.height - 1])
        hi = np.clip(hi, lo + 1, [self.config.width + 1, self.config.height + 1])
        m = view.copy()
        m[:, 2] += view[:, :2] @ [x0, y0] - lo
        size = (int(hi[0] - lo[0]), int(hi[1] - lo[1]))
        return Sprite(int(lo[0]), int(lo[1]), cv2.warpAffine(rgba, m, size, flags=cv2.INTER_LINEAR))

    def _shadows(self, image: Image, t: float, view: FloatArray, zoom: float, ball: FloatArray) -> None:
        things = [(np.array([*f.at(t)[0], 0.0]), 0.3, 0.9) for f in self.figures]
        if self.config.draw_ball:
            things.append((ball, self.tape.kind.radius_m, 0.0))
        for p, radius, length in things:
            ground = np.array([p[0] + self._sun[0] * p[2], p[1] + self._sun[1] * p[2], 0.0])
            tip = ground + [self._sun[0] * length * 1.6, self._sun[1] * length * 1.6, 0]
            px, depth = self.camera.project(np.stack([ground, tip, ground + [0, radius, 0], ground - [0, radius, 0]]))
            if (depth < 1).any():
                continue
            px = px @ view[:, :2].T + view[:, 2]
            half = self.camera.scale(float(depth[0])) * zoom * radius
            flat = max(0.5, half * float(np.clip(self.camera.position[2] / depth[0], 0.05, 1.0)))
            long = float(np.hypot(*(px[1] - px[0]))) / 2 + half
            angle = float(np.degrees(np.arctan2(*(px[1] - px[0])[::-1]))) if length else 0.0
            darken(image, (px[0] + px[1]) / 2, long, flat, angle, 0.62 if length else 0.7)


def render_clip(config: SynthConfig, rng: np.random.Generator) -> SynthClip:
    """Sets up a synthetic clip; iterate over it for ``(image uint8 RGB [H, W, 3], Label)``, frame by frame.

    Raises:
        TrackerError: a background picture that cannot be used.
    """
    return SynthClip(config, rng)


def _label(frame: int, visibility: int, shot: _Shot) -> Label:
    if visibility == Visibility.ABSENT:
        return Label(frame, 0, source="sensor")
    return Label(frame, int(visibility), float(shot.xy[0]), float(shot.xy[1]), *shot.wh, source="sensor", sd_px=0.0)


def _between(a: FloatArray, b: FloatArray) -> FloatArray:
    """2x3 matrix that maps what view ``a`` shows to where view ``b`` shows it."""
    linear = b[:, :2] @ np.linalg.inv(a[:, :2])
    return np.concatenate([linear, (b[:, 2] - linear @ a[:, 2])[:, None]], 1)
