"""People: articulated figures with textured clothes, drawn as billboards with an alpha channel.

They hide the ball, hold it and resemble it (shoes, heads, hands). They are made for 20 to 300 px.
"""

# ruff: noqa: RUF005 - vectors are added to lists of numbers here, nothing is concatenated

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from tracker.core.types import FloatArray, Image, scaled

Colour = tuple[int, int, int]
SKIN: tuple[Colour, ...] = ((236, 196, 168), (214, 164, 130), (160, 110, 80), (98, 66, 48), (225, 180, 150))
_SHIFT = 4


@dataclass(frozen=True)
class Style:
    """Colours RGB and build."""

    shirt: Colour
    shorts: Colour
    socks: Colour
    shoes: Colour
    skin: Colour
    hair: Colour
    stripes: bool = False
    cap: bool = False
    helmet: bool = False
    racket: bool = False
    long_trousers: bool = False


def draw_style(rng: np.random.Generator, **extra: bool) -> Style:
    def any_colour() -> Colour:
        c = rng.integers(0, 256, 3) if rng.random() < 0.6 else np.full(3, rng.choice([20, 40, 230, 245]))
        return int(c[0]), int(c[1]), int(c[2])

    shorts = any_colour()
    return Style(
        any_colour(),
        shorts,
        any_colour(),
        any_colour() if rng.random() < 0.5 else (240, 240, 240),
        SKIN[rng.integers(len(SKIN))],
        ((30, 22, 18), (80, 55, 30), (190, 160, 100), (15, 15, 15))[rng.integers(4)],
        stripes=bool(rng.random() < 0.25),
        cap=bool(rng.random() < 0.25),
        **extra,
    )


@dataclass
class Figure:
    """A person over time.

    Attributes:
        track: float64 [N, 2] ground position m at ``rate_hz``.
        actions: (time, contact point xyz m, ``racket``, ``kick`` or ``hand``).
        holds_ball: a second ball (decoy) in the hand.
        sits: low posture (ball kids, spectators).
    """

    track: FloatArray
    rate_hz: float
    style: Style
    height_m: float = 1.8
    actions: list[tuple[float, tuple[float, float, float], str]] = field(default_factory=list)
    holds_ball: bool = False
    sits: bool = False
    phase: float = 0.0

    def __post_init__(self) -> None:
        steps = np.hypot(*np.diff(self.track, axis=0, prepend=self.track[:1]).T)
        self.walked = np.cumsum(steps)

    def at(self, t: float) -> tuple[FloatArray, FloatArray, float]:
        """Ground position m, velocity m/s, distance walked m."""
        i = min(max(t * self.rate_hz, 0.0), len(self.track) - 1.001) if len(self.track) > 1 else 0.0
        a = int(i)
        if len(self.track) < 2:
            return self.track[0], np.zeros(2), 0.0
        f = i - a
        pos = self.track[a] * (1 - f) + self.track[a + 1] * f
        return (
            pos,
            (self.track[a + 1] - self.track[a]) * self.rate_hz,
            float(self.walked[a] * (1 - f) + self.walked[a + 1] * f),
        )


@dataclass(frozen=True, eq=False)
class Sprite:
    """A drawn figure: ``rgba`` uint8 [h, w, 4], colour premultiplied; upper left pixel at x0, y0 of the picture."""

    x0: int
    y0: int
    rgba: Image

    def put(self, image: Image) -> tuple[slice, slice, Image] | None:
        """Composites in place; returns the rows, columns and alpha (uint8) that were touched."""
        h, w = self.rgba.shape[:2]
        y0, y1 = max(0, self.y0), min(image.shape[0], self.y0 + h)
        x0, x1 = max(0, self.x0), min(image.shape[1], self.x0 + w)
        if y0 >= y1 or x0 >= x1:
            return None
        part = self.rgba[y0 - self.y0 : y1 - self.y0, x0 - self.x0 : x1 - self.x0]
        alpha = cv2.extractChannel(part, 3)
        keep = cv2.cvtColor(cv2.bitwise_not(alpha), cv2.COLOR_GRAY2BGR)
        ys, xs = slice(y0, y1), slice(x0, x1)
        image[ys, xs] = cv2.add(
            cv2.multiply(image[ys, xs], keep, scale=1 / 255), cv2.cvtColor(part, cv2.COLOR_BGRA2BGR)
        )
        return ys, xs, alpha


