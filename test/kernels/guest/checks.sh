#!/bin/bash
# Runs in the machine: a "pod" (a cgroup and a network namespace) and a peer, joined by veth; limits the pod with the product's
# own command line tool, and sends real traffic. Judges nothing: on standard output it tells, a line each,
#   event SECONDS NAME RESENT             what begins or ends (seconds since boot), and the TCP segments that the pod has resent
#   command SECONDS NAME STATUS BASE64    what a command said
#   sample ...                            what a sink has received (native/sink.c)
set -u
pod=/sys/fs/cgroup/pod peer=/sys/fs/cgroup/peer
limit=$1

# Before Linux 5.11 the memory of BPF maps counts as locked memory, of which a shell has this much.
ulimit -l 64

now() { local up; read -r up _ < /proc/uptime; echo "$up"; }
resent() { nsenter --net=/run/netns/pod awk '/^Tcp:/ { number = $13 } END { print number }' /proc/net/snmp; }
event() { echo "event $(now) $1 $(resent)"; }
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
  exec bash -c 'echo 0 > "$1/cgroup.procs" && net=/run/netns/${1##*/} && shift && exec nsenter --net="$net" "$@"' - "$cgroup" "$@"
}
# As the shipped DaemonSet runs the agent: root, but with these capabilities only.
capabilities=+bpf,+net_admin,+perfmon
# What looks into processes' namespaces is done by hand, as root: the agent finds namespaces in /run/netns.
as_agent() { setpriv --bounding-set "-all,$capabilities" "$@"; }
# What passes while traffic flows, after its beginning.
measure() {
  sleep 0.4
  event "$1"
  sleep 1.2
  event "$1-end"
}
start() { "$@" & flow=$!; }
stop() { kill "$flow"; wait "$flow" 2> /dev/null; }
# As an agent of the component namespaces runs it.
adopt() { run "$1" nsenter --net=/run/netns/pod sh -c "cat /sys/fs/bpf/podrate/*/*/adopter"; }

# What the peer sees of datagrams of the pod's cgroup to port 9, over both versions, and of a process beside it to port 10.
marked() {
  nsenter --net=/run/netns/peer timeout 4 tcpdump -nnv -c 3 -i eth0 udp and portrange 9-10 2>&1 &
  local sniffer=$!
  sleep 1
  (in_cgroup $pod bash -c 'echo > /dev/udp/10.77.0.2/9; echo > /dev/udp/fd77::2/9')
  nsenter --net=/run/netns/pod bash -c 'echo > /dev/udp/10.77.0.2/10'
  wait "$sniffer"
}

mkdir "$pod" "$peer"
mkdir -p /run/netns
ip netns add pod
ip netns add peer
ip -netns pod link add eth0 type veth peer name eth0 netns peer
ip -netns pod address add fd77::1/64 dev eth0 nodad
ip -netns peer address add fd77::2/64 dev eth0 nodad
for name in pod peer; do ip -netns $name link set lo up; ip -netns $name link set eth0 up; done
ip -netns pod address add 10.77.0.1/24 dev eth0
ip -netns peer address add 10.77.0.2/24 dev eth0
in_cgroup $pod sink pod 5001 &
in_cgroup $peer sink peer 5001 &
event network

run doctor-bounded as_agent podrate doctor --json
# What the component linux-5.10 adds.
case "$(uname -r)" in 5.10.*) capabilities+=,+sys_resource ;; esac
run doctor as_agent podrate doctor --json
# What the component namespaces adds.
capabilities_of_core=$capabilities
capabilities+=,+sys_admin
run doctor-namespaces as_agent podrate doctor --json
capabilities=$capabilities_of_core

start in_cgroup $pod source 10.77.0.2 5001 tcp 4
measure unlimited
run attach as_agent podrate attach --cgroup $pod --rate $((limit / 1000))K
# The agent looks for older connections at these times too.
sleep 0.25
adopt adopt-1
sleep 0.55
adopt adopt-2
measure older
stop

start in_cgroup $pod source 10.77.0.2 5001 tcp 1
measure egress-1
stop
start in_cgroup $peer source 10.77.0.1 5001 tcp 1
measure ingress-1
stop
start in_cgroup $peer source 10.77.0.1 5001 tcp 8
measure ingress-8
stop
start in_cgroup $pod source 10.77.0.2 5001 udp 1000 $((3 * limit))
measure udp-egress
stop
start in_cgroup $peer source 10.77.0.1 5001 udp 1000 $((3 * limit))
measure udp-ingress
stop

start in_cgroup $pod source 10.77.0.2 5001 tcp 8
measure egress-8
run set as_agent podrate set --cgroup $pod --egress $((2 * limit / 1000))K
measure changed
run mark podrate set --cgroup $pod --dscp EF
run marked marked
run detach podrate detach --cgroup $pod
measure detached
kill -0 "$flow" && event unbroken
stop
# Only this form shows anything before Linux 6.0 (bpftool 7.1).
run attached bpftool cgroup show $pod effective

# A queue takes a device whose other end is in this namespace.
run uninstall as_agent podrate uninstall
ip link add host type veth peer name eth1 netns pod
ip link set host up
ip address add 10.78.0.2/24 dev host
ip -netns pod link set eth1 up
ip -netns pod address add 10.78.0.1/24 dev eth1
run queue podrate attach --cgroup $pod --release-cgroup $pod --ingress $((limit / 1000))K --ingress-queue
run queue-kinds tc qdisc show dev host
# Without env it would be the builtin of that name.
start env source 10.78.0.1 5001 tcp 8
measure queue-8
run queue-set podrate set --cgroup $pod --release-cgroup $pod --ingress $((2 * limit / 1000))K
measure queue-changed
run queue-list podrate list --json
run queue-detach podrate detach --cgroup $pod --release-cgroup $pod
stop
run queue-gone tc qdisc show dev host
event end
