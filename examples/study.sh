#!/usr/bin/env bash
# A study on five tasks: an encoder pre-trained on the shards of examples/real_road.sh, its twin from
# random weights, three seeds each, with the published settings on part of the training splits; and
# the same encoder adapted to the sentences of OCNLI, for OCNLI.
#
#   examples/real_road.sh DATA OUT && examples/study.sh DATA OUT
#
# OUT/shards is all that it needs of real_road.sh; DATA holds the tasks' files as downloaded (hanmo
# tasks get). Every run is a unit: after a kill, run the same line again. SEEDS, WORKERS, THREADS and
# EXAMPLES (task=number …, or task alone for all of its examples) may be set in the environment.
set -euo pipefail
[ $# -eq 2 ] || { echo "usage: examples/study.sh DATA OUT" >&2; exit 2; }
data=$1 out=$2
hanmo=${HANMO:-hanmo}
seeds=${SEEDS:-3} workers=${WORKERS:-2}
threads=${THREADS:+--threads $THREADS} # 1 where other jobs use the cores too
read -ra examples <<< \
  "${EXAMPLES:-chnsenticorp=2000 tnews=10000 ocnli=20000 msra-ner=5000 cmrc2018=1000}"

# Short at first; then length 512, for positions from 128 on have to be learnt. BERT's own AdamW
# stays long at the frequencies of the pieces where a training from random weights is short
# (docs/log.md), torch's does not. The shape is `tiny` with a wider initialisation.
$hanmo pretrain "$out/shards" --objective lert --size "$(dirname "$0")/study_shape.json" \
  --steps 7300 --phases 5500x128x32 1800x512x8@5e-4 --learning-rate 1e-3 --optimizer adamw-torch \
  --dropout 0 --save-every 250 --log-every 50 --out "$out/pretrain/lert-512" --resume $threads

# Three passes over the sentences (not the labels) of OCNLI's training split, a document a pair.
if [[ " ${examples[*]}" == *" ocnli"* ]]; then
  pairs=$out/ocnli-pairs.txt
  [ -e "$pairs" ] || ${PYTHON:-python3} - "$(ls "$data"/pair/ocnli/train.50k.json* | head -1)" \
    > "$pairs.partial" << 'PYTHON'
import json, lzma, sys
opener = lzma.open if sys.argv[1].endswith(".xz") else open
for line in opener(sys.argv[1], "rt", encoding="utf-8"):
    row = json.loads(line)
    print(row["sentence1"], row["sentence2"], "", sep="\n")
PYTHON
  [ -e "$pairs" ] || mv "$pairs.partial" "$pairs"
  $hanmo prepare "$pairs" --layout paragraphs --min-chars 5 --out "$out/ocnli-corpus" \
    --workers "$workers"
  $hanmo annotate "$out/ocnli-corpus" --annotator crf --out "$out/ocnli-sentences" \
    --workers "$workers"
  $hanmo encode "$out/ocnli-sentences" --vocab "$out/shards/vocab.txt" --out "$out/ocnli-shards" \
    --workers "$workers"
  $hanmo pretrain "$out/ocnli-shards" --objective lert --init "$out/pretrain/lert-512" \
    --max-length 128 --batch-size 64 --steps 2400 --learning-rate 7e-4 --optimizer adamw-torch \
    --dropout 0 --save-every 400 --out "$out/pretrain/lert-ocnli" --resume $threads
fi

for one in "${examples[@]}"; do
  task=${one%=*} limit=() adapted=()
  [ "$task" = "$one" ] || limit=(--limit-train "${one#*=}")
  [ "$task" != ocnli ] || adapted=("lert-ocnli=$out/pretrain/lert-ocnli")
  $hanmo evaluate --models "random=random:$out/pretrain/lert-512" \
    "lert-512=$out/pretrain/lert-512" "${adapted[@]}" \
    --tasks "$task" "${limit[@]}" --data "$data" --seeds "$seeds" --workers "$workers" $threads \
    --out "$out/study"
done
$hanmo report "$out/study"
