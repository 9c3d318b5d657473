"""The track with hindsight: the best path through all candidates so far, reported once it is settled.

A causal tracker must decide now; here a candidate counts for what comes after it, too. One machinery serves a fixed lag
(each state is final after ``lag_s``) and whole files (a lag of several seconds, worked through in blocks), both in
flat memory: nothing is kept but the candidates of the last few seconds.

Candidates get log-odds (:mod:`tracker.track.scorer`), the cheapest path goes through them
(:mod:`tracker.motion.path`), is smoothed through flights and contacts (:mod:`tracker.motion.smooth`), bridged where
nothing was seen (:mod:`tracker.motion.contacts`), and reported where it is likely enough to be the ball.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from tracker.core.config import TrackConfig
from tracker.core.recent import Recent
from tracker.core.types import BallState, CameraMotion, Detections, FloatArray, Status, reference_scale
from tracker.motion.contacts import between_keyframes
from tracker.motion.path import FREE, PathSearch, Step
from tracker.motion.smooth import RunningSmoother
from tracker.track.cadence import Cadence, retimed
from tracker.track.clock import PictureClock
from tracker.track.hidden import covered, flies, passages
from tracker.track.looked_for import looked_for
from tracker.track.path_settings import PathSettings
from tracker.track.reported import Known, Shown, state_of
from tracker.track.rest import PLACE_PX, RestWatch
from tracker.track.scene_path import ScenePath, coasted, loose_ends, pieces
from tracker.track.scorer import CANDIDATE, DEFAULT, REST_S, Moment, Scorer, candidate_inputs
from tracker.track.second_path import second_path
from tracker.track.stretch import ALONE, STRETCH, WIDE_S, UsualRadius, stretch_inputs

NEVER = 100.0  # nats: no path goes there
SMALLEST_PX = 0.3  # a radius, at 1280 wide
NEXT_S = 1e-3  # two moments are not closer
# a second look at a frame: its number, places (source px) with the ball's radius, what was found -> all candidates
Look = Callable[[int, Sequence[tuple[FloatArray, float]], Detections], Detections | None]


class PathTracker:
    """Feed frames in order with :meth:`add`; states come out in order, each once, none before it is settled.

    Args:
        width, height: of the picture, px.
        config: ``max_speed_px_s`` and ``gap_s`` of the causal tracker hold here, too; ``false_rate`` is the operating
            point.
        scorer: what candidates and paths are worth.
        lag_s: each state is final so long after its frame; None: a whole file, as late as it takes.
        look: of a whole file, looks again where the path has nothing sure (tracker/detect/second_look.py).
    """

    def __init__(
        self, width: int, height: int, config: TrackConfig | None = None, scorer: Scorer = DEFAULT, *,
        lag_s: float | None = None, settings: PathSettings | None = None, look: Look | None = None,
    ) -> None:  # fmt: skip
        self.config = config or TrackConfig()
        self.settings = settings or PathSettings()
        self._unit, self._size = 1 / reference_scale(width), (width, height)
        self._scorer, self._lag_s, self._look = scorer, lag_s, look
        self._threshold = scorer.threshold(self.config.false_rate)
        self._scene: Scene | None = None
        self._cadence = Cadence()
        self._last_s = 0.0

    def add(
        self, frame: int, time_s: float, detections: Detections, *, camera: CameraMotion | None = None,
        repeated: bool = False, gap: bool = False,
    ) -> list[BallState]:  # fmt: skip
        """Takes in a frame.

        Args:
            frame, time_s: number and presentation time.
            detections: all candidates, source px.
            camera: motion of the content since the frame before.
            repeated: the frame shows the picture before it once more; its state is that picture's.
            gap: history before this frame is void (a cut, missing numbers).

        Returns:
            the states that are final now.
        """
        out: list[BallState] = []
        if self._scene is None or gap or time_s - self._last_s > self.config.gap_s:
            out = self.finish()
            self._cadence.break_off()
            self._scene = Scene(self._unit, self.config, self.settings, self._cadence)
        self._last_s = time_s
        scene = self._scene
        assert scene is not None
        scene.add(frame, time_s, detections, camera, repeated)
        s = self.settings
        now = scene.moments[-1].time_s
        if self._lag_s is None:
            scene.judge(now - s.ahead_s, self._scorer)
            if scene.judged and scene.waits_s() >= s.settle_s + s.block_s:
                until_s = scene.judged_s() - s.settle_s
                out += self._in_picture(scene.states(until_s, self._scorer, self._threshold, True, self._look))
        else:
            scene.judge(now - self._lag_s / 2, self._scorer)
            out += self._in_picture(scene.states(now - self._lag_s, self._scorer, self._threshold))
        return out

    def finish(self) -> list[BallState]:
        """The states of all frames that are still waiting."""
        scene, self._scene = self._scene, None
        if scene is None:
            return []
        scene.judge(np.inf, self._scorer)
        whole = self._lag_s is None
        return self._in_picture(scene.states(np.inf, self._scorer, self._threshold, whole, self._look))

    def _in_picture(self, states: list[BallState]) -> list[BallState]:
        """States whose way leads out of the picture are lost there."""
        width, height = self._size
        return [
            s if s.status != Status.PREDICTED or (-0.5 <= s.xy[0] < width and -0.5 <= s.xy[1] < height)
            else BallState.lost(s.frame, s.time_s, s.n_detections, max(s.n_paths - 1, 0.0))
            for s in states
        ]  # fmt: skip


class Scene:
    """Frames without a break. Lists run from the scene's first moment; what is settled is forgotten."""

    def __init__(
        self, unit: float, config: TrackConfig, settings: PathSettings, cadence: Cadence | None = None
    ) -> None:
        self._unit, self.settings = unit, settings
        self._clock, self._now, self._began_s, self._view = PictureClock(), 0.0, 0.0, np.eye(3)
        self._cadence, self._interval_s = cadence or Cadence(), 1 / 30
        self._costs = replace(settings.costs, max_speed=config.max_speed_px_s * 1.5)
        self._search, self._rest, self._usual = PathSearch(self._costs), RestWatch(), UsualRadius()
        self._waiting: list[Shown] = []
        self._forgotten = 0
        self.moments: Recent[Moment] = Recent()
        self.found: Recent[Detections] = Recent()
        self._views: Recent[FloatArray] = Recent()  # the scene's first view -> this picture
        self.judged = 0  # moments whose candidates have their log-odds and are in the search
        self._emitted = 0  # moments whose states are out
        self._smoothers: list[RunningSmoother] = []  # of the pieces of path that states were last read from

    def add(
        self, frame: int, time_s: float, detections: Detections, camera: CameraMotion | None, repeated: bool
    ) -> None:
        if camera is not None and self.moments and not camera.is_identity:
            self._view = np.vstack([camera.matrix, [0, 0, 1]]) @ self._view
        repeated = repeated and bool(self.moments)
        if repeated:
            self._clock.repeat(time_s)
        else:
            step_s = self._clock.advance(time_s)
            self._interval_s += 0.1 * (step_s - self._interval_s) if self.moments else 0.0
            self._now += step_s
            xy, logit, radius = self._candidates(detections, self._view)
            self._began_s = self._began_s if self.moments else time_s
            stamp_s = time_s - self._began_s
            self.moments.append(Moment(self._now, xy, logit, radius, number=frame, stamp_s=stamp_s))
            self._cadence.add(frame, stamp_s, self._now, xy)
            self.found.append(detections)
            self._views.append(self._view)
        self._waiting.append(Shown(frame, time_s, len(self.moments) - 1, repeated, detections.n_detections))

    def _candidates(self, found: Detections, view: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Places [N, 2] in the scene's view, logits and log radii of the best candidates."""
        m, back = min(len(found), self.settings.candidates), np.linalg.inv(view)
        xy = (found.xy[:m] @ back[:2, :2].T + back[:2, 2]) / self._unit
        p = np.clip(found.score[:m], 1e-6, 1 - 1e-6)
        return xy, np.log(p / (1 - p)), np.log(np.maximum(found.radius_px[:m] / self._unit, SMALLEST_PX))

    def judged_s(self) -> float:
        return self._at(self.judged - 1)

    def waits_s(self) -> float:
        """Time from the oldest moment without a state to the newest that is judged."""
        return self.judged_s() - self._at(self._emitted)

    def judge(self, until_s: float, scorer: Scorer) -> None:
        """Gives the candidates of all moments up to a time their log-odds and takes them into the search."""
        self._retime()
        while self.judged < len(self.moments) and self._at(self.judged) <= until_s + 1e-9:
            m = self.moments[self.judged]
            if len(m.inputs) != len(m.xy):
                m.moment_sd = self._cadence.moment_sd
            self._search.add(self._step(self.judged, scorer))
            self.judged += 1

    def _step(self, k: int, scorer: Scorer) -> Step:
        m = self.moments[k]
        if len(m.inputs) != len(m.xy):
            m.inputs = candidate_inputs(self.moments, k, self._forgotten)
        m.odds = scorer.odds(m.inputs)
        late_s = m.moment_sd * self._interval_s
        return Step(m.time_s, m.xy, -m.odds - self.settings.bonus, np.zeros(len(m.xy)), FREE, late_s)

    def restart(self) -> None:
        """Takes back every judgement; what is known of the candidates stays (for fits: benchmarks/fit_scorer.py)."""
        self._search, self.judged = PathSearch(self._costs), 0

    def _retime(self) -> None:
        """Puts the moments that are not judged yet where the pattern of an uneven cadence says."""
        for k in range(self.judged, len(self.moments)):
            m = self.moments[k]
            shift_s = self._cadence.shift_s(m.number)
            if shift_s is None:
                return
            m.time_s = max(m.stamp_s + shift_s, self._at(k - 1) + NEXT_S if k else -np.inf)

    def states(
        self, until_s: float, scorer: Scorer, threshold: float, again: bool = False, look: Look | None = None
    ) -> list[BallState]:
        """The states of all waiting frames whose moments lie up to a time and are judged.

        Args:
            again: where the path rests without proof, it is searched once more without that; a second path is counted.
            look: and the frames where it has nothing sure are looked at once more.
        """
        end = self._emitted
        while end < self.judged and self._at(end) <= until_s + 1e-9:
            end += 1
        if end == self._emitted:
            return []
        s = self.settings
        first = self._emitted
        context_s = s.file_context_s if again else s.context_s
        while first > self._forgotten and self._at(self._emitted) - self._at(first - 1) <= context_s:
            first -= 1
        begin, settled = self._emitted - first, end - first
        path = self.path(first, scorer)
        if again:
            path = self.proved(path, first, scorer, self._rest, begin, settled)
            if look is not None and self._look_again(path, first, end, scorer, threshold, look):
                path = self.proved(self.path(first, scorer), first, scorer, self._rest, begin, settled)
        path.p = self._rest.judged(path.time_s, path.xy, path.p, begin, settled)
        self._usual.add(path.radius[begin:settled])
        known = self._smooth(path, first, end, threshold)
        second = None
        if again:
            moments, steps = self.moments[first : self.judged], self._search.steps[first:]
            second = second_path(moments, steps, path.choice, path.xy, self._costs, s.bridge_s)
        out = []
        held = 0
        for shown in self._waiting:
            if shown.moment >= end:
                break
            held += 1
            count = None if second is None else int(second[shown.moment - first])
            out.append(state_of(shown, known.get(shown.moment), count))
        del self._waiting[:held]
        self._emitted = end
        self._forget(end)
        return out

    def _at(self, k: int) -> float:
        return self.moments[k].time_s

    def _forget(self, end: int) -> None:
        s = self.settings
        keep = self._forgotten
        while keep < end and self._at(end - 1) - self._at(keep) > max(REST_S, s.context_s + WIDE_S):
            keep += 1
        self._forgotten = keep
        for kept in (self.moments, self.found, self._views, self._search):
            kept.forget(keep)

    def path(self, first: int, scorer: Scorer, banned: np.ndarray | None = None) -> ScenePath:
        """The cheapest path from moment ``first`` to the newest that is judged, as things stand.

        Args:
            banned: int64 [T] candidate of each of these moments that is not to be used, with what lies on its spot; -1
                for none.
        """
        choice, _, _ = self._search.chain(first) if banned is None else self._without(first, banned).chain(0)
        at = np.array([self._at(k) for k in range(first, self.judged)])
        n = len(choice)
        xy: FloatArray = np.full((n, 2), np.nan)
        margin, radius = np.full((2, n), np.nan)
        for j in np.flatnonzero(choice >= 0).tolist():
            m, c = self.moments[first + j], choice[j]
            xy[j], radius[j] = m.xy[c], m.radius[c]
            others = np.arange(len(m.xy)) != c
            if banned is not None and banned[j] >= 0:
                others &= ~_on_spot(m.xy, banned[j])
            margin[j] = m.odds[c] - m.odds[others].max(initial=ALONE)
        interval = float(np.median(np.diff(at))) if n > 1 else 1 / 30
        late = max((self.moments[first + j].moment_sd for j in range(n)), default=0.0)
        at = retimed(at, xy, late * self._interval_s)
        loose = loose_ends(at, xy, self.settings.bridge_s)
        choice[loose], xy[loose], radius[loose] = -1, np.nan, np.nan
        hidden = passages(at, xy)
        for h in hidden:
            choice[h.off], xy[h.off], radius[h.off] = -1, np.nan, np.nan
        p: FloatArray = np.zeros(n)
        inputs: FloatArray = np.zeros((n, len(STRETCH)))
        if (choice >= 0).any():
            inputs = stretch_inputs(at, xy, margin, radius, covered(hidden, n), interval, self._usual.with_(radius))
            p = scorer.probability(inputs)
        return ScenePath(at, choice, xy, p, inputs, hidden, radius)

    def proved(
        self, path: ScenePath, first: int, scorer: Scorer, rest: RestWatch, begun: int, settled: int
    ) -> ScenePath:
        """The path, or where it rests without proof the one that is found without that; ``rest`` stays as it is."""
        idle = replace(rest).judged(path.time_s, path.xy, path.p, begun, settled) == 0
        return self.path(first, scorer, np.where(idle, path.choice, -1)) if idle.any() else path

    def _without(self, first: int, banned: np.ndarray) -> PathSearch:
        search = PathSearch(self._costs)
        for step, c in zip(self._search.steps[first:], banned.tolist(), strict=True):
            if c >= 0:
                step = replace(step, cost=np.where(_on_spot(step.xy, c), NEVER, step.cost))
            search.add(step)
        return search

    def _look_again(self, path: ScenePath, first: int, end: int, scorer: Scorer, threshold: float, look: Look) -> bool:
        """Looks again in the frames that wait and have nothing sure; whether any was looked at."""
        begin, settled = self._emitted - first, end - first
        p = replace(self._rest).judged(path.time_s, path.xy, path.p, begin, settled)
        sure = (path.choice >= 0) & (p >= threshold)
        again = self.judged  # from here on the search is made anew
        for j, places in looked_for(path.time_s, path.xy, sure, range(begin, settled)).items():
            k = first + j
            where = [(self.in_picture(k, xy), float(np.exp(path.radius[of])) * self._unit) for xy, of in places]
            found = look(self.moments[k].number, where, self.found[k])
            if found is None:
                continue
            m = self.moments[k]
            self.found[k] = found
            m.xy, m.logit, m.radius = self._candidates(found, self._views[k])
            near = range(max(k - 2, self._forgotten), min(k + 3, self.judged))  # whose motion it tells
            again = min(again, near[0])
            for n in near:
                self.moments[n].inputs = np.zeros((0, len(CANDIDATE)))
        self._search.cut(again)
        for k in range(again, self.judged):
            self._search.add(self._step(k, scorer))
        return again < self.judged

    def _smooth(self, path: ScenePath, first: int, end: int, threshold: float) -> dict[int, Known]:
        """What is reported of the moments ``emitted..end``, by moment."""
        s, unit, at = self.settings, self._unit, path.time_s
        out: dict[int, Known] = {}
        coasts: dict[int, Known] = {}
        smoothers: list[RunningSmoother] = []
        straight = covered(path.hidden, len(at))
        for a, b in pieces(path.choice, at, path.hidden, bridge_s=s.bridge_s, shortest=s.shortest):
            lo, hi = np.searchsorted(at, (at[a] - s.coast_s - 1e-6, at[b] + s.coast_s + 1e-6)).tolist()
            if first + hi <= self._emitted or first + lo >= end or path.p[a : b + 1].max() < threshold:
                continue
            span = np.arange(a, b + 1)
            z, sd = path.xy[span], np.full(len(span), s.measurement_sd)
            t = at[span]
            begin = min(max(self._emitted - first - a, 0), b - a)
            smoother = next((r for r in self._smoothers if r.holds(t[0], z[0])), None)
            smoother = smoother or RunningSmoother(s.motion, s.measurement_sd)
            smoothers.append(smoother)
            smooth = smoother.smooth(t, z, begin)
            have = np.isfinite(z[:, 0])
            open_ = ~have & (first + span >= self._emitted) & (first + span < end)
            if open_.any():
                bridge = between_keyframes(t[have], z[have], t[open_], s.flight, sd[have])
            filled = {int(k): j for j, k in enumerate(span[open_])}
            seen = span[have]
            for j, k in enumerate(span.tolist()):
                if not self._emitted <= first + k < end:
                    continue
                x, cov = smooth.x[j - begin].copy(), smooth.p[j - begin].copy()
                if have[j]:
                    if path.p[k] < threshold:
                        continue
                else:  # a bridge is as good as its ends, and as sure as its standard deviation says
                    f, after = filled[k], int(np.searchsorted(seen, k))
                    before, after = int(seen[after - 1]), int(seen[after])
                    if min(path.p[before], path.p[after]) < threshold:
                        continue
                    if not straight[k] and (at[after] - at[before] > s.bridge_s or bridge.sd_px[f] > s.bridge_sd):
                        continue
                    x[:2] = bridge.xy[f]
                    cov[:2, :2] = np.eye(2) * bridge.sd_px[f] ** 2
                out[first + k] = self._known(first + k, x * unit, cov * unit**2, int(path.choice[k]), float(path.p[k]))
            for tip, turn, beyond in ((a, 1, range(lo, a)), (b, -1, range(b + 1, hi))):
                here = [k for k in beyond if self._emitted <= first + k < end]
                if not here or path.p[tip] < threshold or not flies(at, path.xy, tip, turn):
                    continue
                at_tip = tip - a - begin
                for k in here:
                    x, cov = coasted(smooth.x[at_tip], smooth.p[at_tip], float(at[k] - at[tip]), s.motion)
                    coasts[first + k] = self._known(first + k, x * unit, cov * unit**2, -1, float(path.p[k]))
        self._smoothers = smoothers
        return coasts | out

    def in_picture(self, k: int, xy: FloatArray) -> FloatArray:
        """A place of the scene, px at 1280 wide, in source px of moment ``k``'s picture."""
        view = self._views[k]
        return view[:2, :2] @ (xy * self._unit) + view[:2, 2]

    def _known(self, k: int, x: FloatArray, cov: FloatArray, choice: int, p: float) -> Known:
        view, found = self._views[k], self.found[k]
        turn = np.kron(np.eye(2), view[:2, :2])
        radius = float(found.radius_px[choice]) if choice >= 0 else float("nan")
        status = Status.DETECTED if choice >= 0 else Status.PREDICTED
        xy = view[:2, :2] @ x[:2] + view[:2, 2]
        return Known(xy, view[:2, :2] @ x[2:], turn @ cov @ turn.T, status, p, radius)


def _on_spot(xy: FloatArray, candidate: int) -> np.ndarray:
    out: np.ndarray = np.hypot(*(xy - xy[candidate]).T) <= PLACE_PX
    return out


def track_path(
    detections: Sequence[Detections], times_s: FloatArray, width: int, height: int, config: TrackConfig | None = None,
    *, scorer: Scorer = DEFAULT, frames: Sequence[int] | None = None,
    camera: Sequence[CameraMotion | None] | None = None, repeated: Sequence[bool] | None = None,
    gaps: Sequence[bool] | None = None, lag_s: float | None = None, settings: PathSettings | None = None,
    look: Look | None = None,
) -> list[BallState]:  # fmt: skip
    """Tracks recorded detections, a state per frame: :class:`PathTracker` over sequences.

    Raises:
        ValueError: as many times as frames are needed.
    """
    n = len(detections)
    if len(times_s) != n:
        raise ValueError(f"{n} frames of detections but {len(times_s)} times")
    tracker = PathTracker(width, height, config, scorer, lag_s=lag_s, settings=settings, look=look)

    def fed() -> Iterator[BallState]:
        for i in range(n):
            yield from tracker.add(
                i if frames is None else int(frames[i]), float(times_s[i]), detections[i],
                camera=None if camera is None else camera[i], repeated=repeated is not None and bool(repeated[i]),
                gap=gaps is not None and bool(gaps[i]),
            )  # fmt: skip
        yield from tracker.finish()

    return list(fed())
