#!/usr/bin/env bash
# Small models from a teacher, measured: the encoder of examples/box.sh (4 layers x 256, LERT) is
# stacked three times and trained on (12 layers; 60 million pieces in all), and from it are made
#
#   cut-3       its first three layers, as they are
#   trained-3   the same, trained on as RBT3 is (masked LM)
#   trained-4   four of its layers, trained on: the student without distillation
#   distilled-4 the same four, for as many steps, distilled on text
#   task-4      distilled-4, distilled on each task as well
#   pruned      the teacher with half of its heads and neurons, recovered by distillation on text
#
# and all of them are fine-tuned on four tasks with three seeds, and put into one table.
#
#   examples/box.sh DATA OUT && examples/real_road.sh DATA OUT && examples/small_models.sh DATA OUT
#
# OUT/shards is all that it needs of real_road.sh. DATA holds the tasks' files as downloaded. After a
# kill, run the same line again. SEEDS, WORKERS, THREADS, STEPS (of the students on text),
# TEACHER_STEPS, TEACHER (a model to use instead) and EXAMPLES (task=number …, or task alone) may be
# set in the environment.
set -euo pipefail
[ $# -eq 2 ] || { echo "usage: examples/small_models.sh DATA OUT" >&2; exit 2; }
data=$1 out=$2
hanmo=${HANMO:-hanmo}
seeds=${SEEDS:-3} workers=${WORKERS:-1} steps=${STEPS:-2000} teacher_steps=${TEACHER_STEPS:-6900}
threads=${THREADS:+--threads $THREADS}
read -ra examples <<< "${EXAMPLES:-chnsenticorp=2400 tnews=5000 ocnli=5000 msra-ner=4000}"
teacher=${TEACHER:-$out/small/teacher}

# Torch's AdamW: BERT's stays long at the frequencies of the pieces in a short training from random
# weights (docs/log.md).
common="--optimizer adamw-torch --dropout 0 --save-every 250 --log-every 50 --resume $threads"
# Layers that are stacked learn faster than random ones (Gong et al. 2019, "Efficient training of
# BERT by progressively stacking"); the label heads are trained already, so their weights are 1.
[ -n "${TEACHER:-}" ] || $hanmo pretrain "$out/shards" --objective lert --lert.ramps.pos 0 \
  --lert.ramps.ner 0 --lert.ramps.dep 0 --init "$out/box" --layers 0,1,2,3,0,1,2,3,0,1,2,3 \
  --steps "$teacher_steps" --max-length 128 --batch-size 32 --learning-rate 6e-4 --out "$teacher" $common

on_text="$out/shards --steps $steps --max-length 128 --batch-size 32 $common"
$hanmo prune "$teacher" --layers 0,1,2 --out "$out/small/cut-3"
$hanmo pretrain $on_text --objective mlm --learning-rate 5e-4 --init "$teacher" --layers 0,1,2 \
  --out "$out/small/trained-3"
# The last layer of every third; embeddings and these layers are matched, with a weight at which,
# by an estimate that nobody measured, their gradient and that of the soft targets are of one order.
four=$(${PYTHON:-python3} - "$teacher/config.json" << 'PYTHON'
import json, sys
n = json.load(open(sys.argv[1]))["num_hidden_layers"]
print(",".join(str(n * k // 4 - 1) for k in (1, 2, 3, 4)))
PYTHON
)
matches=(0,0,hidden,hidden_mse,10)
place=1
for layer in ${four//,/ }; do
  matches+=("$((layer + 1)),$place,hidden,hidden_mse,10")
  place=$((place + 1))
done
$hanmo pretrain $on_text --objective mlm --learning-rate 5e-4 --init "$teacher" --layers "$four" \
  --out "$out/small/trained-4"
$hanmo pretrain $on_text --objective distill --distill.teacher "$teacher" --distill.temperature 2 \
  --distill.t-squared --distill.hard-weight 0.5 --distill.matches "${matches[@]}" \
  --learning-rate 5e-4 --init "$teacher" --layers "$four" --out "$out/small/distilled-4"
$hanmo prune "$teacher" --heads 2 --ffn 512 --iterations 4 --shards "$out/shards" \
  --out "$out/small/pruned-at-once" $threads
$hanmo pretrain $on_text --objective distill --distill.teacher "$teacher" --distill.temperature 2 \
  --distill.t-squared --distill.hard-weight 0.5 --learning-rate 3e-4 \
  --init "$out/small/pruned-at-once" --out "$out/small/pruned"

models=()
for name in cut-3 trained-3 trained-4 distilled-4 pruned; do
  models+=("$name=$out/small/$name")
done
for one in "${examples[@]}"; do
  task=${one%=*} limit=()
  [ "$task" = "$one" ] || limit=(--limit-train "${one#*=}")
  # As long as the sequences of pre-training: positions beyond them have learnt nothing.
  common=(--tasks "$task" "${limit[@]}" --max-length 128 --data "$data" --seeds "$seeds")
  # Rates of published small models (1e-4 and less) are for encoders that read a thousand times more.
  common+=(--learning-rate 1.5e-4)
  common+=(--workers "$workers" $threads)
  $hanmo evaluate --models "teacher=$teacher" "${common[@]}" --save-model --out "$out/small/runs"
  $hanmo evaluate --models "${models[@]}" "${common[@]}" --out "$out/small/runs"
  $hanmo evaluate --models "task-4=$out/small/distilled-4" "${common[@]}" --method distill \
    --distill.teacher "$out/small/runs/teacher/{task}/seed-{seed}/model" --distill.temperature 4 \
    --distill.t-squared --distill.hard-weight 0.5 --out "$out/small/runs"
done
$hanmo report "$out/small/runs"
$hanmo sizes "teacher=$teacher" "${models[@]}" "task-4=$out/small/distilled-4" \
  --runs "$out/small/runs" --out "$out/small/sizes.md"
