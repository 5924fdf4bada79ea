#!/bin/bash
# import-images.sh PROGRAMS ROOT LAYOUT…: makes ROOT a containerd root directory with exactly these images, unpacked. A LAYOUT is a
# directory with an OCI image layout, or a tar file with an OCI or docker layout. Runs in namespaces of its own, so that
# containerd ends and its mounts vanish however this ends.
set -euo pipefail
programs=$1 root=$2
shift 2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The plugins left out look after containers, or want what the host may lack.
cat >"$scratch/config.toml" <<CONFIG
version = 3
root = '$root'
state = '$scratch/state'
disabled_plugins = ['io.containerd.grpc.v1.cri', 'io.containerd.cri.v1.images', 'io.containerd.cri.v1.runtime',
  'io.containerd.podsandbox.controller.v1.podsandbox', 'io.containerd.internal.v1.opt', 'io.containerd.nri.v1.nri',
  'io.containerd.tracing.processor.v1.otlp', 'io.containerd.internal.v1.tracing', 'io.containerd.snapshotter.v1.erofs',
  'io.containerd.snapshotter.v1.blockfile', 'io.containerd.snapshotter.v1.native', 'io.containerd.snapshotter.v1.btrfs']
[grpc]
  address = '$scratch/socket'
[ttrpc]
  address = '$scratch/socket.ttrpc'
CONFIG
"$programs/containerd" --config "$scratch/config.toml" &
containerd=$!
ctr() { "$programs/ctr" --address "$scratch/socket" --namespace k8s.io "$@"; }
for ((try = 0; ; try++)); do
  ctr version >/dev/null 2>&1 && break
  ((try < 200)) && kill -0 $containerd || { echo 'containerd did not start' >&2; exit 1; }
  sleep 0.1
done

# A layer that is here already need not be read again.
before=$(ctr images list --quiet)
ctr content list --quiet | sed 's#^sha256:#./blobs/sha256/#' >"$scratch/known"
imported=
for layout in "$@"; do
  if [ -d "$layout" ]; then tar -c -X "$scratch/known" -C "$layout" . ; else cat "$layout"; fi |
    ctr images import --platform linux/amd64 - >"$scratch/output"
  cat "$scratch/output"
  imported="$imported $(awk '$2 == "saved" { print $1 }' "$scratch/output")"
done
for old in $before; do
  case "$imported " in *" $old "*) ;; *) ctr images remove "$old" ;; esac
done
# What no image refers to any more goes when a lease is removed synchronously.
ctr leases create --id collect >/dev/null
ctr leases delete --sync collect >/dev/null
ctr images list --quiet
kill $containerd
wait $containerd || true
