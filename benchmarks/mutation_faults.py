# ruff: noqa: E501 - a table
"""The faults of benchmarks/mutations.py, by the package they break.

A fault is a short text that stands once in its file, and what it becomes (several pairs where one edit alone cannot
break the thing). Texts are kept short so that renames around them do not touch them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """A patch.

    Attributes:
        breaks: what goes wrong for the user.
        edits: (find, replace) pairs, each found exactly once in ``file``.
        tests: files that should notice, the quickest first.
        survives: why it is not noticed, where that is known and accepted.
    """

    name: str
    breaks: str
    file: str
    edits: tuple[tuple[str, str], ...]
    tests: tuple[str, ...]
    survives: str = ""


def group(file: str, tests: str, *faults: tuple[str, ...], survives: dict[str, str] | None = None) -> list[Fault]:
    """Faults (name, what it breaks, find, replace, find, replace ...) of one file with the same tests."""
    files = tuple(f"tests/test_{t}.py" for t in tests.split())
    made = []
    for name, breaks, *texts in faults:
        edits = tuple(zip(texts[::2], texts[1::2], strict=True))
        made.append(Fault(name, breaks, file, edits, files, (survives or {}).get(name, "")))
    return made


COORDINATES = [
    *group(
        "tracker/core/types.py", "detect_parts detect_views video_planes",
        ("half-pixel-one-way", "half a pixel is lost on the way back to source px",
         "(uv + 0.5) * scale + [region.x0, region.y0]", "uv * scale + [region.x0, region.y0]"),
        ("half-pixel-both-ways", "half a pixel is lost on the way there and back, so that round trips still close",
         "(xy - [region.x0, region.y0]) * scale - 0.5", "(xy - [region.x0, region.y0]) * scale",
         "(uv + 0.5) * scale + [region.x0, region.y0]", "uv * scale + [region.x0, region.y0]"),
        ("half-cell-both-ways", "half a pixel is lost between network px and heatmap cells, there and back",
         "return (xy + 0.5) * k - 0.5", "return xy * k"),
        ("whole-without-half-pixel", "the whole picture begins at 0 in place of -0.5",
         "return Region(-0.5, -0.5, float(width), float(height))", "return Region(0.0, 0.0, float(width), float(height))"),
        ("normalised-without-half-pixel", "CoordConv's place is half a pixel off",
         "(region.x0 + 0.5) / width,", "(region.x0 + 8.5) / width,"),
        ("nearest-when-shrinking", "a small ball falls between the samples of a shrunken picture",
         "cv2.INTER_AREA if shrinks", "cv2.INTER_NEAREST if shrinks"),
        ("warp-half-pixel", "a region between pixels is shown half a pixel off when enlarged",
         "-region.x0 * sx - 0.5]", "-region.x0 * sx]"),
    ),
    *group(
        "tracker/core/types.py", "detect_parts",
        ("sd-of-one-axis", "sd_px leaves the vertical variance out",
         "(self.cov[0, 0] + self.cov[1, 1]) / 2", "self.cov[0, 0] / 2"),
        ("camera-apply-sign", "points are carried against the camera's motion",
         "@ self.matrix[:, :2].T + self.matrix[:, 2]", "@ self.matrix[:, :2].T - self.matrix[:, 2]"),
    ),
]  # fmt: skip

DETECT = [
    *group(
        "tracker/detect/views.py", "detect_parts detect_views bench_speed attention",
        ("frames-oldest-first", "the network sees the pictures in the wrong order",
         "out[i] = kept.crop(", "out[self.n - 1 - i] = kept.crop("),
        ("roi-whole-picture", "CoordConv is told that every view is the whole picture",
         "return out, normalised(r, newest.width, newest.height)", "return out, np.array([0, 0, 1, 1], np.float32)"),
        ("history-against-camera", "older pictures are moved against a panning camera",
         "r.x0 + round(was[0] - centre[0]), r.y0 + round(was[1] - centre[1])",
         "r.x0 - round(was[0] - centre[0]), r.y0 - round(was[1] - centre[1])"),
        ("history-at-60-fps", "60 fps material is seen at 60",
         ">= self.min_step_s", ">= 0"),
        ("close-look-beside-the-ball", "the close look is not centred on the prediction",
         "xy[0] + 0.5 - w / 2, xy[1] + 0.5 - h / 2", "xy[0] + 0.5, xy[1] + 0.5"),
        ("close-look-outside", "the close look reaches over the picture's edge",
         "x0 = min(max(x0, 0.0), width - w) if w <= width", "x0 = x0 if w <= width"),
    ),
    *group(
        "tracker/detect/detector.py", "detect_parts detect_views detect_tiles bench_speed attention",
        ("counted-from-keep-threshold", "detections are counted from the keep threshold: every weak peak is a ball",
         "sum(found[i][0] >= self.start_threshold for i in rows)",
         "sum(found[i][0] >= self.keep_threshold for i in rows)"),
        ("same-ball-not-scaled", "peaks 12 px apart are one ball, whatever the picture's size",
         "SAME_BALL_PX * self.width / REFERENCE_WIDTH", "SAME_BALL_PX"),
        ("radius-in-network-px", "radii are those of the network's view, not of the source",
         "[r * v.source_px for v, r in", "[r for v, r in"),
        ("wide-look-wins", "a coarse detection stays where a close look found none",
         "outside = np.array([not any(r.contains(x, y) for r in regions) for x, y in rest.xy], dtype=bool)",
         "outside = np.ones(len(rest), dtype=bool)"),
        ("unsorted", "detections are not handed on best first",
         "found.sort(key=_falling)", "found.sort(key=_falling, reverse=True)"),
        ("part-counts-everything", "parts of a scan count the overlap twice",
         "own = counting(part.counts, places[0])", "own = np.ones(len(places[0]), bool)"),
        ("outside-the-picture", "peaks in the black border are detections",
         " and -0.5 < x < right and -0.5 < y < below", ""),
        ("threshold-setting-ignored", "detect.threshold has no effect",
         "info.threshold if config.threshold is None else config.threshold", "info.threshold"),
        ("keep-above-start", "a start threshold below the model's keep threshold is refused by the tracker",
         "min(info.keep_threshold, self.start_threshold)", "info.keep_threshold"),
    ),
    *group(
        "tracker/detect/tiles.py", "detect_tiles attention",
        ("border-not-in-the-middle", "a detection counts where its window cuts the ball",
         "((a + window + b) / 2 for a, b in", "(b for a, b in"),
    ),
    *group(
        "tracker/detect/model.py", "detect_parts",
        ("roi-axes-swapped", "CoordConv gets y for x",
         "np.asarray(roi, np.float32)}", "np.asarray(roi, np.float32)[:, [1, 0, 3, 2]]}"),
        ("keep-for-threshold", "the operating threshold is read from the wrong key",
         'threshold=float(op["threshold"])', 'threshold=float(op["keep_threshold"])'),
    ),
    *group(
        "tracker/detect/stamp.py", "eval_stamp",
        ("stamp-keeps-the-old-point", "a chosen operating point is not stored in the model",
         '"operating_point": point}', '"operating_point": model.info.extra["operating_point"]}'),
        ("stamp-raises-keep", "storing an operating point loses the keep threshold",
         'min(model.info.keep_threshold, point["threshold"])', 'point["threshold"]'),
    ),
]  # fmt: skip

TRACK = [
    *group(
        "tracker/track/hypothesis.py", "track_filter track_online track_rules",
        ("gravity-up", "balls fall upwards", "self.vy += gravity * dt", "self.vy -= gravity * dt"),
        ("noise-by-the-frame", "the process noise depends on the frame rate", "q * dt**3 / 3", "q * dt / 3"),
        ("track-camera-sign", "the track moves against the camera", "+ b * self.y + tx,", "+ b * self.y - tx,"),
        ("hits-do-not-end-coasting", "a detection does not end coasting",
         "self.hits += 1\n        self.coast_s = 0.0", "self.hits += 1"),
        ("velocity-not-scaled", "velocities are those of a 1280-wide picture",
         "np.array([self.vx * k, self.vy * k])", "np.array([self.vx, self.vy])"),
        ("covariance-scaled-once", "the variance is scaled like a length",
         "cov[0, 0] = cov[1, 1] = self.p00 * k * k", "cov[0, 0] = cov[1, 1] = self.p00 * k"),
    ),
    *group(
        "tracker/track/online.py", "track_rules track_online",
        ("gate-not-squared", "a squared distance is compared with the gate itself",
         "else GATE**2)", "else GATE)"),
        ("contact-gate-not-squared", "the same after a hit", "[0] <= GATE**2:", "[0] <= GATE:"),
        ("coast-limit-ignored", "predictions are reported for as long as the track lives",
         " and h.coast_s <= limit", ""),
        ("sd-limit-ignored", "predictions are reported however unsure", " and math.sqrt(h.p00) <= REPORT_SD_PX", ""),
        ("tentative-coasts-long", "a track of one detection is reported as long as a confirmed one",
         "c.report_coast_s if h.hits >= CONFIRM_HITS else TENTATIVE_COAST_S", "c.report_coast_s"),
        ("track-never-dropped", "a track without detections lives for ever",
         "if h.coast_s <= MAX_COAST_S and", "if"),
        ("track-leaves-the-picture", "a track goes on outside the picture",
         "h.coast_s <= MAX_COAST_S and self._inside(h)", "h.coast_s <= MAX_COAST_S"),
        ("misses-are-free", "a missing detection is no evidence", "m.llr += self._miss", "m.llr += 0.0"),
        ("keep-threshold-ignored", "detections below the keep threshold continue tracks",
         "if score >= self._keep and", "if score >= 0 and"),
        ("cut-ignored", "the track goes on over a cut", "if cut or dt > self.config.gap_s:", "if dt > self.config.gap_s:"),
        ("gap-ignored", "the track goes on over a gap in time", "if cut or dt > self.config.gap_s:", "if cut:"),
        ("repeats-are-evidence", "a repeated picture is a second detection",
         "if repeated and not cut and", "if False and"),
        ("tracker-camera-sign", "the tracker turns the camera's motion round",
         "tx * self._scale, ty * self._scale", "-tx * self._scale, -ty * self._scale"),
        ("camera-not-scaled", "the camera's motion is taken for px of a 1280-wide picture",
         "tx * self._scale, ty * self._scale", "tx, ty"),
        ("unseen-is-a-miss", "where nobody looked the ball is missed", "if looked_at(h.x, h.y):", "if True:"),
        ("anything-starts-a-track", "tracks start at any detection",
         "if candidate.score >= INITIATION_SHARE * self._start and", "if"),
        ("clutter-stays-behind", "known places of clutter do not move with the camera",
         "self._clutter.carry(*self._reference_motion(camera))", "pass"),
        ("tracker-counts-all", "the count of detections is lost in the tracker",
         "self._last = self._report(frame, time_s, detections.n_detections)",
         "self._last = self._report(frame, time_s, len(detections))"),
    ),
    *group(
        "tracker/track/clutter.py", "track_filter track_online",
        ("clutter-never-forgotten", "a place of clutter is never forgotten", "spot[2] -= dt", "spot[2] -= 0.0"),
    ),
    *group(
        "tracker/track/clock.py", "track_filter track_online",
        ("repeat-costs-no-time", "a stalled picture's time is lost", "else dt + pending", "else dt"),
        ("rhythm-ignored", "25 fps shown at 30: the ball stumbles five times a second",
         "step_s = dt * self._total / self._distinct if", "step_s = dt + pending if"),
        ("falling-stamps-believed", "equal time stamps stop the ball",
         "if not dt > 0:", "if False:"),
    ),
    *group(
        "tracker/track/pipeline.py", "detect_parts live_states attention",
        ("camera-not-told", "the tracker does not hear of the camera's motion",
         "detections, camera=camera, cut=cut)", "detections, cut=cut)"),
        ("gap-not-reset", "history is carried over a gap", "if frame.gap:", "if False:"),
        ("cut-keeps-pictures", "pictures of the scene before a cut are shown to the network",
         "if cut:\n            self.detector.history.clear()", "if False:\n            self.detector.history.clear()"),
        ("camera-in-small-px", "the camera's motion is in px of the small grey picture",
         "grey, *scale = small_picture(frame)", "grey, *scale = small_picture(frame)[0], 1.0, 1.0"),
        ("stills-report-anything", "the best peak of a still is a ball however weak",
         "if not len(d) or d.score[0] < threshold:", "if not len(d):"),
        ("stills-scanned-coarsely", "stills are looked at as coarsely as a scan", "full_pass(fine=True)", "full_pass()"),
        ("size-change-ignored", "a source that changes its size is looked at in its old px",
         "if self._pipeline is None or self._size != (seen.width, seen.height):", "if self._pipeline is None:"),
        ("repeat-count-lost", "the count of detections of a repeated frame is 0",
         "_counted(nothing, self._candidates), repeated=True", "_counted(nothing, 0), repeated=True"),
    ),
    *group(
        "tracker/track/attention.py", "attention",
        ("tiles-never-due", "while the ball is followed nobody looks elsewhere", "due = self._owed >= self.config.full_every",
         "due = False"),
        ("weak-pass-is-enough", "a track that the network no longer sees is followed on",
         "and self._weak <= WEAK_PASSES", ""),
        ("nothing-is-rechecked", "a second ball is looked at once", "RECHECK_FRAMES if self._is_new(best)", "0 if True"),
        ("everything-is-new", "a spare ball at rest is rechecked for ever", "return not known and score", "return score"),
    ),
    *group(
        "tracker/track/path_tracker.py", "track_path",
        ("path-camera-sign", "the path is put back against the camera",
         "xy = view[:2, :2] @ x[:2] + view[:2, 2]", "xy = view[:2, :2] @ x[:2] - view[:2, 2]"),
        ("path-score-sign", "the path prefers weak detections", "-m.odds - self.settings.bonus",
         "m.odds - self.settings.bonus"),
        ("path-gaps-ignored", "the path goes over cuts", "self._scene is None or gap or", "self._scene is None or"),
        ("path-rest-settled-twice", "asking whether rest is proved counts as proof",
         "replace(rest).judged", "rest.judged"),
    ),
    *group(
        "tracker/track/looked_for.py", "second_look",
        ("looked-for-from-one-side", "a lost ball is looked for only after it was seen, not before it is seen again",
         "((after - 1, -1), (after, 1))", "((after - 1, -1),)"),
        ("looked-for-where-it-was", "a lost ball is looked for where it was, not where it went",
         "place = place + velocity *", "place = place + 0 * velocity *"),
    ),
    *group(
        "tracker/detect/second_look.py", "second_look",
        ("kept-pictures-pile-up", "kept pictures are never freed", "if n < needed]", "if n < 0]"),
        ("kept-picture-in-its-own-px", "a kept picture of 1440p is looked at in its own px",
         "Region(x0, y0, region.width * kx, region.height * ky)", "region"),
    ),
    *group(
        "tracker/track/cadence.py", "track_cadence",
        ("cadence-phase", "a pattern is a frame late", "self._shifts[number % len", "self._shifts[(number + 1) % len"),
        ("cadence-marks", "what rests tells of the cadence", "int(np.argmax(fresh))", "0"),
        ("cadence-camera", "a moving camera bends flights", "x=a * s.x + b * s.y + tx, y=c * s.x + d * s.y + ty", "x=s.x, y=s.y"),
        ("cadence-cuts", "flights go on over cuts", "stays.\"\"\"\n        self._last, self._before = [], np.zeros((0, 2))", "stays.\"\"\""),
    ),
]  # fmt: skip

MOTION = [
    *group(
        "tracker/motion/models.py", "motion_models motion_imm",
        ("noise-without-cross-term", "position and velocity noise are independent",
         "q * dt**2 / 2\n    noise[2, 2]", "0.0\n    noise[2, 2]"),
        ("drag-speeds-up", "drag makes the ball faster", "decay = np.exp(-k * dt)", "decay = np.exp(k * dt)"),
    ),
    *group(
        "tracker/motion/kalman.py", "motion_models",
        ("loglik-without-scale", "a surprise under a wide covariance costs as much as under a narrow one",
         "(d2 + logdet + len", "(d2 + len"),
    ),
    *group(
        "tracker/motion/imm.py", "motion_imm",
        ("imm-mixing-transposed", "the mixing weights are those of the wrong mode",
         "change * self.weight[:, None]", "change * self.weight[None, :]"),
    ),
    *group(
        "tracker/motion/smooth.py", "motion_imm track_path",
        ("smoother-forgets-the-future", "the backward pass compares with the filtered state",
         "(x[k + 1] - after.x_predicted)", "(after.x - after.x_predicted)"),
    ),
    *group(
        "tracker/motion/camera.py", "camera_motion",
        ("camera-backwards", "the camera's motion has the wrong sign",
         "before, grey, corners, None,", "grey, before, corners, None,"),
        ("camera-half-pixel", "half a pixel of the small picture is lost: a zoom drags the picture",
         "[sx, 0, (sx - 1) / 2]", "[sx, 0, 0]"),
        ("cuts-unseen", "no cut is ever seen", "CameraMotion(confident=False), left < CUT_STRUCTURE",
         "CameraMotion(confident=False), False"),
        ("still-camera-trembles", "a camera at rest is not recognised",
         "return median < STILL_DIFFERENCE", "return median < 0",
         "< DEAD_BAND_PX:", "< 0:"),
    ),
    *group(
        "tracker/motion/path.py", "motion_path track_path",
        ("misses-free-in-path", "the path may skip frames for nothing", "(k - s - 1) * costs.miss", "0.0"),
        ("births-free-in-path", "the path may start anew anywhere", "0.0 if k == 0 else costs.birth", "0.0"),
        ("no-contacts-in-path", "the path knows no hit", "min(0.5, costs.contact)", "1e-12"),
    ),
    *group(
        "tracker/motion/contacts.py", "motion_path labels_propagate",
        ("bridge-without-gravity", "bridges between keyframes fly straight", "+ offset + fall[n:]", "+ offset"),
    ),
]  # fmt: skip

LABELS = [
    *group(
        "tracker/labels/schema.py", "labels_schema labels_check",
        ("sd-not-read", "the labels' standard deviations are dropped",
         'np.array(source), values["sd_px"],', 'np.array(source), nan,'),
    ),
    *group(
        "tracker/propagate/filled.py", "labels_propagate",
        ("sd-not-written", "filled labels do not say how sure they are",
         "sd = round(float(self.sd_px[i]), 2)", 'sd = float("nan")'),
        ("absent-filled-as-unknown", "frames between absent keyframes come out as not judged",
         "Label(int(number), Visibility.ABSENT,", "Label(int(number), Visibility.NOT_JUDGED,"),
        ("unknown-filled-as-absent", "frames that nobody can judge come out as absent",
         "Label(int(number), Visibility.NOT_JUDGED,", "Label(int(number), Visibility.ABSENT,"),
    ),
    *group(
        "tracker/propagate/keyframes.py", "labels_propagate",
        ("absent-keyframes-ignored", "an absent keyframe says nothing",
         "state[at] = ABSENT\n            continue", "pass\n            continue"),
        ("conversion-unseen", "25 fps shown at 30: propagated balls stumble",
         "return np.interp(np.arange(len(times)), distinct, even)", "return times"),
        ("models-word-is-law", "a model's row is taken as given",
         'KEY_SOURCES = ("human",', 'KEY_SOURCES = ("model", "human",'),
    ),
    *group(
        "tracker/propagate/judging.py", "labels_propagate",
        ("fill-camera-sign", "places are carried against the camera when filling",
         "map_points(np.linalg.inv(self.to_first[at]), xy)", "map_points(self.to_first[at], xy)"),
    ),
    *group(
        "tracker/propagate/evidence.py", "labels_propagate",
        ("evidence-half-pixel", "candidates in large pictures are half a work px off",
         "centre * scale + to_source,", "centre * scale,"),
        ("evidence-camera-sign", "a pan is added up backwards",
         "last.scene, step @ last.to_first", "last.scene, np.linalg.inv(step) @ last.to_first"),
    ),
    *group(
        "tracker/propagate/pseudo.py", "pseudolabel_filter",
        ("backward-camera-sign", "the backward reading follows the camera the wrong way",
         "camera=_undone(motion)", "camera=motion"),
        ("one-reading-is-enough", "a frame is kept although a reading is far off",
         "near.any(axis=0) & ~far.any(axis=0)", "near.any(axis=0)"),
    ),
    *group(
        "tracker/labels/formats/common.py", "labels_formats trajectory_formats",
        ("corner-half-pixel-both-ways", "boxes are half a pixel off in every format, though round trips close",
         "return xy + 0.5 - wh / 2", "return xy - wh / 2",
         "return left + w / 2 - 0.5, top + h / 2 - 0.5", "return left + w / 2, top + h / 2"),
        ("unjudged-rows-written", "rows nobody judged are written as labels",
         "return table.select(table.judged)", "return table"),
    ),
    *group(
        "tracker/labels/formats/cvat.py", "labels_formats",
        ("cvat-frame", "CVAT frames are one off", "frame = frame_of[number_]", "frame = frame_of[number_] + 1"),
        ("cvat-absent-is-unknown", "an outside row says nothing", "absent.setdefault(frame, (n, source))", "pass"),
    ),
    *group(
        "tracker/labels/formats/table.py", "labels_dialects",
        ("drop-frame", "drop-frame timecode runs ahead of the frames", "frame -= round(nominal / 15)", "frame -= round(0)"),
        ("edges-are-sizes", "a table's edges are taken for sizes", "if kind == _EDGES else (c, d)", "if kind == _CORNER else (c, d)"),
    ),
    *group(
        "tracker/labels/formats/coco.py", "labels_formats",
        ("coco-frame", "COCO frames are one off", "frame = frame_of[k]", "frame = frame_of[k] + 1"),
        ("coco-unknown-is-absent", "a picture without a box is a picture without a ball",
         'said.get("visibility") == "absent" or options.empty_is_absent', "True"),
        ("coco-sd-dropped", "COCO's sd_px is dropped", 'sd = said.get("sd_px")', "sd = None"),
    ),
    *group(
        "tracker/labels/formats/yolo.py", "labels_formats",
        ("yolo-frame", "YOLO frames are one off", "frame = frame_of[number_]", "frame = frame_of[number_] + 1"),
        ("yolo-half-pixel-both-ways", "YOLO places are half a pixel off, though round trips close",
         "x * width - 0.5, y * height - 0.5", "x * width, y * height", "(table.xy + 0.5) / [width", "table.xy / [width"),
        ("yolo-unknown-is-absent", "an empty file is a picture without a ball",
         "visibility == 0 or (visibility is None and options.empty_is_absent)", "True"),
    ),
    *group(
        "tracker/labels/formats/mot.py", "labels_formats trajectory_formats",
        ("mot-frame-both-ways", "MOT frames count from 0, though round trips close",
         "counts_from=1, length", "counts_from=0, length", "shift = 1 if options.first == 0 else 0", "shift = 0"),
        ("mot-hidden-is-visible", "hidden balls are read as hard ones", "Visibility.HARD if seen > 0 else",
         "Visibility.HARD if seen >= 0 else"),
    ),
    *group(
        "tracker/labels/formats/labelstudio.py", "labels_formats",
        ("labelstudio-frame", "Label Studio frames are one off",
         'frame = frame_of[key["frame"]]', 'frame = frame_of[key["frame"]] + 1'),
    ),
    *group(
        "tracker/labels/formats/tracknet.py", "labels_formats",
        ("tracknet-frame", "TrackNet frames are one off", "rows.add(n, frame_of[k], visibility, x",
         "rows.add(n, frame_of[k] + 1, visibility, x"),
    ),
    *group(
        "tracker/labels/formats/tracknet_ball.py", "labels_formats",
        ("ball-csv-frame", "_ball.csv frames are one off", "rows.add(n, frame_of[number], int(visibility), x",
         "rows.add(n, frame_of[number] + 1, int(visibility), x"),
        ("ball-csv-absent-at-zero", "a ball that is not seen lies at 0,0", "if not no_position(x, y):", "if True:"),
    ),
    *group(
        "tracker/labels/formats/wasb.py", "labels_formats",
        ("wasb-frame", "WASB lines are one frame off", "rows.add(n, frame_of[n - 1], visibility, x",
         "rows.add(n, frame_of[n - 1] + 1, visibility, x"),
    ),
    *group(
        "tracker/labels/numbering.py", "labels_numbering labels_formats",
        ("origin-not-applied", "numbers that count from 1 are taken as they are",
         "frames = {n: n + shift for n in wanted}", "frames = {n: n for n in wanted}"),
    ),
]  # fmt: skip

TRAJECTORY = [
    *group(
        "tracker/core/trajectory.py", "trajectory_formats",
        ("csv-velocity-swapped", "vx and vy change places in the CSV file",
         "{_text(vx, 1)},{_text(vy, 1)}", "{_text(vy, 1)},{_text(vx, 1)}"),
        ("csv-sd-dropped", "the CSV file loses sd_px", "{_text(sd, 2)},{status}", "{_text(math.nan, 2)},{status}"),
        ("csv-time-rounded", "times in the CSV file are whole hundredths", "_text(time_s, 6)", "_text(time_s, 2)"),
    ),
    *group(
        "tracker/core/trajectory_formats.py", "trajectory_formats",
        ("mot-trajectory-frame-both-ways", "MOT results count from 0, though round trips close",
         "shift = 0 if by_name else 1", "shift = 0", "values = (frame - first, left", "values = (frame, left",
         "if not (frame >= first and", "if not (frame >= 0 and"),
        ("mot-trajectory-half-pixel", "MOT results are half a pixel off, though round trips close",
         "left, top = x + 0.5 - side / 2 + 1, y + 0.5 - side", "left, top = x - side / 2 + 1, y - side", "w / 2 - 0.5, top - 1 + h / 2 - 0.5", "w / 2, top - 1 + h / 2"),
        ("json-places-rounded", "JSON lines keep whole px", '"x": 2, "y": 2', '"x": 0, "y": 0'),
        ("predicted-reads-as-detected", "a predicted place of a MOT file is a detection",
         '"detected" if conf >= 0 else "predicted"', '"detected"'),
    ),
    *group(
        "tracker/app/infer.py", "live_states",
        ("one-is-a-multi-ball-frame", "every frame with a ball is a multi-ball frame",
         "self.multi += step.state.n_detections > 1", "self.multi += step.state.n_detections >= 1"),
    ),
    *group(
        "tracker/core/trajectory.py", "live_states",
        ("live-axes-swapped", "live lines have x and y exchanged", "b.time_s, *b.xy,", "b.time_s, *b.xy[::-1],"),
    ),
]  # fmt: skip

EVALUATE = [
    *group(
        "tracker/evaluate/counts.py", "evaluate_scenarios evaluate_protocol",
        ("precision-forgets-far", "precision of the rates forgets balls in the wrong place",
         'tp + far + false_alarms', 'tp + false_alarms'),
        ("recall-forgets-far", "recall leaves out the frames with a ball in the wrong place",
         'recall = tp / np.maximum(1.0, visible)', 'recall = tp / np.maximum(1.0, visible - far)'),
        ("one-detection-is-multi", "one detection counts as two balls", "counted & (table.n_detections > 1)",
         "counted & (table.n_detections >= 1)"),
    ),
    *group(
        "tracker/evaluate/protocol.py", "evaluate_protocol evaluate_scenarios",
        ("protocol-precision-forgets-far", "precision of a clip forgets balls in the wrong place",
         "accuracy(tp, far, fa, n[", "accuracy(tp, 0, fa, n["),
        ("pooled-precision-forgets-far", "precision of several clips forgets balls in the wrong place",
         "accuracy(tp, far, fa, total[", "accuracy(tp, 0, fa, total["),
        ("worst-is-best", "the longest false track is the shortest",
         'max(r["longest_false_track"] for r in rows)', 'min(r["longest_false_track"] for r in rows)'),
    ),
    *group(
        "tracker/evaluate/curves.py", "evaluate_curves",
        ("curve-precision-forgets-far", "precision of the curve counts found balls only",
         "detections = grid.score[counted]\n", "detections = np.where(near, grid.score, -np.inf)[counted]\n"),
        ("curve-excludes-its-threshold", "a score equal to the threshold does not count",
         'side="left")).astype', 'side="right")).astype'),
        ("target-rate-ignored", "--at-fpr takes any threshold", "allowed = usable & (rate <= target)", "allowed = usable"),
        ("occluded-is-false", "a report on a hidden ball is a false alarm of the curve",
         "near | ~counted[:, None]", "near"),
    ),
    *group(
        "tracker/evaluate/frames.py", "evaluate_scenarios evaluate_protocol",
        ("tolerance-doubled", "a ball twice as far counts as found",
         "self.reported & (self.error_px <= tolerance_px)", "self.reported & (self.error_px <= 2 * tolerance_px)"),
        ("errors-not-scaled", "errors are in source px", "k = reference_scale(width)\n    delta", "k = 1.0\n    delta"),
        ("hidden-counts-as-visible", "hidden balls count for recall",
         "return (self.visibility == 1) | (self.visibility == 2)", "return self.visibility >= 1"),
        ("absent-read-as-unknown", "frames without a ball are not judged", "keep = v != -1", "keep = v > 0"),
        ("unknown-read-as-absent", "frames nobody judged are frames without a ball",
         "keep = v != -1", "v = np.maximum(v, 0)\n    keep = v != -1"),
        ("far-is-not-wrong", "a ball reported 100 px off is not wrong",
         "((self.visibility == 0) | (self.error_px > FALSE_TRACK_PX))", "(self.visibility == 0)"),
    ),
    *group(
        "tracker/evaluate/candidates.py", "evaluate_curves",
        ("separation-not-scaled", "two balls are told apart in source px",
         "limit = separation_px / reference_scale(width)", "limit = separation_px"),
    ),
    *group(
        "tracker/evaluate/bootstrap.py", "evaluate_curves",
        ("bootstrap-not-paired", "a comparison does not draw the same footage for both",
         "draws[m][:, 0] - draws[m][:, 1]", "draws[m][:, 0] - rng.permutation(draws[m][:, 1])"),
    ),
]  # fmt: skip

LEARN = [
    *group(
        "tracker/learn/network.py", "learn_path learn",
        ("coordconv-scale", "CoordConv's scale channel has another constant", "SCALE_WIDTH = 192", "SCALE_WIDTH = 320"),
        ("coordconv-corner", "CoordConv's x is that of the cell's corner",
         "(torch.arange(w, device=x.device, dtype=roi.dtype) + 0.5) / w",
         "torch.arange(w, device=x.device, dtype=roi.dtype) / w"),
        ("differences-sign", "differences of pictures are the other way round",
         "now - frames[:, 1:]], 1)\n        return frames.flatten", "frames[:, 1:] - now], 1)\n        return frames.flatten"),
    ),
    *group(
        "tracker/learn/crops.py", "learn_crops learn_path",
        ("flip-keeps-roi", "the place on the picture is not mirrored with a flip",
         "roi = np.array([1 - roi[2], roi[1], 1 - roi[0], roi[3]], np.float32)", "roi = np.array(roi, np.float32)"),
        ("flip-off-by-one", "a mirrored ball is one pixel off", "self.width - 1 - xy[0]", "self.width - xy[0]"),
        ("flip-keeps-label", "pictures are mirrored and labels are not", "[self.width - 1 - xy[0], xy[1]]", "xy"),
        ("train-oldest-first", "training shows the pictures in the wrong order",
         "return np.stack(out), np.array(drift", "return np.stack(out[::-1]), np.array(drift"),
        ("train-roi-whole", "training tells CoordConv that every crop is the whole picture",
         "roi = normalised(region, w, h)", "roi = np.array([0, 0, 1, 1], np.float32)"),
        ("train-camera-sign", "training moves older pictures against the camera",
         "Region(region.x0 + round(dx), region.y0 + round(dy)", "Region(region.x0 - round(dx), region.y0 - round(dy)"),
        ("diameter-for-radius", "the radius that is learnt is the diameter",
         "radius = float(radius_px) * scale", "radius = 2 * float(radius_px) * scale"),
        ("hidden-taught-as-absent", "a hidden ball is taught as no ball",
         "xy if inside and hidden else nan", "nan"),
        ("hard-not-taught", "faint balls are taught as no ball",
         "in (Visibility.VISIBLE, Visibility.HARD)", "in (Visibility.VISIBLE,)"),
        ("pasted-label-of-the-oldest", "a pasted ball's label is that of the oldest picture",
         "return np.stack(done[::-1]), truth[-1, :2]", "return np.stack(done[::-1]), truth[0, :2]"),
        ("trust-ignored", "all labels are trusted alike", "float(clip.trust[row]),\n        )", "1.0,\n        )"),
    ),
    *group(
        "tracker/learn/augment.py", "learn_crops",
        ("ghost-in-the-newest", "the newest picture of a ghosted crop is mostly the one before",
         "frames[k], 1 - a, frames[k + 1], a, 0)", "frames[k], a, frames[k + 1], 1 - a, 0)"),
        ("colour-by-frame", "every picture of a crop gets another exposure, so that differences show it",
         "out = flat.reshape(frames.shape)",
         "out = flat.reshape(frames.shape).copy()\n    out[1:] = np.clip(out[1:] * 0.8, 0, 255).astype(np.uint8)"),
    ),
    *group(
        "tracker/learn/loss.py", "learn_path learn",
        ("offset-sign", "offsets are learnt with the wrong sign",
         "(off[:, 0] - dx).abs() + (off[:, 1] - dy).abs()", "(off[:, 0] + dx).abs() + (off[:, 1] + dy).abs()"),
        ("offset-in-px", "offsets are learnt in network px in place of cells",
         "(off[:, 0] - dx).abs() + (off[:, 1] - dy).abs()",
         "(off[:, 0] - STRIDE * dx).abs() + (off[:, 1] - STRIDE * dy).abs()"),
        ("target-half-pixel", "the target peak is half a cell off",
         "cell = scaled(t.xy, 1 / STRIDE)", "cell = t.xy / STRIDE"),
        ("weights-ignored", "the trust in a label has no effect on the loss",
         "return (x * t.weight).sum() / t.weight.sum().clamp_min(1e-6)", "return x.mean()"),
        ("hidden-place-judged", "a peak at a hidden ball costs", "abs() ** 2 * judged)", "abs() ** 2)",
         "heat.masked_fill(~judged, -20.0)", "heat"),
    ),
    *group(
        "tracker/learn/cache.py", "learn_crops learn_path",
        ("cache-half-pixel", "cached labels are half a pixel off", "scaled(labels.xy[k], scale)",
         "labels.xy[k] * scale"),
        ("cache-camera-not-scaled", "cached camera motion is in source px", "motion[:, 2] *= scale", "pass"),
        ("history-of-repeats", "a repeated picture is a step of the history", "if not self.repeated[k] and", "if"),
        ("history-over-cuts", "the history goes over a cut", "while k > 0 and not self.gap[k]:", "while k > 0:"),
        ("shift-sign", "the background's way back has the wrong sign", "p - m[:, 2])", "p + m[:, 2])"),
        ("unlabelled-taught-as-absent", "frames nobody looked at are taught as no ball",
         "visibility = np.full(n, int(Visibility.NOT_JUDGED))", "visibility = np.full(n, int(Visibility.ABSENT))"),
        ("absent-not-taught", "frames without a ball are taken for unlabelled",
         "visibility[row] = labels.visibility[k]\n", "visibility[row] = labels.visibility[k] or -1\n"),
        ("model-labels-trusted", "a model's labels weigh as much as a person's",
         'model_trust if labels.source[k] in ("model", "propagated") else 1.0', "1.0"),
        ("label-one-frame-late", "labels belong to the frame after theirs",
         "row_of.get(int(labels.frame[k]))", "row_of.get(int(labels.frame[k]) + 1)"),
    ),
    *group(
        "tracker/learn/trainer.py", "learn_path learn",
        ("ema-takes-the-newest", "the average forgets instead of remembering", "lerp_(v, 1 - d)", "lerp_(v, d)"),
        ("rate-rises", "the learning rate rises to the end", "0.5 * (1 + math.cos(", "0.5 * (1 - math.cos("),
        ("validated-while-training", "validation uses the statistics of the batch",
         "model.load_state_dict(ema.state)\n    model.eval()", "model.load_state_dict(ema.state)"),
        ("averaging-replaces-the-model", "validation leaves the averaged weights in the model",
         "model.load_state_dict(kept)\n", "pass\n"),
    ),
    *group(
        "tracker/learn/checkpoint.py", "learn_path learn",
        ("last-weights-exported", "the last weights are exported, not the averaged ones",
         'model.load_state_dict(state["ema"])', 'model.load_state_dict(state["model"])'),
    ),
    *group(
        "tracker/app/train.py", "learn_path evaluate_folds",
        ("left-out-venue-is-learnt", "a venue left out for validation is trained on",
         "c.split in config.data.splits and c.venue not in out]", "c.split in config.data.splits]"),
    ),
    *group(
        "tracker/learn/mining.py", "learn",
        ("ball-mined-as-negative", "the ball itself is a hard negative", "> BALL_REACH_PX * w", "> -1 * w"),
        survives={"ball-mined-as-negative": "the random network of test_learn.py seldom peaks within 14 px of the ball, so "
                  "the mined places are the same; it needs a network that has learnt balls."},
    ),
]  # fmt: skip

EXPORT = [
    *group(
        "tracker/learn/export.py", "learn_path learn",
        ("export-half-pixel", "the exported file's places are half a pixel off",
         "scaled(cx.float() + picked[:, 0], STRIDE)", "(cx.float() + picked[:, 0]) * STRIDE"),
        ("export-offset-axes", "the exported file adds the x offset to y",
         "cy.float() + picked[:, 1]", "cy.float() + picked[:, 0]"),
        ("export-no-maxima", "every cell around a ball is a peak of its own",
         "torch.where(F.max_pool2d(heat, 3, 1, 1) == heat, heat, torch.full_like(heat, -30.0)).flatten(1)",
         "heat.flatten(1)"),
        ("export-worst-peaks", "the exported file gives the lowest cells",
         "torch.topk(peaks, self.top_k, dim=1)", "torch.topk(peaks, self.top_k, dim=1, largest=False)"),
        ("export-not-normalised", "pixels are not divided by 255", "copy_(weight / 255)", "copy_(weight)"),
        ("export-log-radius", "the exported file gives the radius' logarithm",
         "torch.exp(picked[:, 2].clamp(-2, 6))", "picked[:, 2].clamp(-2, 6).abs() + 0.1"),
        ("export-differences-not-folded", "the newest picture's share in the differences is lost",
         "parts[0] = sum(parts[1:], parts[0].clone())", "parts[0] = parts[0].clone()"),
        ("export-tells-folders", "the model file names folders of the machine it was made on",
         "plain[section][key] = Path(value).name", "plain[section][key] = value"),
    ),
    *group(
        "tracker/learn/yolo_onnx.py", "yolo_onnx",
        ("letterbox-offset", "the letterbox's margins are not taken off",
         "(xy + 0.5 - place[1:]) / place[0] - 0.5", "(xy + 0.5) / place[0] - 0.5"),
        ("letterbox-half-pixel", "half a pixel is lost between letterbox and view",
         "(xy + 0.5 - place[1:]) / place[0] - 0.5", "(xy - place[1:]) / place[0]"),
        ("letterbox-radius", "radii are those of the letterboxed picture", "score, radius / place[0]", "score, radius"),
    ),
]  # fmt: skip

VIDEO = [
    *group(
        "tracker/video/container.py", "video_read",
        ("times-are-nominal", "a variable frame rate is read as a constant one",
         "clock.feed(time_of(picture) if own", "clock.feed(index / rate if own"),
    ),
    *group(
        "tracker/video/streams.py", "video_read",
        ("turned-the-wrong-way", "portrait clips are turned upside down",
         "1: (0, -1, 1, 0), 2: (-1, 0, 0, -1), 3: (0, 1, -1, 0)}", "3: (0, -1, 1, 0), 2: (-1, 0, 0, -1), 1: (0, 1, -1, 0)}"),
        ("mirror-lost", "mirrored clips are not mirrored back", "    return best\n", "    return best[0], False\n"),
    ),
    *group(
        "tracker/video/source.py", "video_read",
        ("long-pause-is-no-gap", "a long pause is no gap", "max(self.GAP_S, 10 * self.interval):\n            return True",
         "max(self.GAP_S, 10 * self.interval):\n            return False"),
    ),
    *group(
        "tracker/video/planes.py", "video_planes video_read",
        ("crop-of-a-turned-picture", "views of turned clips show another part",
         "return sw - y0 - h, x0, h, w", "return y0, x0, h, w"),
        ("grey-range", "grey pictures keep the limited range",
         "small if self._full else cv2.LUT(small, _EXPAND)", "small"),
        ("red-for-blue", "red and blue change places", "[[sy, 0, rv, 0], [sy, -bu * kb / kg, -rv * kr / kg, 0], [sy, bu, 0, 0]]",
         "[[sy, bu, 0, 0], [sy, -bu * kb / kg, -rv * kr / kg, 0], [sy, 0, rv, 0]]"),
    ),
    *group(
        "tracker/video/tone.py", "video_signals",
        ("hdr-stays-wide", "colours of high dynamic range are pale", "if not self._wide:", "if True:"),
        ("hdr-without-white", "high dynamic range is as dark as its peak is bright", "WHITE_CD_M2 = 203.0", "WHITE_CD_M2 = 1000.0"),
    ),
    *group(
        "tracker/video/capture.py", "live_states",
        ("segment-at-once", "live HLS loses all but the last pictures of a segment", "if self._paced or (video.info.is_live and video.info.in_bursts):", "if self._paced:"),
    ),
    *group(
        "tracker/video/folder.py", "video_folder",
        ("pictures-are-bgr", "pictures of a folder are BGR", "return cv2.cvtColor(eight_bit(picture), cv2.COLOR_BGR2RGB)", "return eight_bit(picture)"),
        ("missing-numbers-are-no-gap", "a gap in the numbering is no gap in time",
         "(stills or number != last + 1)", "stills"),
        ("folder-time", "times of a folder count files, not frame numbers", "(number - origin) / fps",
         "(numbers.index(number)) / fps"),
    ),
    *group(
        "tracker/video/repeats.py", "video_repeats",
        ("copies-unseen", "repeated pictures are new ones", "return now <= self.threshold and", "return False and"),
        ("stillness-is-a-copy", "faint footage is taken for repeats", "(now <= USUAL_SHARE * usual or now == 0)", "True"),
    ),
    *group(
        "tracker/video/writer.py", "video_writer render_sound",
        ("written-bgr", "written videos have red and blue exchanged", '(image), format="rgb24")', '(image), format="bgr24")'),
        ("written-nominal-times", "written videos lose their times", "tick = max(round(time_s / float(self._base))",
         "tick = max(round(self.frames * self._interval / float(self._base))"),
    ),
    *group(
        "tracker/video/seek.py", "page_frames",
        ("seek-one-late", "the label page shows the frame after", "target = self._pts[row]", "target = self._pts[min(row + 1, len(self._pts) - 1)]"),
    ),
]  # fmt: skip

RENDER = [
    *group(
        "tracker/render/overlay.py", "render_overlay",
        ("ring-beside-the-ball", "the ring is drawn 8 px beside the ball",
         "return round(float(x)), round(float(y))", "return round(float(x)) + 128, round(float(y))"),
        ("trail-camera-sign", "the trail does not stay in the scene",
         "(t, camera.apply(xy), status)", "(t, xy, status)"),
    ),
    *group(
        "tracker/render/sink.py", "render_masks",
        ("mask-beside-the-ball", "masks are one column off",
         "frame.time_s, x0, y0, part, told)", "frame.time_s, x0 + 1, y0, part, told)"),
    ),
    *group(
        "tracker/render/rle.py", "render_masks",
        ("masks-by-rows", "COCO masks run along the rows", "+ mask.x0) * height + rows", "+ mask.x0) * width + rows"),
    ),
    *group(
        "tracker/render/follow.py", "follow_plan",
        ("follow-half-pixel", "the follow camera's picture is half a pixel off", "-x0 * sx - 0.5]", "-x0 * sx + 3.5]"),
    ),
    *group(
        "tracker/web/frames.py", "page_frames",
        ("label-page-bgr", "the label page shows red for blue",
         "cv2.cvtColor(image, cv2.COLOR_RGB2BGR)", "image"),
    ),
]  # fmt: skip

FAULTS: list[Fault] = [
    *COORDINATES, *DETECT, *TRACK, *MOTION, *LABELS, *TRAJECTORY, *EVALUATE, *LEARN, *EXPORT, *VIDEO, *RENDER,
]  # fmt: skip
assert len({f.name for f in FAULTS}) == len(FAULTS), "two faults of one name"
