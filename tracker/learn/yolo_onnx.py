"""A user's Ultralytics ONNX under our contract: the graph itself is unchanged, pixels in, peaks out.

Ultralytics exports take one float picture of a fixed size. Two small graphs are put around it: in front the view is
fitted into that size (aspect kept, grey margins, as Ultralytics does), behind it boxes become peaks in px of the
view. Where their graph has a fixed batch of one, the whole is run once per view by ONNX's Scan, so that any number of
views can be given. No Ultralytics is needed for this.
"""

from __future__ import annotations

import ast
import io
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tracker.core.config import Config
from tracker.core.errors import TrackerError, missing_extra
from tracker.learn.export import TOP_K, public_config, write_contract
from tracker.learn.ultralytics_adapter import ball_class
from tracker.learn.yolo import LICENCE, MULTIPLE, peaks

MAX_BYTES = 1 << 30
GREY = 114 / 255
COCO_CLASSES, COCO_BALL = 80, 32  # of a file that does not name its classes
OPSETS = (13, 20)  # of graphs that can be joined; older and newer ones are refused


class Fitted(nn.Module):
    """frames uint8 [B, 1, H, W, 3], roi [B, 4] -> picture float32 [B, 3, h, w], place float32 [3]: scale, left, top."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, frames: Tensor, roi: Tensor) -> tuple[Tensor, Tensor]:
        x = frames[:, 0].permute(0, 3, 1, 2).float() / 255
        x = x + 0 * roi.sum()
        h, w = (torch.as_tensor(v).float() for v in (x.shape[2], x.shape[3]))
        k = torch.minimum(self.height / h, self.width / w)
        nh, nw = torch.round(h * k).long(), torch.round(w * k).long()
        x = F.interpolate(x, size=[nh, nw], mode="bilinear", align_corners=False)
        top, left = (self.height - nh) // 2, (self.width - nw) // 2
        pad = [left, self.width - nw - left, top, self.height - nh - top]
        x = F.pad(x, pad, value=GREY)
        return x, torch.stack([k, left.float(), top.float()])


class Unfitted(nn.Module):
    """Their output and the place -> xy, score, radius in px of the view."""

    def __init__(self, ball: int, top_k: int, end_to_end: bool) -> None:
        super().__init__()
        self.ball, self.top_k, self.end_to_end = ball, top_k, end_to_end

    def forward(self, y: Tensor, place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        xy, score, radius = peaks(y, self.ball, self.top_k, self.end_to_end)
        return (xy + 0.5 - place[1:]) / place[0] - 0.5, score, radius / place[0]


def wrap_onnx(
    source: str | Path, out: str | Path, config: Config, *, wanted: str | None, name: str,
    operating_point: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """Writes an Ultralytics ONNX as a model file of our contract and returns its metadata.

    Args:
        source: their file: input float [1, 3, h, w], output [1, 4 + classes, N] or [1, N, 6].
        wanted: name of the ball's class.

    Raises:
        TrackerError: not such a file.
    """
    try:
        import onnx
        from onnx import compose
    except ImportError as e:
        raise missing_extra("onnx", "yolo", "exporting") from e
    source = Path(source)
    try:
        if source.stat().st_size > MAX_BYTES:
            raise TrackerError(f"{source} is larger than {MAX_BYTES >> 30} GiB; that is no detector for a video")
        theirs = onnx.load_model_from_string(source.read_bytes())
        onnx.checker.check_model(theirs)
    except OSError as e:
        raise TrackerError(f"cannot read {source}: {(e.strerror or str(e)).lower()}") from e
    except TrackerError:
        raise
    except Exception as e:  # protobuf and the checker raise kinds of their own
        raise TrackerError(f"{source} is not an ONNX model, or a damaged one") from e
    height, width, end_to_end, classes = _shape_of(theirs, source)
    names = _names(theirs, classes)
    ball = ball_class(names, wanted, str(source))
    opset = next((o.version for o in theirs.opset_import if o.domain in ("", "ai.onnx")), 0)
    if not OPSETS[0] <= opset <= OPSETS[1] or any(o.domain not in ("", "ai.onnx") for o in theirs.opset_import):
        raise TrackerError(
            f"{source} uses opset {opset} or operators of other makers; export it again with opset=17 and nms=False"
        )
    views, roi = torch.zeros(1, 1, 96, 128, 3, dtype=torch.uint8), torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    front = _graph(
        Fitted(height, width), (views, roi), ["frames", "roi"], ["picture", "place"], opset,
        {"frames": {2: "height", 3: "width"}},
    )  # fmt: skip
    shape = (1, 300, 6) if end_to_end else (1, 4 + classes, 1000)
    back = _graph(
        Unfitted(ball, TOP_K, end_to_end), (torch.rand(*shape), torch.rand(3) + 1), ["boxes", "where"],
        ["xy", "score", "radius"], opset, {"boxes": {1 if end_to_end else 2: "anchors"}},
    )  # fmt: skip
    middle = compose.add_prefix(theirs, "net/")
    for part in (front, back):
        part.ir_version = middle.ir_version
    one = compose.merge_models(
        compose.add_prefix(front, "front/"), middle,
        io_map=[("front/picture", middle.graph.input[0].name)],
        outputs=[middle.graph.output[0].name, "front/place"],
    )  # fmt: skip
    one = compose.merge_models(
        one, compose.add_prefix(back, "back/"),
        io_map=[(middle.graph.output[0].name, "back/boxes"), ("front/place", "back/where")],
    )  # fmt: skip
    proto = _per_view(one, TOP_K, opset)
    longer, macs = max(height, width), _macs(theirs)
    stated = {p.key: p.value for p in theirs.metadata_props}.get("license", "")[:80]
    extra = {
        "parameters": int(sum(_count(t.dims) for t in theirs.graph.initializer)),
        "macs_roi_pass": macs, "macs_full_pass": macs,
        "config": public_config(config), "licence": stated or "that of the file it was made from",
        "source_size": [width, height], "class": names[ball],
        # every pass has the same size here, so an ROI pass brings nothing over a full pass
        "full_width": longer, "roi_passes": False,
    }  # fmt: skip
    return write_contract(
        proto, out, config, name=name, frames=1, operating_point=operating_point, multiple=MULTIPLE,
        extra={"licence": LICENCE, **extra},
    )  # fmt: skip


def _count(dims: Any) -> int:
    n = 1
    for d in dims:
        n *= d
    return n


def _macs(model: Any) -> int:
    """Multiply-accumulates of one pass, counted at the convolutions; 1 where shapes are unknown."""
    import onnx

    try:
        graph = onnx.shape_inference.infer_shapes(model).graph
    except Exception:  # the count is optional
        return 1
    weights = {t.name: t.dims for t in graph.initializer}
    places = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in [*graph.value_info, *graph.output]}
    total = 0
    for node in graph.node:
        if node.op_type == "Conv" and node.input[1] in weights and len(places.get(node.output[0], [])) == 4:
            total += _count(weights[node.input[1]]) * _count(places[node.output[0]][2:])
    return max(1, total)


def _shape_of(model: Any, where: Path) -> tuple[int, int, bool, int]:
    """Height, width, whether boxes are already suppressed, number of classes."""
    wanted = "export it with format=onnx, imgsz=..., without nms, batch=1"
    ins = [i for i in model.graph.input if i.name not in {t.name for t in model.graph.initializer}]
    if len(ins) != 1 or len(model.graph.output) != 1:
        raise TrackerError(f"{where} has {len(ins)} inputs and {len(model.graph.output)} outputs; {wanted}")
    sides = [[d.dim_value for d in v.type.tensor_type.shape.dim] for v in (ins[0], model.graph.output[0])]
    if len(sides[0]) != 4 or sides[0][1] != 3 or ins[0].type.tensor_type.elem_type != 1:
        raise TrackerError(f"{where} does not take one float picture [1, 3, h, w]; {wanted}")
    if not all(16 <= v <= 4096 for v in sides[0][2:]):
        raise TrackerError(f"{where} has no fixed picture size; {wanted} (not dynamic)")
    if len(sides[1]) != 3:
        raise TrackerError(f"{where} does not give boxes [1, 4 + classes, N]; {wanted}")
    end_to_end = sides[1][2] == 6 and sides[1][1] >= 64
    if not end_to_end and not 5 <= sides[1][1] <= 10_000:
        raise TrackerError(f"{where} does not give boxes [1, 4 + classes, N]; {wanted}")
    return sides[0][2], sides[0][3], end_to_end, 0 if end_to_end else sides[1][1] - 4


def _names(model: Any, classes: int) -> dict[int, str]:
    said = {p.key: p.value for p in model.metadata_props}.get("names", "")
    try:
        names = ast.literal_eval(said) if len(said) < 1 << 20 else {}
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        names = {}
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not all(isinstance(k, int) for k in names):
        names = {}
    if names:
        return {int(k): str(v) for k, v in names.items()}
    unnamed = {i: f"class {i}" for i in range(max(1, classes))}
    return unnamed | ({COCO_BALL: "sports ball"} if classes == COCO_CLASSES else {})


def _graph(
    module: nn.Module, inputs: tuple[Tensor, ...], ins: list[str], outs: list[str], opset: int, dynamic: dict
) -> Any:
    import onnx

    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(), inputs, buffer, opset_version=opset, dynamo=False, input_names=ins, output_names=outs,
            dynamic_axes=dynamic,
        )  # fmt: skip
    return onnx.load_model_from_string(buffer.getvalue())


def _per_view(one: Any, top_k: int, opset: int) -> Any:
    """A graph of one view as a graph of B views, run one after the other."""
    from onnx import TensorProto, helper

    float32, uint8 = TensorProto.FLOAT, TensorProto.UINT8
    body = helper.make_graph(list(one.graph.node), "view", [], [], initializer=list(one.graph.initializer))
    axis = helper.make_tensor("axis", TensorProto.INT64, [1], [0])
    body.initializer.append(axis)
    ins = [i.name for i in one.graph.input]
    frames, roi = next(n for n in ins if n.endswith("frames")), next(n for n in ins if n.endswith("roi"))
    body.input.append(helper.make_tensor_value_info("one_frames", uint8, [1, "height", "width", 3]))
    body.input.append(helper.make_tensor_value_info("one_roi", float32, [4]))
    first = [helper.make_node("Unsqueeze", [a, "axis"], [b]) for a, b in (("one_frames", frames), ("one_roi", roi))]
    last, sizes = [], {"xy": [top_k, 2], "score": [top_k], "radius": [top_k]}
    for out in one.graph.output:
        short = out.name.rpartition("/")[2]
        last.append(helper.make_node("Squeeze", [out.name, "axis"], [f"one_{short}"]))
        body.output.append(helper.make_tensor_value_info(f"one_{short}", float32, sizes[short]))
    nodes = [*first, *body.node, *last]
    del body.node[:]
    body.node.extend(nodes)
    outs = [o.name.removeprefix("one_") for o in body.output]
    scan = helper.make_node("Scan", ["frames", "roi"], outs, body=body, num_scan_inputs=2)
    graph = helper.make_graph(
        [scan], "views",
        [
            helper.make_tensor_value_info("frames", uint8, ["batch", 1, "height", "width", 3]),
            helper.make_tensor_value_info("roi", float32, ["batch", 4]),
        ],
        [helper.make_tensor_value_info(o, float32, ["batch", *sizes[o]]) for o in outs],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    made.ir_version = one.ir_version
    return made