def pose(figure: Figure, t: float, right: FloatArray, forward: FloatArray) -> dict[str, FloatArray]:
    """Joints in metres, [2] = (right, up) in the billboard plane through the figure's ground point.

    Args:
        right, forward: unit vectors on the ground [2], to the right in the picture and away from the camera.
    """
    pos, vel, walked = figure.at(t)
    h = figure.height_m
    speed = float(np.hypot(*vel))
    lateral = float(vel @ right) / speed if speed > 0.2 else 0.3
    stride = min(1.0, speed / 4.5)
    phase = walked * 2 * np.pi / (1.0 + 1.2 * stride) + figure.phase
    idle = 0.05 * np.sin(2.2 * t + figure.phase)
    wide = 0.09 + 0.10 * (1 - stride)
    crouch = (0.55 if figure.sits else 1.0) - 0.05 * stride
    j: dict[str, FloatArray] = {}
    lean = 0.10 * stride * lateral * h
    hip = np.array([0.0, 0.50 * h * crouch + 0.02 * h * np.sin(2 * phase) * stride])
    neck = hip + [lean, 0.33 * h]
    j["hip"], j["neck"] = hip, neck
    j["head"] = neck + [0.3 * lean + 0.01, 0.085 * h]
    for sign, name in ((1, "r"), (-1, "l")):
        swing = np.sin(phase + (0 if sign > 0 else np.pi))
        reach = (0.32 * swing * lateral * stride + sign * wide * (1 - 0.6 * stride)) * h
        lift = 0.16 * h * stride * max(0.0, float(np.cos(phase + (0 if sign > 0 else np.pi))))
        ankle = np.array([reach, 0.035 * h + lift])
        knee = (hip + [sign * 0.05 * h, 0] + ankle) / 2 + [
            0.08 * h * lateral * stride + sign * 0.02 * h,
            0.03 * h * stride,
        ]
        if figure.sits:
            knee = knee + [sign * 0.10 * h, 0.03 * h]
        j["hip" + name], j["knee" + name], j["ankle" + name] = hip + [sign * 0.055 * h, 0], knee, ankle
        shoulder = neck + [sign * 0.105 * h * (1 - 0.4 * abs(lateral) * stride), -0.035 * h]
        arm = -0.5 * swing * stride * lateral + sign * 0.25 + idle
        elbow = shoulder + 0.17 * h * np.array([np.sin(arm), -np.cos(arm)])
        fore = arm + (0.9 * stride + 0.25) * (1 if lateral >= 0 else -1) * (0.4 + 0.6 * stride)
        j["shoulder" + name], j["elbow" + name] = shoulder, elbow
        j["hand" + name] = elbow + 0.16 * h * np.array([np.sin(fore), -np.cos(fore)])
    _act(figure, t, pos, right, j)
    if figure.style.racket and "racket" not in j:
        tip = np.array([0.45, 0.35 + 0.1 * np.sin(3 * t + figure.phase)])
        j["racket"] = j["handr"] + tip / np.hypot(*tip) * 0.5
    return j


