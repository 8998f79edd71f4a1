#!/usr/bin/env bash
# A study on five tasks with the published settings: the encoder of examples/real_road.sh, trained
# on at length 512, and its twin from random weights, three seeds each.
#
#   examples/real_road.sh DATA OUT && examples/study.sh DATA OUT
#
# DATA holds the tasks' files as downloaded (hanmo tasks get). Every run is a unit: after a kill, run
# the same line again. STEPS, SEEDS, TASKS, WORKERS and THREADS may be set in the environment.
set -euo pipefail
[ $# -eq 2 ] || { echo "usage: examples/study.sh DATA OUT" >&2; exit 2; }
data=$1 out=$2
hanmo=${HANMO:-hanmo}
steps=${STEPS:-1800} seeds=${SEEDS:-3} workers=${WORKERS:-2}
threads=${THREADS:+--threads $THREADS} # 1 where other jobs use the cores too
read -ra tasks <<< "${TASKS:-chnsenticorp ocnli tnews msra-ner cmrc2018}"

# Reading takes sequences of 512: positions from 128 on have to be learnt.
$hanmo pretrain "$out/shards" --objective lert --init "$out/pretrain/lert" --max-length 512 \
  --batch-size 32 --steps "$steps" --learning-rate 3e-4 --dropout 0 --save-every 200 \
  --out "$out/pretrain/lert-512" --resume $threads
$hanmo evaluate --models "random=random:$out/pretrain/lert" "lert-512=$out/pretrain/lert-512" \
  --tasks "${tasks[@]}" --data "$data" --seeds "$seeds" --workers "$workers" $threads \
  --out "$out/study"
$hanmo report "$out/study"
