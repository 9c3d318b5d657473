"""The painted background: ground with its lines, boards with text-like marks, stands with a crowd, trees, sky."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np

from tracker.core.errors import TrackerError
from tracker.core.types import FloatArray, Image
from tracker.synth.camera import Camera
from tracker.synth.field import Field

_SHIFT = 5
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
_MAX_PICTURE = 64_000_000


def noise_tile(rng: np.random.Generator, size: int, grain: float) -> FloatArray:
    """Periodic noise float32 [size, size], zero mean, unit deviation; ``grain`` px is its correlation length."""
    tile = rng.standard_normal((size, size), dtype=np.float32)
    if grain > 0.3:
        pad = int(3 * grain) + 1
        wide = np.pad(tile, pad, mode="wrap")
        tile = cv2.GaussianBlur(wide, (0, 0), grain)[pad:-pad, pad:-pad]
    return (tile - tile.mean()) / (tile.std() + 1e-6)


def paint(camera: Camera, field: Field, rng: np.random.Generator, *, pictures: str | Path | None = None) -> Image:
    """The background as the camera's whole canvas, uint8 RGB [H, W, 3]."""
    if pictures is not None:
        return _from_file(pictures, camera, rng)
    canvas = _sky(camera, field, rng)
    _ground(canvas, camera, field, rng)
    for line in field.lines:
        _stroke(canvas, camera, line, field.line_width_m, field.line_colour)
    if field.logo:
        _ground_logo(canvas, camera, field, rng)
    _surroundings(canvas, camera, field, rng)
    for x in field.goals:
        _goal(canvas, camera, x)
    sharp = float(rng.uniform(0.3, 0.8))
    return cv2.GaussianBlur(canvas, (0, 0), sharp) if sharp > 0.4 else canvas


def _from_file(source: str | Path, camera: Camera, rng: np.random.Generator) -> Image:
    path = Path(source)
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in _PICTURES)
        if not files:
            raise TrackerError(f"no pictures in {path}; backgrounds are files ending in {', '.join(_PICTURES)}")
        path = files[int(rng.integers(len(files)))]
    if not path.is_file():
        raise TrackerError(f"no background picture at {path}")
    if path.stat().st_size > 4 * _MAX_PICTURE:
        raise TrackerError(f"{path} is too large for a background picture")
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR) if path.stat().st_size else None
    if image is None or image.size > 3 * _MAX_PICTURE or min(image.shape[:2]) < 8:
        raise TrackerError(f"{path} is no readable picture; give PNG or JPEG files")
    h, w = image.shape[:2]
    grow = max(camera.width / w, camera.height / h)
    image = cv2.resize(
        image,
        (max(camera.width, round(w * grow)), max(camera.height, round(h * grow))),
        interpolation=cv2.INTER_AREA if grow < 1 else cv2.INTER_CUBIC,
    )
    y, x = (image.shape[0] - camera.height) // 2, (image.shape[1] - camera.width) // 2
    return cv2.cvtColor(np.ascontiguousarray(image[y : y + camera.height, x : x + camera.width]), cv2.COLOR_BGR2RGB)