def _act(figure: Figure, t: float, pos: FloatArray, right: FloatArray, j: dict[str, FloatArray]) -> None:
    """Bends arm, racket or leg towards the ball around a contact."""
    h = figure.height_m
    for when, point, kind in figure.actions:
        dt = t - when
        if not -0.45 < dt < 0.35:
            continue
        offset = np.array([(np.asarray(point[:2]) - pos) @ right, point[2]])
        if kind == "kick":
            near = np.exp(-((dt / 0.12) ** 2))
            side = "r" if offset[0] >= 0 else "l"
            j["ankle" + side] = j["ankle" + side] * (1 - near) + np.clip(offset, [-0.7, 0.04], [0.7, 0.9]) * near
            j["knee" + side] = (j["hip" + side] + j["ankle" + side]) / 2 + [0.05, 0.05]
            continue
        side = "r" if kind == "racket" or offset[0] >= 0 else "l"
        shoulder = j["shoulder" + side]
        to = offset - shoulder
        length = float(np.hypot(*to)) + 1e-6
        # the swing: an arc that comes from behind, passes the contact point at dt = 0 and follows through
        arc = float(np.clip(dt / 0.28, -1.2, 1.2)) * (2.0 if kind == "racket" else 0.8) * (1 if to[0] >= 0 else -1)
        c, s = np.cos(arc), np.sin(arc)
        aim = np.array([to[0] * c - to[1] * s, to[0] * s + to[1] * c]) / length
        reach = min(0.33 * h, length)
        j["hand" + side] = shoulder + aim * reach
        j["elbow" + side] = shoulder + aim * reach * 0.5 + [0.0, -0.05 * h]
        if kind == "racket":
            j["racket"] = j["hand" + side] + aim * float(np.clip(length - reach, 0.30, 0.55))


def figure_sprite(
    figure: Figure, t: float, foot_px: FloatArray, px_per_m: float, right: FloatArray, forward: FloatArray
) -> Sprite | None:
    """Draws a figure standing at ``foot_px`` (picture px). None when it would be smaller than 4 px."""
    tall = figure.height_m * px_per_m
    if tall < 4 or tall > 4000:
        return None
    over = 2 if tall < 130 else 1  # thin limbs need sub-pixel widths
    joints = pose(figure, t, right, forward)
    pts = np.array(list(joints.values()))
    pad = 0.14 * figure.height_m + (0.16 if figure.style.racket else 0)
    lo, hi = pts.min(0) - pad, pts.max(0) + pad
    lo[1] = min(lo[1], -0.06)
    x0, y0 = int(np.floor(foot_px[0] + lo[0] * px_per_m)), int(np.floor(foot_px[1] - hi[1] * px_per_m))
    w = int(np.ceil((hi[0] - lo[0]) * px_per_m)) + 2
    h = int(np.ceil((hi[1] - lo[1]) * px_per_m)) + 2
    canvas = np.zeros((h * over, w * over, 4), np.uint8)
    scale = px_per_m * over
    origin = scaled(np.asarray(foot_px, float) - [x0, y0], over)

    def at(p: FloatArray) -> tuple[int, int]:
        return round((origin[0] + p[0] * scale) * (1 << _SHIFT)), round((origin[1] - p[1] * scale) * (1 << _SHIFT))

    def limb(a: str, b: str, width_m: float, colour: Colour) -> None:
        cv2.line(
            canvas, at(joints[a]), at(joints[b]), (*colour, 255), max(1, round(width_m * scale)), cv2.LINE_AA, _SHIFT
        )

    def spot(p: FloatArray, radius_m: float, colour: Colour) -> None:
        cv2.circle(
            canvas, at(p), max(8, round(radius_m * scale * (1 << _SHIFT))), (*colour, 255), -1, cv2.LINE_AA, _SHIFT
        )

    st, hh = figure.style, figure.height_m
    leg = st.shorts if st.long_trousers else st.skin
    for s in ("l", "r"):
        limb("hip" + s, "knee" + s, 0.085 * hh, st.shorts)
        limb("knee" + s, "ankle" + s, 0.055 * hh, st.socks if not st.long_trousers else leg)
        mid = {"a": (joints["hip" + s] + 2 * joints["knee" + s]) / 3}
        joints["_m"] = mid["a"]
        limb("_m", "knee" + s, 0.06 * hh, leg)
        toe = joints["ankle" + s] + [0.06 * hh * (1 if s == "r" else -1) * 0.5, -0.015 * hh]
        joints["_t"] = toe
        limb("ankle" + s, "_t", 0.05 * hh, st.shoes)
    limb("shoulderl", "elbowl", 0.06 * hh, st.shirt)
    limb("elbowl", "handl", 0.042 * hh, st.skin)
    torso = np.array(
        [
            at(joints["neck"] + [-0.115 * hh, -0.01 * hh]),
            at(joints["neck"] + [0.115 * hh, -0.01 * hh]),
            at(joints["hip"] + [0.085 * hh, -0.03 * hh]),
            at(joints["hip"] + [-0.085 * hh, -0.03 * hh]),
        ]
    )
    cv2.fillConvexPoly(canvas, torso, (*st.shirt, 255), cv2.LINE_AA, _SHIFT)
    if st.stripes:
        other = st.shorts
        for f in (0.25, 0.5, 0.75):
            y = joints["neck"] * (1 - f) + joints["hip"] * f
            cv2.line(
                canvas,
                at(y + [-0.095 * hh, 0]),
                at(y + [0.095 * hh, 0]),
                (*other, 255),
                max(1, round(0.03 * hh * scale)),
                cv2.LINE_AA,
                _SHIFT,
            )
    limb("neck", "head", 0.05 * hh, st.skin)
    spot(joints["head"], 0.062 * hh, st.shirt if st.helmet else st.skin)
    if not st.helmet:
        spot(joints["head"] + [0, 0.022 * hh], 0.058 * hh, st.shirt if st.cap else st.hair)
        spot(joints["head"] + [0.006 * hh, -0.02 * hh], 0.045 * hh, st.skin)
    limb("shoulderr", "elbowr", 0.06 * hh, st.shirt)
    limb("elbowr", "handr", 0.042 * hh, st.skin)
    if st.racket:
        _racket(canvas, at, joints, scale)
    for s in ("l", "r"):
        spot(joints["hand" + s], 0.028 * hh, st.skin)
    if figure.holds_ball:
        spot(joints["handl"] + [0.03, 0.0], 0.0335, (214, 232, 90))
    if over > 1:
        canvas = cv2.resize(canvas, (w, h), interpolation=cv2.INTER_AREA)
    elif tall > 40:
        canvas = cv2.GaussianBlur(canvas, (3, 3), 0.6)
    return Sprite(x0, y0, _cloth(canvas, figure.phase))


