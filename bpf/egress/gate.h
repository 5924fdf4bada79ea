/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * The SYN gate. The first segments of a connection leave unpaced, so many short connections would pile up backlog
 * that only dropping stops. Instead a connection is refused before it costs anything: its SYN or SYN-ACK is dropped,
 * and its retransmission timer is set to when the backlog will be gone. Each refused connection gets a place in a
 * virtual queue, and every further try may meet more backlog, so none starves.
 */
#ifndef PODRATE_GATE_H
#define PODRATE_GATE_H

#include "../lib/clock.h"
#include "../lib/exempt.h"
#include "../lib/jiffies.h"
#include "../lib/maps.h"
#include "../lib/packet.h"
#include "pacing.h"

#define MAX_BASE MS(600) /* 400 bulk connections at 1 MB/s */
#define BASE_TTL (100 * NSEC_PER_MSEC)
#define MAX_MEAN MS(200)
#define MAX_WAIT NSEC_PER_SEC
#define MAX_TRIES 8
#define MORE_TRIES 6 /* the first timeouts are short: so many more fit into the time that TCP tries otherwise */
#define TCP_SYNCNT 7

/* Refusals of SYN-ACKs, which are sent for request sockets: those cannot carry storage. */
struct handshake {
	struct ip_address peer;
	__u32 slot;
	__u16 ports[2]; /* local, peer's; in network order */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct handshake);
	__type(value, __u32);
} podrate_syns SEC(".maps");

/* The backlog that bulk connections hold anyway, N packets for N of them: no reason to refuse a new one. */
static __always_inline __s64 base_backlog(const struct podrate_gate *gate, __u64 now_ns)
{
	return now_ns - gate->base_ns > BASE_TTL ? 0 : gate->base;
}

/* Records the backlog that a data packet of a paced socket has met. */
static __always_inline void record_paced(struct podrate_gate *gate, __s64 backlog, __u64 now_ns)
{
	__u64 base = base_backlog(gate, now_ns);

	if (backlog > MAX_BASE)
		backlog = MAX_BASE;
	gate->base = base - base / 16 + (backlog > 0 ? backlog : 0) / 16;
	gate->base_ns = now_ns;
}

/* The counter of this SYN's or SYN-ACK's refusals; NULL when the map has no room. */
static __always_inline __u32 *tries_of(struct __sk_buff *skb, const struct ip_address *peer, __u32 network,
				       struct podrate_sock *sock,
				       __u32 slot)
{
	struct handshake handshake = { .peer = *peer, .slot = slot };
	__u32 none = 0, *tries;

	if (sock)
		return &sock->refused;
	bpf_skb_load_bytes(skb, network, handshake.ports, sizeof(handshake.ports));
	tries = bpf_map_lookup_elem(&podrate_syns, &handshake);
	if (tries)
		return tries;
	bpf_map_update_elem(&podrate_syns, &handshake, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&podrate_syns, &handshake);
}

/* Whether a connection may begin; `tries` counts how often it was refused. */
static __always_inline int admit_connection(struct podrate_state *state, __u32 *tries, __s64 backlog, __s64 margin,
					    __u64 now_ns)
{
	struct podrate_gate *gate = &state->gate;
	__u32 refused = *tries < MAX_TRIES ? *tries : MAX_TRIES;
	__u64 next = *(volatile __u64 *)&state->egress.next, advance;

	if (backlog > base_backlog(gate, now_ns) + SYN * (1 + refused) + margin) {
		*tries += 1;
		return 0;
	}
	advance = next - gate->accepted;
	/* After idle the advance holds unused time. */
	if (advance < MAX_MEAN && backlog > 0)
		gate->mean = gate->mean - gate->mean / 8 + advance / 8;
	gate->accepted = next;
	return 1;
}

/*
 * TCP asks for the timeout of the first SYN or SYN-ACK before it sends it. When the gate is going to refuse the
 * packet, the timeout is the time until the backlog is gone and the connections in the virtual queue have had their
 * turn.
 */
static __always_inline void time_handshake(struct bpf_sock_ops *ops, struct limited *limited, struct podrate_sock *sock)
{
	struct podrate_gate *gate = &limited->state->gate;
	__u64 now_ns = bpf_ktime_get_ns(), wait_ns;
	__s64 backlog;
	int tries;

	backlog = backlog_of(&limited->state->egress.next, now_ns << TICK_SHIFT) - (__s64)base_backlog(gate, now_ns);
	if (!limited->config->egress.rate || backlog <= SYN || is_exempt_peer(ops))
		return;
	wait_ns = (backlog - SYN / 2) >> TICK_SHIFT;
	if ((__s64)(gate->queue_ns - now_ns) < (__s64)wait_ns)
		gate->queue_ns = now_ns + wait_ns;
	gate->queue_ns += gate->mean >> TICK_SHIFT;
	/* Longer than TCP's own first timeout is no use, and the virtual queue must drain soon after a burst. */
	if (gate->queue_ns - now_ns > MAX_WAIT)
		gate->queue_ns = now_ns + MAX_WAIT;
	wait_ns = gate->queue_ns - now_ns;
	ops->reply = (wait_ns * jiffies_per_second() + NSEC_PER_SEC - 1) / NSEC_PER_SEC;
	if (!sock)
		return;
	/* Once a socket: an application may connect it again after a failure. */
	if (!sock->waits && ops->is_fullsock && !bpf_getsockopt(ops, SOL_TCP, TCP_SYNCNT, &tries, sizeof(tries))) {
		tries += MORE_TRIES;
		bpf_setsockopt(ops, SOL_TCP, TCP_SYNCNT, &tries, sizeof(tries));
	}
	sock->waits = 1;
}

#endif
