#!/usr/bin/env bash
# Rebuilds the bundled weights from a seed and the data set at TRACKER_DATA.
#   TRACKER_DATA=path/to/data scripts/make_weights.sh           one seed (SEED=0), writes tracker/weights/oneball.onnx
#   SEEDS="0 1 2" scripts/make_weights.sh                       several: the spread of scores; the first is kept
# Clips of split "unlabelled" are labelled by the network of the second run before the third. Resumes where it was
# interrupted. Time: docs/model-card.md.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh" "dev,train"
: "${TRACKER_DATA:?set TRACKER_DATA to the folder of labelled clips (data/README.md)}"
out="${OUT:-runs/weights}"
first=""
for seed in ${SEEDS:-${SEED:-0}}; do
  run="$out/seed$seed"
  nice python -m tracker.train oneball_first "train.seed=$seed" --data "$TRACKER_DATA" --out "$run-first" \
    --resume --no-export
  nice python -m tracker.train oneball_second "train.seed=$((seed + 1))" --data "$TRACKER_DATA" \
    --out "$run-second" --from "$run-first/last.pt" --resume --no-export
  tracker export "$run-second/last.pt" --out "$run-second/model.onnx" --threshold 0.7
  more="$run-more"
  python scripts/label_unlabelled.py "$TRACKER_DATA" "$run-second/model.onnx" "$more"
  nice python -m tracker.train oneball_third "train.seed=$((seed + 2))" --data "$TRACKER_DATA" --data "$more" \
    --out "$run-third" --from "$run-second/last.pt" --resume --no-export
  nice python -m tracker.train oneball_fourth "train.seed=$((seed + 3))" --data "$TRACKER_DATA" \
    --data "$more" --out "$run-fourth" --from "$run-third/last.pt" --resume --no-export
  nice python -m tracker.train oneball "train.seed=$((seed + 4))" --data "$TRACKER_DATA" --data "$more" \
    --out "$run-fifth" --from "$run-fourth/last.pt" --resume --no-export
  nice python -m tracker.train oneball_sixth "train.seed=$((seed + 5))" --data "$TRACKER_DATA" \
    --out "$run-sixth" --from "$run-fifth/last.pt" --resume --no-export
  tracker export "$run-sixth/last.pt" --out "$run-sixth/model.onnx" --threshold 0.6
  python scripts/label_unlabelled.py "$TRACKER_DATA" "$run-sixth/model.onnx" "$more-seventh"
  nice python -m tracker.train oneball_sixth train.epochs=48 train.lr=0.0012 "train.seed=$((seed + 6))" \
    --data "$TRACKER_DATA" --data "$more-seventh" --out "$run" --from "$run-sixth/last.pt" --resume --no-export
  tracker export "$run/last.pt" --out "$run/model.onnx" --threshold "${THRESHOLD:-0.6}" --keep-threshold "${KEEP:-0.15}" \
    --rule "${RULE:-causal start of a track, not tuned}"
  python scripts/stamp_scorer.py "$run/model.onnx" benchmarks/results/scorer.json "$run/model.onnx"
  echo "seed $seed:"
  tracker eval "$TRACKER_DATA" --split val --model "$run/model.onnx" --quiet
  [ -n "$first" ] || { first="$run/model.onnx"; cp "$first" tracker/weights/oneball.onnx; }
done
