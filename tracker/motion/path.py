"""The best path of one ball through all candidates of all frames at once.

A greedy tracker decides frame by frame and cannot take a step back. Here every pair of candidates that a ball could
have joined is an edge, every two edges that meet are judged by how much the velocity changes, and dynamic programming
(Viterbi's) finds the cheapest chain of edges. Costs are negative logarithms of probabilities, so they add up and the
distance between the best and the second best path says how sure the choice is.

A frame in which the path uses no candidate costs ``miss``; a path may also end and start anew (``lost``), which is
how absences and long occlusions are paid for. Change of velocity is a mixture: free flight (small, in proportion to
the speed) or contact (hit, bounce, kick: any new velocity).

Source: the second-order trellis of Magee, Tracking multiple vehicles using foreground, background and motion models,
2004, and of Wolf, Viterbi, Dixon, Finding the best set of K paths through a trellis, 1989.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracker.core.cancel import CancellationToken, never_cancelled
from tracker.core.recent import Recent
from tracker.core.types import FloatArray

FREE, ANCHOR, ABSENT = 0, 1, 2  # what is known of a step


@dataclass(frozen=True, slots=True)
class PathCosts:
    """Costs in nats, lengths in px of a 1280-wide picture (multiplied by ``unit`` for others).

    Set by reasoning, not fitted; what they give is in benchmarks/results/propagation.md.
    """

    unit: float = 1.0  # source px per px of a 1280-wide picture
    max_gap: int = 4  # steps an edge may span; 4 = three frames without a candidate
    max_speed: float = 4500.0  # px/s
    position_sd: float = 1.2  # of a candidate's centre
    speed_sd: float = 0.07  # change of velocity per step in flight, as a share of the speed
    acceleration_sd: float = 1500.0  # px/s^2: gravity, drag and perspective on slow balls
    contact: float = 0.08  # probability of a contact in a step
    contact_speed_sd: float = 900.0  # px/s: what a contact adds
    miss: float = 3.0  # per step without a candidate, inside an edge
    lost: float = 2.5  # per step without a path
    end: float = 3.0  # the path breaks off
    birth: float = 9.0  # the path starts anew somewhere
    slow: float = 0.0  # per step, for a path that hardly moves: clutter mostly does not, a ball in play mostly does
    slow_speed: float = 120.0  # px/s
    fan: int = 12  # edges kept per candidate
    beam: float = 45.0  # nats above the best at which an edge is given up


@dataclass(slots=True)
class Step:
    """Candidates of one moment.

    Attributes:
        time_s: moment of the motion (not of the display, where pictures are repeated).
        xy: float64 [N, 2] px in one common, camera-free view.
        cost: float64 [N] nats: minus the log-likelihood ratio of ball against clutter.
        sd: float64 [N] px, the candidate's own standard deviation.
        kind: FREE, ANCHOR (exactly one candidate, the path must pass it) or ABSENT (no path here).
        moment_sd_s: how far the moment may be off ``time_s``, s: frame-rate conversions show the ball ahead or behind
            along its own way, never sideways.
    """

    time_s: float
    xy: FloatArray
    cost: FloatArray
    sd: FloatArray
    kind: int = FREE
    moment_sd_s: float = 0.0


@dataclass(slots=True)
class Path:
    """The chosen candidates.

    Attributes:
        choice: int64 [T] index into the step's candidates, -1 where the path uses none.
        lost: bool [T] the path did not exist here (absent or hidden for long).
        cost: total, nats.
        node_cost: list of float64 [N]: cost of the best path through each candidate, minus ``cost`` (0 = on the path).
        none_cost: float64 [T]: the same for the best path that uses no candidate in this step.
    """

    choice: np.ndarray
    lost: np.ndarray
    cost: float
    node_cost: list[FloatArray]
    none_cost: FloatArray


@dataclass(slots=True)
class _Edges:
    """Edges that end in one step, sorted by their end node; ``table`` [N, I] lists those of each node (-1 = none)."""

    origin: np.ndarray  # [E] step the edge starts in, -1 for a birth
    start: np.ndarray  # [E] node there
    end: np.ndarray  # [E] node here
    start_sd: FloatArray  # [E] px, of the start node's place
    velocity: FloatArray  # [E, 2], NaN for a birth
    dt: FloatArray  # [E], NaN for a birth
    extra: FloatArray  # [E] miss + candidate (+ birth) cost
    best: FloatArray  # [E] cheapest path that ends with this edge
    before: np.ndarray  # [E] the edge before it (in step ``origin``), -1 for a birth
    turn: FloatArray  # [E, I] cost of turning into it from each edge of its start node
    table: np.ndarray


def best_path(steps: list[Step], costs: PathCosts, token: CancellationToken = never_cancelled) -> Path:
    """Finds the cheapest path.

    Args:
        steps: in order of time. Two steps may have the same time.
        costs: see there.
        token: cancellation token, called after each step.

    Returns:
        the path and, for each candidate, what it would cost to insist on it.
    """
    search = PathSearch(costs)
    for step in steps:
        token()
        search.add(step)
    edges, lost = search.edges[:], np.array(search.lost[:])
    tail, lost_tail = _backward(steps, edges, costs, token)
    choice, is_lost, total = search.chain(0)
    node_cost, none_cost = _marginals(steps, edges, lost, tail, lost_tail, total, costs)
    return Path(choice, is_lost, total, node_cost, none_cost)


class PathSearch:
    """The forward half of the search, a step at a time: what a live tracker can know.

    :meth:`chain` reads the cheapest path so far off its end; the older a step, the less that changes with what is yet
    to come. :meth:`forget` frees what is settled, so that memory stays flat.
    """

    def __init__(self, costs: PathCosts) -> None:
        self.costs = costs
        self.steps: Recent[Step] = Recent()
        self.edges: Recent[_Edges] = Recent()
        self.lost: Recent[float] = Recent([0.0])  # lost[k]: cheapest history that is lost after step k-1
        self._lost_from: Recent[int] = Recent([-2])  # -1: was lost before, e: edge e ended in step k-2

    def add(self, step: Step) -> None:
        """Takes in the next moment."""
        k, costs = len(self.steps), self.costs
        self.steps.append(step)
        self.edges.append(_edges_into(k, self.steps, self.edges, self.lost[k], costs))
        if step.kind == ANCHOR:
            self.lost.append(math.inf)
            self._lost_from.append(-2)
            return
        price = 0.0 if step.kind == ABSENT else costs.lost
        stay, came = self.lost[k] + price, -1
        if k and len(self.edges[k - 1].best):
            e = int(np.argmin(self.edges[k - 1].best))
            leave = float(self.edges[k - 1].best[e]) + costs.end + price
            if leave < stay:
                stay, came = leave, e
        self.lost.append(stay)
        self._lost_from.append(came)

    def chain(self, first: int) -> tuple[np.ndarray, np.ndarray, float]:
        """The cheapest path from step ``first`` on: choice, lost (as in :class:`Path`) and the total cost in nats."""
        count = len(self.steps)
        choice, is_lost = np.full(count - first, -1), np.zeros(count - first, dtype=bool)
        if count == 0:
            return choice, is_lost, 0.0
        k, e = count, -1  # e = -1: lost after step k-1
        last = self.edges[-1].best
        if len(last) and last.min() <= self.lost[count]:
            k, e = count - 1, int(np.argmin(last))
        total = float(last[e]) if e >= 0 else self.lost[count]
        while k >= first and not (e < 0 and k == first):
            if e < 0:
                is_lost[k - 1 - first] = True
                came = self._lost_from[k]
                k, e = (k - 2, came) if came >= 0 else (k - 1, -1)
                continue
            choice[k - first] = self.edges[k].end[e]
            origin, before = int(self.edges[k].origin[e]), int(self.edges[k].before[e])
            k, e = (k, -1) if origin < 0 else (origin, before)
        return choice, is_lost, total

    def cut(self, end: int) -> None:
        """Takes back the steps from number ``end`` on."""
        self.steps.cut(end)
        self.edges.cut(end)
        self.lost.cut(end + 1)
        self._lost_from.cut(end + 1)

    def forget(self, first: int) -> None:
        """Frees what lies before step ``first``; paths that still differ there are not told apart any more."""
        for kept in (self.steps, self.edges, self.lost, self._lost_from):
            kept.forget(first - self.costs.max_gap - 1)


def _edges_into(k: int, steps: Recent[Step], edges: Recent[_Edges], lost: float, costs: PathCosts) -> _Edges:
    step = steps[k]
    n = len(step.xy)
    parts: list[tuple[Any, ...]] = []
    if n and math.isfinite(lost):
        first = 0.0 if k == 0 else costs.birth
        extra = step.cost + first
        parts.append(
            (np.full(n, -1), np.full(n, -1), np.arange(n), np.zeros(n), np.full((n, 2), np.nan), np.full(n, np.nan),
             extra, lost + extra, np.full(n, -1), np.full((n, costs.fan), np.inf))
        )  # fmt: skip
    for s in range(k - 1, max(-1, k - 1 - costs.max_gap), -1):
        if n == 0:
            break
        dt = step.time_s - steps[s].time_s
        part = _edges_between(s, steps, edges, step, dt, (k - s - 1) * costs.miss, costs)
        if part is not None:
            parts.append(part)
        if steps[s].kind != FREE:  # an anchor must be passed, an absence cannot be bridged
            break
    if not parts:
        return _no_edges(n, costs.fan)
    cols = [np.concatenate(c) for c in zip(*parts, strict=True)]
    best, end = cols[7], cols[2]
    order = np.lexsort((best, end))
    order = order[best[order] <= best.min() + costs.beam]
    rank = np.arange(len(order)) - np.searchsorted(end[order], end[order])
    order = order[rank < costs.fan]
    rank = rank[rank < costs.fan]
    table = np.full((n, costs.fan), -1)
    table[end[order], rank] = np.arange(len(order))
    origin, start, end, start_sd, velocity, dt, extra, best, before, turn = (c[order] for c in cols)
    return _Edges(origin, start, end, start_sd, velocity, dt, extra, best, before, turn, table)


def _no_edges(nodes: int, fan: int) -> _Edges:
    z, i = np.zeros(0), np.zeros(0, dtype=np.int64)
    return _Edges(i, i, i, z, np.zeros((0, 2)), z, z, z, i, np.zeros((0, fan)), np.full((nodes, fan), -1))


def _edges_between(
    s: int, steps: Recent[Step], edges: Recent[_Edges], step: Step, dt: float, miss: float, costs: PathCosts
) -> tuple[Any, ...] | None:
    before, into = steps[s], edges[s]
    if len(into.best) == 0:
        return None
    reach = costs.max_speed * costs.unit * dt + 3 * costs.position_sd * costs.unit
    gap = step.xy[None] - before.xy[:, None]
    far = reach + before.sd[:, None] + step.sd[None]
    start, end = np.nonzero((gap**2).sum(axis=2) <= far**2)
    live = into.table[start, 0] >= 0
    start, end = start[live], end[live]
    if len(start) == 0:
        return None
    delta = gap[start, end]
    rows = into.table[start]  # [E, I] edges that end where this one starts
    turn = _turn_cost(into, rows, delta, dt, before.sd[start], step.sd[end], costs, step.moment_sd_s)
    turn[rows < 0] = np.inf
    total = into.best[rows] + turn
    pick = np.argmin(total, axis=1)
    at = np.arange(len(start))
    velocity = delta / dt if dt > 0 else np.zeros_like(delta)
    extra = step.cost[end] + miss
    if costs.slow:
        extra = extra + costs.slow * np.exp(-(velocity**2).sum(axis=1) / (costs.slow_speed * costs.unit) ** 2)
    return (
        np.full(len(start), s), start, end, before.sd[start], velocity, np.full(len(start), dt), extra,
        total[at, pick] + extra, rows[at, pick], turn,
    )  # fmt: skip


def _turn_cost(
    into: _Edges, rows: np.ndarray, delta: FloatArray, dt: float, sd_here: FloatArray,
    sd_next: FloatArray, costs: PathCosts, moment_sd_s: float = 0.0,
) -> FloatArray:  # fmt: skip
    """Cost [E, I] of going on by ``delta`` [E, 2] after each of the edges ``rows`` [E, I]."""
    unit = costs.unit
    velocity = into.velocity[rows]  # [E, I, 2]
    dt_before = into.dt[rows]
    born = ~np.isfinite(dt_before)
    velocity = np.where(born[..., None], 0.0, velocity)
    ratio = np.where(born | (dt_before <= 0), 0.0, dt / np.where(dt_before > 0, dt_before, 1.0))
    off = delta[:, None] - velocity * dt
    miss2 = (off**2).sum(axis=2)
    base = (costs.position_sd * unit) ** 2
    noise = (base + sd_next**2)[:, None] + (base + sd_here[:, None] ** 2) * (1 + ratio) ** 2
    noise = noise + (base + into.start_sd[rows] ** 2) * ratio**2
    speed2 = (velocity**2).sum(axis=2)
    flight = noise + costs.speed_sd**2 * speed2 * dt**2 + (costs.acceleration_sd * unit * dt * dt) ** 2
    hit = noise + (costs.contact_speed_sd * unit * dt) ** 2
    p = min(0.5, costs.contact)
    if moment_sd_s:  # the same variance in space as the moments' own, along the chord of both edges
        chord = delta[:, None] + np.where(born, 0.0, dt_before)[..., None] * velocity
        length2 = np.maximum((chord**2).sum(axis=2), 1e-9)
        along2 = (off * chord).sum(axis=2) ** 2 / length2
        fastest2 = np.maximum(speed2, ((delta**2).sum(axis=1) / max(dt, 1e-9) ** 2)[:, None])
        slack = moment_sd_s**2 * fastest2 * (1 + (1 + ratio) ** 2 + ratio**2)
        log_flight = -along2 / (2 * (flight + slack)) - (miss2 - along2) / (2 * flight)
        log_flight = math.log(1 - p) + log_flight - 0.5 * np.log(flight * (flight + slack))
    else:
        log_flight = math.log(1 - p) - miss2 / (2 * flight) - np.log(flight)
    log_hit = math.log(p) - miss2 / (2 * hit) - np.log(hit)
    # relative to the flight's own peak at one px of noise, so that a smooth path costs about nothing
    log_flight = np.where(born, -np.inf, log_flight)
    log_hit = np.where(born, log_hit - math.log(p), log_hit)
    out: FloatArray = math.log(unit**2) - np.logaddexp(log_flight, log_hit)
    return out


def _backward(
    steps: list[Step], edges: list[_Edges], costs: PathCosts, token: CancellationToken
) -> tuple[list[FloatArray], FloatArray]:
    """Cost of the best continuation after each edge, and after being lost at the end of step k-1."""
    count = len(steps)
    tail = [np.full(len(e.best), np.inf) for e in edges]
    lost = np.full(count + 1, np.inf)
    lost[count] = 0.0
    if count:
        tail[count - 1][:] = 0.0
    for k in range(count - 1, -1, -1):
        token()
        e = edges[k]
        if steps[k].kind != ANCHOR:
            price = 0.0 if steps[k].kind == ABSENT else costs.lost
            lost[k] = min(lost[k], lost[k + 1] + price)
            if k:
                np.minimum(tail[k - 1], lost[k + 1] + price + costs.end, out=tail[k - 1])
        if len(e.best) == 0:
            continue
        after = e.extra + tail[k]
        births = e.origin == -1
        if births.any():
            lost[k] = min(lost[k], float(after[births].min()))
        for s in np.unique(e.origin[~births]):
            mine = np.nonzero(e.origin == s)[0]
            rows = edges[s].table[e.start[mine]]
            value = after[mine][:, None] + e.turn[mine]
            ok = rows >= 0
            np.minimum.at(tail[s], rows[ok], value[ok])
    return tail, lost


def _marginals(
    steps: list[Step], edges: list[_Edges], lost: FloatArray, tail: list[FloatArray], lost_tail: FloatArray,
    total: float, costs: PathCosts,
) -> tuple[list[FloatArray], FloatArray]:  # fmt: skip
    count = len(steps)
    node_cost = [np.full(len(s.xy), np.inf) for s in steps]
    none_cost = np.full(count, np.inf)
    for k, e in enumerate(edges):
        through = e.best + tail[k] - total
        np.minimum.at(node_cost[k], e.end, through)
        for s in np.unique(e.origin[e.origin >= 0]):
            if s < k - 1:
                cheapest = float(through[e.origin == s].min())
                none_cost[s + 1 : k] = np.minimum(none_cost[s + 1 : k], cheapest)
        if steps[k].kind != ANCHOR and np.isfinite(lost[k + 1]):
            none_cost[k] = min(none_cost[k], float(lost[k + 1] + lost_tail[k + 1] - total))
    return node_cost, none_cost