def _racket(canvas: Image, at, joints: dict[str, FloatArray], scale: float) -> None:
    hand, tip = joints["handr"], joints["racket"]
    along = tip - hand
    length = float(np.hypot(*along)) + 1e-6
    angle = float(np.degrees(np.arctan2(-along[1], along[0])))
    cv2.line(
        canvas, at(hand), at(hand + along * 0.6), (40, 40, 40, 255), max(1, round(0.03 * scale)), cv2.LINE_AA, _SHIFT
    )
    axes = (round(0.17 * scale * 16), round(0.12 * scale * 16))
    strings = np.zeros_like(canvas)  # strings hide a fifth of what is behind
    cv2.ellipse(
        strings, at(hand + along * (1 + 0.05 / length)), axes, angle, 0, 360, (22, 22, 20, 50), -1, cv2.LINE_AA, _SHIFT
    )
    keep = cv2.cvtColor(cv2.bitwise_not(cv2.extractChannel(strings, 3)), cv2.COLOR_GRAY2BGRA)
    canvas[:] = cv2.add(cv2.multiply(canvas, keep, scale=1 / 255), strings)
    cv2.ellipse(
        canvas,
        at(hand + along * (1 + 0.05 / length)),
        axes,
        angle,
        0,
        360,
        (30, 30, 34, 255),
        max(1, round(0.022 * scale)),
        cv2.LINE_AA,
        _SHIFT,
    )


_FOLDS = cv2.GaussianBlur(np.random.default_rng(7).standard_normal((512, 512)).astype(np.float32), (0, 0), 4.0)
_FOLDS = np.clip(232 + _FOLDS / _FOLDS.std() * 14, 150, 255).astype(np.uint8)


def _cloth(canvas: Image, phase: float) -> Image:
    """Light and folds: a fixed random relief, darker towards the ground."""
    h, w = canvas.shape[:2]
    if h > 500 or w > 500 or h < 12:
        return canvas
    k = int(phase * 37) % (512 - min(h, 511))
    folds = _FOLDS[k : k + h, k % (512 - min(w, 511)) :][:h, :w]
    if folds.shape != (h, w):
        return canvas
    relief = cv2.cvtColor(folds, cv2.COLOR_GRAY2BGRA)  # its alpha is 255: the figure's outline stays
    return cv2.multiply(canvas, relief, scale=1 / 255)
