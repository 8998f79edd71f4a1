#!/usr/bin/env bash
# The whole road on real text: three objectives from the same words, each fine-tuned with three
# seeds on ChnSentiCorp, all of it and 1,000 examples, beside the same encoder from random weights.
#
#   examples/real_road.sh DATA OUT
#
# DATA holds raw/{wiki_zh,news_cctv,tech_lctt}.txt[.xz], vocab/vocab.txt and
# single/chnsenticorp/{train,dev,test}.tsv[.xz]. Every stage continues where a kill left it: run the
# same line again. STEPS, BATCH, WORKERS, SEEDS and THREADS may be set in the environment.
set -euo pipefail
[ $# -eq 2 ] || { echo "usage: examples/real_road.sh DATA OUT" >&2; exit 2; }
data=$1 out=$2
hanmo=${HANMO:-hanmo}
# 2,100 steps of 96 sequences (100 pieces on average): 20 million pieces and more (see log.jsonl).
steps=${STEPS:-2100} batch=${BATCH:-96} workers=${WORKERS:-2} seeds=${SEEDS:-3}
threads=${THREADS:+--threads $THREADS} # 1 where other jobs use the cores too
mkdir -p "$out"

raw=()
for name in wiki_zh news_cctv tech_lctt; do
  raw+=("$(ls "$data/raw/$name".txt* | head -1)")
done
$hanmo prepare "${raw[@]}" --out "$out/corpus" --workers "$workers"
$hanmo annotate "$out/corpus" --annotator crf --out "$out/sentences" --workers "$workers"
$hanmo encode "$out/sentences" --vocab "$data/vocab/vocab.txt" --out "$out/shards" --workers "$workers"

pretrain() { # name, objective, further flags
  local name=$1 objective=$2
  shift 2
  $hanmo pretrain "$out/shards" --objective "$objective" "$@" --size tiny --max-length 128 \
    --steps "$steps" --batch-size "$batch" --learning-rate 5e-4 --dropout 0 --seed 1 \
    --save-every 250 --log-every 10 --out "$out/pretrain/$name" --resume $threads
}
pretrain mlm-piece mlm --mlm.unit piece
pretrain mlm-word mlm --mlm.unit word
pretrain lert lert

models=(
  "random=random:$out/pretrain/lert" "mlm-piece=$out/pretrain/mlm-piece"
  "mlm-word=$out/pretrain/mlm-word" "lert=$out/pretrain/lert"
)
finetune() { # folder of the runs, further flags
  local runs=$1
  shift
  # The task's own settings, but for the learning rate: 2e-5 is for models of base size.
  $hanmo evaluate --tasks chnsenticorp --data "$data" --seeds "$seeds" --out "$runs" \
    --learning-rate 2e-4 --workers "$workers" $threads "$@" --models "${models[@]}"
  $hanmo report "$runs"
}
finetune "$out/runs"
# With few examples it shows better what pre-training gives.
finetune "$out/runs-1000" --limit-train 1000
