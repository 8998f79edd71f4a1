#!/usr/bin/env bash
# A small LERT, 4 layers x 256 with embeddings of 128, from text whose licence allows to pass it on:
# Wikipedia (CC BY-SA), four times, and statutes (free of copyright).
#
#   examples/box.sh DATA OUT
#
# DATA holds raw/{wiki_zh,laws}.txt[.xz], vocab/vocab.txt and the tasks' files as downloaded.
# OUT/lert-tiny is the model, in half precision, OUT/box its run; then it is fine-tuned on four
# tasks with three seeds, beside random weights. After a kill, run the same line again.
# BOX_STEPS, BOX_INIT (a model to train on, such as src/hanmo/box/lert-tiny), WORKERS, SEEDS, THREADS
# and EXAMPLES (task=number …, or task alone) may be set in the environment; a GPU, where there is
# one, is used, and may train it longer. To ship it, OUT/lert-tiny goes to src/hanmo/box/, and its
# figures into the README.md there.
set -euo pipefail
[ $# -eq 2 ] || { echo "usage: examples/box.sh DATA OUT" >&2; exit 2; }
data=$1 out=$2
hanmo=${HANMO:-hanmo}
# 12,000 steps of 32 sequences: 38 million pieces.
steps=${BOX_STEPS:-12000} workers=${WORKERS:-2}
seeds=${SEEDS:-3} threads=${THREADS:+--threads $THREADS}
init=()
# Heads that were trained need no rising weights.
[ -z "${BOX_INIT:-}" ] ||
  init=(--init "$BOX_INIT" --lert.ramps.pos 0 --lert.ramps.ner 0 --lert.ramps.dep 0)
read -ra examples <<< "${EXAMPLES:-chnsenticorp=2400 tnews=5000 ocnli=5000 msra-ner=4000}"

# There is six times as much text of statutes; the same file cannot be named twice.
raw=("$(ls "$data"/raw/laws.txt* | head -1)")
wiki=$(ls "$data"/raw/wiki_zh.txt* | head -1)
mkdir -p "$out/box-text"
for copy in 1 2 3 4; do
  raw+=("$out/box-text/wiki_zh-$copy${wiki##*wiki_zh}")
  [ -f "${raw[-1]}" ] || { cp "$wiki" "${raw[-1]}.part" && mv "${raw[-1]}.part" "${raw[-1]}"; }
done
$hanmo prepare "${raw[@]}" --keep-duplicates --out "$out/box-corpus" --workers "$workers"
$hanmo annotate "$out/box-corpus" --annotator crf --out "$out/box-sentences" --workers "$workers"
$hanmo encode "$out/box-sentences" --vocab "$data/vocab/vocab.txt" --out "$out/box-shards" \
  --workers "$workers"
$hanmo pretrain "$out/box-shards" --objective lert --size lert-tiny "${init[@]}" --steps "$steps" \
  --max-length 128 --batch-size 32 --learning-rate 1e-3 --optimizer adamw-torch --dropout 0 \
  --save-every 500 --log-every 50 --resume $threads --out "$out/box"
$hanmo convert "$out/box" "$out/lert-tiny" --to hanmo --dtype float16
for one in "${examples[@]}"; do
  limit=()
  [ "${one%=*}" = "$one" ] || limit=(--limit-train "${one#*=}")
  $hanmo evaluate --models "lert-tiny=$out/lert-tiny" "random=random:$out/lert-tiny" \
    --tasks "${one%=*}" "${limit[@]}" --max-length 128 --data "$data" \
    --seeds "$seeds" --workers "$workers" $threads --out "$out/box-runs"
done
$hanmo report "$out/box-runs"
