#!/usr/bin/env bash
# M3I on a Cloud TPU slice, asked for as a queued resource; the same command on every worker.
# From the root of a checkout, which is copied there; the work directory is on a disk that all share.
#   PROJECT=p ZONE=us-west4-a NAME=m3i TYPE=v5litepod-64 \
#     launch/queued_resource.sh --config imagenet/m3i_vit_b16 --workdir /mnt/shared/m3i
# DRY=1 prints the commands and runs none.
set -euo pipefail
: "${PROJECT:?} ${ZONE:?} ${NAME:?}" "${TYPE:=v5litepod-64}" "${VERSION:=v2-alpha-tpuv5-lite}"
run() { if [ -n "${DRY:-}" ]; then printf '%q ' "$@" && echo; else "$@"; fi; }
where=(--project="$PROJECT" --zone="$ZONE")

run gcloud compute tpus queued-resources create "$NAME" "${where[@]}" --node-id="$NAME" \
  --accelerator-type="$TYPE" --runtime-version="$VERSION"
until [ -n "${DRY:-}" ] || [ "$(gcloud compute tpus queued-resources describe "$NAME" "${where[@]}" \
  --format='value(state.state)')" = ACTIVE ]; do sleep 30; done

run gcloud compute tpus tpu-vm scp --recurse . "$NAME:m3i_jax" "${where[@]}" --worker=all
everywhere() {
  run gcloud compute tpus tpu-vm ssh "$NAME" "${where[@]}" --worker=all --command="$1"
}
everywhere "python3 -m venv m3i && m3i/bin/pip install --quiet 'jax[tpu]' ./m3i_jax"
# The workers find each other by the metadata of the slice. Status 75 and 69 mean: the same again.
printf -v line '%q ' m3i/bin/m3i pretrain --distributed "$@"
everywhere "until $line; do s=\$?; [ \$s = 75 ] || [ \$s = 69 ] || exit \$s; sleep 10; done"