def _sky(camera: Camera, field: Field, rng: np.random.Generator) -> Image:
    h, w = camera.height, camera.width
    if field.stands:  # the dark inside of an arena
        base = np.full((h, w, 3), rng.integers(8, 45, 3), np.uint8)
        return base
    top, low = rng.integers((90, 140, 190), (190, 215, 255)), rng.integers((190, 200, 205), (240, 245, 250))
    mix = np.linspace(0, 1, h, dtype=np.float32)[:, None, None]
    sky = (1 - mix) * top + mix * low + np.zeros((1, w, 1), np.float32)
    small = cv2.GaussianBlur(rng.standard_normal((h // 16 + 2, w // 16 + 2), dtype=np.float32), (0, 0), 3)
    clouds = cv2.resize(small / (np.abs(small).max() + 1e-6), (w, h), interpolation=cv2.INTER_CUBIC)
    return np.clip(sky + 38 * clouds[..., None], 0, 255).astype(np.uint8)


def _ground(canvas: Image, camera: Camera, field: Field, rng: np.random.Generator) -> None:
    x, y, below = camera.ground_grid()
    rows = np.flatnonzero(below)
    if not len(rows):
        return
    top = int(rows[0])
    x, y = np.clip(x[top:], -400, 400), np.clip(y[top:], -400, 400)
    rgb = np.empty((*x.shape, 3), np.float32)
    rgb[:] = field.outer
    for (x0, y0, x1, y1), colour in field.areas:
        _rectangle(rgb, camera, top, (x0, y0, x1, y1), colour)
    if field.stripe_m > 0:
        along = x if field.stripe_along_x else y
        wave = np.sin(along * np.float32(np.pi / field.stripe_m))
        rgb *= (1 + field.stripe_contrast * np.clip(wave * 6, -1, 1))[..., None]
    # three scales of texture: patches of wear, clumps, and grain that fades where pixels cover many of them
    size = 256
    shade = np.ones(x.shape, np.float32)
    for metres_per_cell, grain, strength in ((0.35, 5.0, 0.5), (0.08, 1.5, 0.6), (0.02, 0.6, 1.0)):
        tile = noise_tile(rng, size, grain)
        u = np.mod(x / np.float32(metres_per_cell), size - 1)
        v = np.mod(y / np.float32(metres_per_cell), size - 1)
        shade += np.float32(field.texture * strength) * cv2.remap(tile, u, v, cv2.INTER_LINEAR)
    rgb *= shade[..., None]
    light = cv2.resize(
        rng.normal(1, 0.05, (3, 4)).astype(np.float32), (x.shape[1], x.shape[0]), interpolation=cv2.INTER_CUBIC
    )
    rgb *= light[..., None]
    canvas[top:] = np.clip(rgb, 0, 255)


def _rectangle(
    rgb: FloatArray, camera: Camera, top: int, box: tuple[float, float, float, float], colour: FloatArray
) -> None:
    x0, y0, x1, y1 = box
    pts = visible_polygon(camera, np.array([[x0, y0, 0], [x1, y0, 0], [x1, y1, 0], [x0, y1, 0]], float))
    if pts is not None:
        pts = pts - [0, top]
        cv2.fillPoly(
            rgb, [np.rint(pts * (1 << _SHIFT)).astype(np.int32)], tuple(float(c) for c in colour), cv2.LINE_8, _SHIFT
        )


def visible_polygon(camera: Camera, corners: FloatArray, near_m: float = 0.5) -> FloatArray | None:
    """Projects a plane polygon [N, 3], cut off behind the camera; canvas px [M, 2] or None."""
    cam = (corners - camera.position) @ camera.rotation.T
    kept = []
    for a, b in zip(cam, np.roll(cam, -1, 0), strict=True):
        if a[2] >= near_m:
            kept.append(a)
        if (a[2] >= near_m) != (b[2] >= near_m):
            kept.append(a + (b - a) * (near_m - a[2]) / (b[2] - a[2]))
    if len(kept) < 3:
        return None
    p = np.array(kept)
    centre = np.array([(camera.width - 1) / 2, (camera.height - 1) / 2])
    return np.clip(p[:, :2] / p[:, 2:] * camera.focal_px + centre, -30000, 30000)


def _stroke(canvas: Image, camera: Camera, line: FloatArray, width_m: float, colour: FloatArray) -> None:
    """A painted line along world points [N, 2], as wide as perspective makes it."""
    for a, b in itertools.pairwise(line):
        d = b - a
        n = np.array([-d[1], d[0]]) / (np.hypot(*d) + 1e-9) * width_m / 2
        quad = np.array([[*(a + n), 0], [*(b + n), 0], [*(b - n), 0], [*(a - n), 0]])
        pts = visible_polygon(camera, quad)
        if pts is not None:
            cv2.fillConvexPoly(
                canvas,
                np.rint(pts * (1 << _SHIFT)).astype(np.int32),
                tuple(int(c) for c in colour),
                cv2.LINE_AA,
                _SHIFT,
            )


def paint_plane(canvas: Image, camera: Camera, texture: Image, corners: FloatArray) -> None:
    """Paints ``texture`` on a rectangle in the world; ``corners`` [4, 3] m, clockwise from upper left."""
    px, depth = camera.project(corners)
    if (depth < 0.8).any() or not np.isfinite(px).all():
        return
    x0, y0 = np.maximum(np.floor(px.min(0)).astype(int) - 1, 0)
    x1, y1 = np.minimum(np.ceil(px.max(0)).astype(int) + 2, [camera.width, camera.height])
    if x1 - x0 < 2 or y1 - y0 < 2:
        return
    th, tw = texture.shape[:2]
    source = np.array([[-0.5, -0.5], [tw - 0.5, -0.5], [tw - 0.5, th - 0.5], [-0.5, th - 0.5]], np.float32)
    matrix = cv2.getPerspectiveTransform(source, (px - [x0, y0]).astype(np.float32))
    size = (int(x1 - x0), int(y1 - y0))
    shown = cv2.warpPerspective(texture, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    mask = np.zeros(size[::-1], np.uint8)
    cv2.fillConvexPoly(mask, np.rint((px - [x0, y0]) * (1 << _SHIFT)).astype(np.int32), 255, cv2.LINE_AA, _SHIFT)
    a = mask[..., None].astype(np.float32) / 255
    part = canvas[y0:y1, x0:x1]
    part[:] = part * (1 - a) + shown * a


def marks(width: int, height: int, rng: np.random.Generator, ground: FloatArray, ink: FloatArray) -> Image:
    """Text-like marks: random letters, bars and discs (a disc is a ball's best double)."""
    board = np.empty((height, width, 3), np.uint8)
    board[:] = np.clip(ground, 0, 255)
    x = int(rng.integers(0, height))
    colour = tuple(int(c) for c in ink)
    while x < width - height // 2:
        kind = rng.random()
        if kind < 0.75:
            text = "".join(chr(int(c)) for c in rng.integers(65, 91, int(rng.integers(3, 9))))
            scale = height / 38 * float(rng.uniform(0.6, 1.0))
            font = int(rng.choice([cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX]))
            thick = max(1, round(scale * rng.uniform(1, 4)))
            (tw, th), _ = cv2.getTextSize(text, font, scale, thick)
            cv2.putText(board, text, (x, (height + th) // 2), font, scale, colour, thick, cv2.LINE_AA)
            x += tw + int(rng.integers(height // 3, 2 * height))
        elif kind < 0.9:
            r = max(2, int(height * rng.uniform(0.1, 0.35)))
            cv2.circle(board, (x + r, height // 2), r, tuple(int(c) for c in rng.integers(0, 256, 3)), -1, cv2.LINE_AA)
            x += 3 * r + int(rng.integers(4, height))
        else:
            w = int(rng.integers(2, max(3, 2 * height)))
            cv2.rectangle(board, (x, height // 5), (x + w, 4 * height // 5), colour, -1)
            x += w + int(rng.integers(4, height))
    return board


def crowd(rows: int, seats: int, rng: np.random.Generator, empty: float) -> Image:
    """A stand full of people, 8 x 7 px a seat: shirt, head, seat row."""
    cell_h, cell_w = 8, 7
    seat = rng.integers(10, 120, 3)
    shirts = rng.integers(15, 235, (rows, seats, 3)).astype(np.float32)
    if rng.random() < 0.5:  # a club's colour
        share = rng.random((rows, seats, 1)) < 0.5
        shirts = np.where(share, rng.integers(0, 255, 3) + rng.normal(0, 18, (rows, seats, 3)), shirts)
    heads = np.array([(210, 165, 135), (150, 105, 80), (90, 62, 45), (60, 45, 35), (200, 180, 150)], np.float32)[
        rng.integers(0, 5, (rows, seats))
    ]
    gone = rng.random((rows, seats, 1)) < empty
    shirts, heads = np.where(gone, seat, shirts), np.where(gone, seat, heads)
    out = np.empty((rows, cell_h, seats, cell_w, 3), np.float32)
    out[:] = seat * 0.6
    out[:, 3:7, :, 1:6] = shirts[:, None, :, None]
    out[:, 0:3, :, 2:5] = heads[:, None, :, None]
    out[:, 3:4, :, 2:5] *= 0.8
    image = out.reshape(rows * cell_h, seats * cell_w, 3)
    image *= rng.normal(1, 0.10, (*image.shape[:2], 1)).astype(np.float32)
    for r in range(rows):  # people do not sit in a grid
        image[r * cell_h : (r + 1) * cell_h] = np.roll(
            image[r * cell_h : (r + 1) * cell_h], int(rng.integers(cell_w)), 1
        )
    return np.clip(image, 0, 255).astype(np.uint8)


def _surroundings(canvas: Image, camera: Camera, field: Field, rng: np.random.Generator) -> None:
    """Boards, stands or trees on the sides of the field that face the camera, far ones first."""
    x0, y0, x1, y1 = field.bounds
    corners = {
        "far": ((x0, y1), (x1, y1)),
        "right": ((x1, y1), (x1, y0)),
        "left": ((x0, y0), (x0, y1)),
        "near": ((x1, y0), (x0, y0)),
    }
    order = []
    for first, last in corners.values():
        a, b = np.array(first, float), np.array(last, float)
        mid = (a + b) / 2
        inward = np.array([(x0 + x1) / 2, (y0 + y1) / 2]) - mid
        if inward @ (camera.position[:2] - mid) > 0:
            order.append((float(np.hypot(*(mid - camera.position[:2]))), a, b))
    dim = float(rng.uniform(0.25, 1.0)) if field.stands else 1.0
    for _, a, b in sorted(order, key=lambda o: -o[0]):
        pieces = max(1, int(np.hypot(*(b - a)) / 9))
        outward = np.array([(b - a)[1], -(b - a)[0]])
        outward = -outward / np.hypot(*outward)
        if outward @ (a - [(x0 + x1) / 2, (y0 + y1) / 2]) < 0:
            outward = -outward
        ground = _paint_colour(rng) if rng.random() < 0.5 else np.asarray(field.outer) * rng.uniform(0.35, 0.8)
        ink = np.full(3, 240.0) if ground.mean() < 140 else rng.uniform(0, 80, 3)
        for i in range(pieces):
            p, q = a + (b - a) * i / pieces, a + (b - a) * (i + 1) / pieces
            _behind(canvas, camera, field, p, q, outward, dim, rng)
            if field.board_m > 0:
                if field.mixed_boards:
                    ground, ink = _paint_colour(rng), _paint_colour(rng)
                h = field.board_m
                texture = marks(360, max(12, int(40 * h)), rng, ground, ink)
                paint_plane(canvas, camera, texture, np.array([[*p, h], [*q, h], [*q, 0], [*p, 0]]))


def _paint_colour(rng: np.random.Generator) -> FloatArray:
    """Paints are seldom of full saturation."""
    c = rng.uniform(0, 255, 3)
    return c + rng.uniform(0.1, 0.7) * (c.mean() - c)


def _behind(
    canvas: Image,
    camera: Camera,
    field: Field,
    p: FloatArray,
    q: FloatArray,
    outward: FloatArray,
    dim: float,
    rng: np.random.Generator,
) -> None:
    if field.stands:
        base, rise, depth = field.board_m + 0.4, 14.0, 24.0
        texture = (crowd(26, 15, rng, float(rng.uniform(0, 0.35))) * dim).astype(np.uint8)
        up, uq = p + outward * depth, q + outward * depth
        paint_plane(
            canvas,
            camera,
            texture,
            np.array([[*up, base + rise], [*uq, base + rise], [*(q + outward), base], [*(p + outward), base]]),
        )
        return
    height = float(rng.uniform(3, 9))
    kind = rng.random()
    size = 96
    if kind < 0.65:  # trees: leaves over gaps of sky
        leaf = rng.integers((15, 35, 10), (90, 110, 60)).astype(np.float32)
        texture = np.clip(
            leaf * (1 + 0.35 * noise_tile(rng, size, 1.2) + 0.35 * noise_tile(rng, size, 6.0))[..., None], 0, 255
        ).astype(np.uint8)
    else:  # a wall with windows
        texture = np.empty((size, size, 3), np.uint8)
        texture[:] = rng.integers(70, 210, 3)
        for r in range(10, size - 16, 28):
            for c in range(8, size - 14, 24):
                cv2.rectangle(texture, (c, r), (c + 12, r + 15), tuple(int(v) for v in rng.integers(20, 120, 3)), -1)
    o = outward * 6
    paint_plane(
        canvas, camera, texture, np.array([[*(p + o), height], [*(q + o), height], [*(q + o), 0], [*(p + o), 0]])
    )


def _goal(canvas: Image, camera: Camera, x: float) -> None:
    """Posts, bar and netting of a football goal (part of the background: the ball is always in front of it)."""
    out = 2.0 if x > 0 else -2.0
    mesh = [[(x, y, 2.44), (x + out, y, 0.0)] for y in np.arange(-3.6, 3.7, 0.3)]
    mesh += [
        [(x + f * out, -3.66, 2.44 * (1 - f)), (x + f * out, 3.66, 2.44 * (1 - f))] for f in np.arange(0.1, 1.0, 0.12)
    ]
    frame = [
        [(x, -3.66, 0.0), (x, -3.66, 2.44)],
        [(x, 3.66, 0.0), (x, 3.66, 2.44)],
        [(x, -3.66, 2.44), (x, 3.66, 2.44)],
    ]
    for lines, colour, share in ((mesh, (205, 205, 205), 0.35), (frame, (240, 240, 240), 1.0)):
        layer = canvas.copy() if share < 1 else canvas
        for line in lines:
            px, depth = camera.project(np.array(line))
            if (depth < 2).any() or np.abs(px).max() > 20000:
                continue
            wide = 1 if share < 1 else max(1, round(0.12 * camera.scale(float(depth.min()))))
            a, b = np.rint(px * (1 << _SHIFT)).astype(int).tolist()
            cv2.line(layer, a, b, colour, wide, cv2.LINE_AA, _SHIFT)
        if share < 1:
            cv2.addWeighted(layer, share, canvas, 1 - share, 0, dst=canvas)


def _ground_logo(canvas: Image, camera: Camera, field: Field, rng: np.random.Generator) -> None:
    assert field.logo is not None
    x, y, w, h = field.logo
    base = np.asarray(field.outer)
    ink = np.clip(base + 90, 0, 255) if rng.random() < 0.6 else _paint_colour(rng)
    texture = marks(300, 60, rng, base, ink)
    paint_plane(canvas, camera, texture, np.array([[x, y + h, 0.0], [x + w, y + h, 0], [x + w, y, 0], [x, y, 0]]))


def mesh_sprite(
    camera: Camera, half_width_m: float, height_m: float, rng: np.random.Generator
) -> tuple[Image, int, int] | None:
    """The tennis net across y = 0 as premultiplied RGBA on its box of the canvas, and the box's upper left corner."""
    n = 24
    xs = np.linspace(-half_width_m, half_width_m, n)
    sag = height_m + 0.12 * (xs / half_width_m) ** 2
    top, d1 = camera.project(np.stack([xs, np.zeros(n), sag], -1))
    low, d2 = camera.project(np.stack([xs, np.zeros(n), np.zeros(n)], -1))
    if (np.minimum(d1, d2) < 1).any():
        return None
    pts = np.concatenate([top, low])
    x0, y0 = np.maximum(np.floor(pts.min(0)).astype(int) - 3, 0)
    x1, y1 = np.minimum(np.ceil(pts.max(0)).astype(int) + 4, [camera.width, camera.height])
    if x1 - x0 < 4 or y1 - y0 < 4:
        return None
    rgba = np.zeros((y1 - y0, x1 - x0, 4), np.uint8)
    poly = np.concatenate([top, low[::-1]]) - [x0, y0]
    fill = int(rng.integers(90, 170))
    cv2.fillPoly(rgba, [np.rint(poly * 32).astype(np.int32)], (12, 14, 14, fill), cv2.LINE_AA, _SHIFT)
    pitch = max(0.045, 2.2 / camera.scale(float(d1.mean())))
    if pitch < 0.3:  # threads, as far as pixels can show them
        for x in np.arange(-half_width_m, half_width_m, pitch):
            a, _ = camera.project(np.array([x, 0.0, 0.0]))
            b, _ = camera.project(np.array([x, 0.0, float(np.interp(x, xs, sag))]))
            thread = np.rint((np.stack([a, b]) - [x0, y0]) * 32).astype(int).tolist()
            cv2.line(rgba, thread[0], thread[1], (10, 12, 12, min(255, fill + 60)), 1, cv2.LINE_AA, _SHIFT)
    band = np.concatenate([top, camera.project(np.stack([xs, np.zeros(n), sag - 0.07], -1))[0][::-1]]) - [x0, y0]
    cv2.fillPoly(rgba, [np.rint(band * 32).astype(np.int32)], (235, 235, 230, 255), cv2.LINE_AA, _SHIFT)
    return rgba, int(x0), int(y0)
