#!/bin/bash
# Runs in the machine: a "pod" (a cgroup and a network namespace) and a peer, joined by veth; limits the pod with the product's
# own command line tool, and sends real traffic. Judges nothing: on standard output it tells, a line each,
#   event SECONDS NAME                    what begins or ends (seconds since boot)
#   command SECONDS NAME STATUS BASE64    what a command said
#   sample ...                            what a sink has received (native/sink.c)
set -u
pod=/sys/fs/cgroup/pod peer=/sys/fs/cgroup/peer
limit=$1

now() { local up; read -r up _ < /proc/uptime; echo "$up"; }
event() { echo "event $(now) $1"; }
run() {
  local name=$1 output status
  shift
  output=$("$@" 2>&1)
  status=$?
  echo "command $(now) $name $status $(base64 -w0 <<< "$output")"
}
# Becomes a program in a cgroup, from before its first socket, and in the network namespace of the same name.
in_cgroup() {
  local cgroup=$1
  shift
  exec   bash -c 'echo 0 > "$1/cgroup.procs" && net=/run/netns/${1##*/} && shift && exec nsenter --net="$net" "$@"' - "$cgroup" "$@"
}
# What passes while traffic flows for SECONDS, after the first half second.
measure() {
  sleep 0.5
  event "$1"
  sleep "$2"
  event "$1-end"
}
start() { "$@" & flow=$!; }
stop() { kill "$flow"; wait "$flow" 2> /dev/null; }
adopt() { cat /sys/fs/bpf/podrate/*/adopter; }

mkdir "$pod" "$peer"
mkdir -p /run/netns
ip netns add pod
ip netns add peer
ip -netns pod link add eth0 type veth peer name eth0 netns peer
for name in pod peer; do ip -netns $name link set lo up; ip -netns $name link set eth0 up; done
ip -netns pod address add 10.77.0.1/24 dev eth0
ip -netns peer address add 10.77.0.2/24 dev eth0
in_cgroup $pod sink pod 5001 &
in_cgroup $peer sink peer 5001 &
event network

run doctor podrate doctor --json

start in_cgroup $pod source 10.77.0.2 5001 tcp 4
measure unlimited 1
run attach podrate attach --cgroup $pod --rate $((limit / 1000))K
# The agent looks at these times too.
sleep 0.25
run adopt-1 nsenter --net=/run/netns/pod bash -c "$(declare -f adopt); adopt"
sleep 0.55
run adopt-2 nsenter --net=/run/netns/pod bash -c "$(declare -f adopt); adopt"
measure older 2
stop

start in_cgroup $pod source 10.77.0.2 5001 tcp 1
measure egress-1 2
stop
start in_cgroup $peer source 10.77.0.1 5001 tcp 1
measure ingress-1 2
stop
start in_cgroup $peer source 10.77.0.1 5001 tcp 8
measure ingress-8 2
stop
start in_cgroup $pod source 10.77.0.2 5001 udp 1000 $((3 * limit))
measure udp-egress 2
stop
start in_cgroup $peer source 10.77.0.1 5001 udp 1000 $((3 * limit))
measure udp-ingress 2
stop

start in_cgroup $pod source 10.77.0.2 5001 tcp 8
measure egress-8 2
run list podrate list --json
run set podrate set --cgroup $pod --egress $((2 * limit / 1000))K
measure changed 2
run detach podrate detach --cgroup $pod
measure detached 1
kill -0 "$flow" && event unbroken
stop
run attached bpftool cgroup show $pod
event end
