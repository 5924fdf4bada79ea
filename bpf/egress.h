/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * The verdict for a packet that the cgroup sends. The hook runs once for each skb, before segmentation and before IP
 * fragmentation, and after TCP has paced it; so it seldom drops TCP: it keeps the clock that pacing.h reads.
 */
#ifndef PODRATE_EGRESS_H
#define PODRATE_EGRESS_H

#include "counters.h"
#include "datagram.h"
#include "exempt.h"
#include "gate.h"
#include "socket.h"
#include "storage.h"

#define PASS 1
#define DROP_SILENTLY 0
/* Drop, and have TCP take it as congestion (Linux 5.3). UDP senders see success, as from a full queue downstream. */
#define DROP_CONGESTED 2

/*
 * How much debt this TCP packet may meet. Packets without payload see no queue. Armed sockets are slowed by
 * their pacing; dropping would only add 200 ms timeouts, for a drop in the sender's own stack leaves TCP with nothing in
 * flight. The first segments of a connection are never paced, so many new connections at once need a bound of their own; it
 * lies above the debt that paced connections hold, or beside many of them a new one would never get past it.
 */
static __always_inline __s64 egress_threshold(const struct podrate_gate *gate, const struct socket *socket,
					      const struct packet *packet, __u64 rate, __u64 now_ns)
{
	if (!packet->payload)
		return at_least(HARD, HARD_PACKETS, rate);
	if (!socket)
		return DROP;
	if (socket->known && socket->sent < FIRST_SEGMENTS) {
		__s64 first = at_least(FIRST, FIRST_PACKETS, rate), beside = base_debt(gate, now_ns) + DROP;

		return first > beside ? first : beside;
	}
	if (socket->armed)
		return at_least(HARD, HARD_PACKETS, rate);
	return packet->small ? at_least(FIRST, FIRST_PACKETS, rate) : DROP;
}

/* The storage of a connection; a listener that sends a SYN-ACK (Linux 6.5) has none. */
static __always_inline struct socket *connection(struct bpf_sock *sk, __u64 create)
{
	return sk->state == BPF_TCP_LISTEN ? 0 : bpf_sk_storage_get(&sockets, sk, 0, create);
}

/* The peer is on the list, perhaps only since a moment ago: callbacks lift what they have set. */
static __always_inline void spare(struct socket *socket)
{
	socket->exempt = 1;
	socket->charged = 0;
}

/* While a limit is being taken off: a connection that was given a fixed rate is to be told that there is none. */
static __always_inline void unfix(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk ? bpf_sk_fullsock(skb->sk) : 0;
	struct socket *socket = sk && sk->protocol == IPPROTO_TCP ? connection(sk, 0) : 0;

	if (socket && socket->fixed)
		socket->fixed = UNPACED;
}

static __always_inline int admit_segment(struct __sk_buff *skb, struct limited *limited, struct socket *socket,
					 const struct packet *packet, __s64 owed, __u64 rate, __u64 now_ns)
{
	__u32 *tries;

	if (!packet->opens)
		return owed <= egress_threshold(&limited->state->gate, socket, packet, rate, now_ns);
	tries = tries_of(skb, packet, socket, limited->slot);
	/* Without a timer set for it, a refusal costs a whole second: not for debt that came only after it was asked for. */
	return !tries || admit_connection(limited->state, tries, owed, socket && !socket->waits ? SYN : 0, now_ns);
}

static __always_inline void note_sent(struct podrate_gate *gate, struct socket *socket, const struct packet *packet,
				      __s64 owed, __u64 rate, __u64 now_ns)
{
	socket->charged = 1;
	socket->exempt = 0;
	if (!socket->known)
		socket->fixed = rate < UNPACED ? rate : UNPACED;
	if (!packet->payload)
		return;
	if (socket->armed && socket->sent >= FIRST_SEGMENTS && !packet->small)
		note_paced(gate, owed, now_ns);
	socket->sent += packet->segments;
}

static __always_inline int egress(struct __sk_buff *skb, struct limited *limited)
{
	__u64 rate = limited->config->egress.rate, now_ns = bpf_ktime_get_ns(), now = now_ns << TICK_SHIFT;
	struct podrate_counters *counts = bpf_map_lookup_elem(&counters, &limited->slot);
	__u64 burst = burst_ticks(&limited->config->egress), price;
	struct podrate_state *state = limited->state;
	struct podrate_clock *clock = &state->egress;
	struct bpf_sock *sk = skb->sk;
	struct socket *socket = 0;
	struct packet packet;
	int tcp, admitted;
	__s64 owed;

	sk = sk ? bpf_sk_fullsock(sk) : 0;
	if (!sk || !counts)
		return PASS;
	tcp = sk->protocol == IPPROTO_TCP;
	measure(skb, tcp, PEER_IS_DESTINATION, &packet);
	if (tcp)
		socket = connection(sk, BPF_SK_STORAGE_GET_F_CREATE);
	if (is_exempt(&packet.peer)) {
		if (socket)
			spare(socket);
		return PASS;
	}
	price = cost(packet.wire, rate);
	owed = debt(&clock->next, now);
	admitted = tcp ? admit_segment(skb, limited, socket, &packet, owed, rate, now_ns)
		       : admit_datagram(state, clock, &packet, owed, price, now, burst, rate);
	if (!admitted) {
		count(&counts->egress.dropped, &packet);
		return DROP_CONGESTED;
	}
	charge(state, &clock->next, now, burst, price);
	average_payload(clock, packet.payload);
	if (socket)
		note_sent(&state->gate, socket, &packet, owed, rate, now_ns);
	count_passed(&counts->egress, &packet, owed);
	return PASS;
}

#endif
