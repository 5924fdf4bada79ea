/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * The SYN gate. The first segments of a connection leave unpaced, so many short connections would pile up debt that only
 * dropping stops. A connection is refused before it costs anything instead, by dropping its SYN or SYN-ACK, and its
 * retransmission timer is set to when the debt will be gone: each refused connection gets a place in a virtual queue.
 * Every further try may meet more debt, so none starves.
 */
#ifndef PODRATE_GATE_H
#define PODRATE_GATE_H

#include "clock.h"
#include "jiffies.h"
#include "maps.h"
#include "packet.h"
#include "pacing.h"

#define BASE_MOST MS(600) /* 400 bulk connections at 1 MB/s; more than that is not their doing */
#define BASE_LASTS (100 * NSEC_PER_MSEC)
#define MEAN_MOST MS(200)
#define WAIT_MOST NSEC_PER_SEC
#define TRIES_MOST 8
#define MORE_TRIES 6 /* the first timeouts are short, so that many more fit into the time that TCP would have tried */
#define TCP_SYNCNT 7

/* Refusals of SYN-ACKs, which are sent for request sockets: those cannot carry storage. */
struct handshake {
	struct address peer;
	__u32 slot;
	__u16 ports[2]; /* local, peer's; in network order */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct handshake);
	__type(value, __u32);
} handshakes SEC(".maps");

/* The debt that bulk connections hold anyway, N packets for N of them: no reason to refuse a new one. */
static __always_inline __s64 base_debt(const struct podrate_gate *gate, __u64 now_ns)
{
	return now_ns - gate->base_ns > BASE_LASTS ? 0 : gate->base;
}

/* A data packet of a paced socket has met this debt. */
static __always_inline void note_paced(struct podrate_gate *gate, __s64 owed, __u64 now_ns)
{
	__u64 base = base_debt(gate, now_ns);

	if (owed > BASE_MOST)
		owed = BASE_MOST;
	gate->base = base - base / 16 + (owed > 0 ? owed : 0) / 16;
	gate->base_ns = now_ns;
}

/* Where refusals of this SYN or SYN-ACK are counted; NULL when the map has no room. */
static __always_inline __u32 *tries_of(struct __sk_buff *skb, const struct packet *packet, struct socket *socket,
				       __u32 slot)
{
	struct handshake handshake = { .peer = packet->peer, .slot = slot };
	__u32 none = 0, *tries;

	if (socket)
		return &socket->refused;
	bpf_skb_load_bytes(skb, packet->network, handshake.ports, sizeof(handshake.ports));
	tries = bpf_map_lookup_elem(&handshakes, &handshake);
	if (tries)
		return tries;
	bpf_map_update_elem(&handshakes, &handshake, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&handshakes, &handshake);
}

/* Whether a connection may begin; `tries` counts how often it was refused. */
static __always_inline int admit_connection(struct podrate_state *state, __u32 *tries, __s64 owed, __s64 margin,
					    __u64 now_ns)
{
	struct podrate_gate *gate = &state->gate;
	__u32 refused = *tries < TRIES_MOST ? *tries : TRIES_MOST;
	__u64 next = *(volatile __u64 *)&state->egress.next, advance;

	if (owed > base_debt(gate, now_ns) + SYN * (1 + refused) + margin) {
		*tries += 1;
		return 0;
	}
	advance = next - gate->accepted;
	/* After idle the clock has moved by the time that nobody wanted. */
	if (advance < MEAN_MOST && owed > 0)
		gate->mean = gate->mean - gate->mean / 8 + advance / 8;
	gate->accepted = next;
	return 1;
}

/*
 * TCP asks, before it sends the first SYN or SYN-ACK, how long to wait for the answer. When the gate is going to refuse it,
 * that is the time until the debt is gone and those who wait already have had their turn.
 */
static __always_inline void time_handshake(struct bpf_sock_ops *ops, struct limited *limited, struct socket *socket)
{
	struct podrate_gate *gate = &limited->state->gate;
	__u64 now_ns = bpf_ktime_get_ns(), wait_ns;
	int tries;
	__s64 owed;

	owed = debt(&limited->state->egress.next, now_ns << TICK_SHIFT) - base_debt(gate, now_ns);
	if (!limited->config->egress.rate || owed <= SYN || is_exempt_peer(ops))
		return;
	wait_ns = (owed - SYN / 2) >> TICK_SHIFT;
	if ((__s64)(gate->queue_ns - now_ns) < (__s64)wait_ns)
		gate->queue_ns = now_ns + wait_ns;
	gate->queue_ns += gate->mean >> TICK_SHIFT;
	wait_ns = gate->queue_ns - now_ns;
	if (wait_ns > WAIT_MOST)
		wait_ns = WAIT_MOST;
	if (socket)
		socket->waits = 1;
	ops->reply = (wait_ns * jiffies_per_second() + NSEC_PER_SEC - 1) / NSEC_PER_SEC;
	if (!ops->is_fullsock || bpf_getsockopt(ops, SOL_TCP, TCP_SYNCNT, &tries, sizeof(tries)))
		return;
	tries += MORE_TRIES;
	bpf_setsockopt(ops, SOL_TCP, TCP_SYNCNT, &tries, sizeof(tries));
}

#endif
