/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * The verdict for a packet that the cgroup sends. The hook runs once for each skb, before segmentation and before IP
 * fragmentation, and after TCP has paced it; so it seldom drops TCP: it keeps the clock that pacing.h reads.
 */
#ifndef PODRATE_EGRESS_H
#define PODRATE_EGRESS_H

#include "counters.h"
#include "datagram.h"
#include "socket.h"

#define PASS 1
#define DROP_SILENTLY 0
/* Drop, and have TCP take it as congestion (Linux 5.3). UDP senders see success, as from a full queue downstream. */
#define DROP_CONGESTED 2

/*
 * How much debt this TCP packet may meet. Small packets (SYN, ACK, requests) see no queue. Armed sockets are slowed by
 * their pacing; dropping would only add 200 ms timeouts, for a drop in the sender's own stack leaves TCP with nothing in
 * flight. The first segments of a connection are never paced, so many new connections at once need a bound of their own.
 */
static __always_inline __s64 egress_threshold(const struct socket *socket, const struct packet *packet, __u64 rate)
{
	if (packet->small)
		return at_least(HARD, HARD_PACKETS, rate);
	if (!socket)
		return DROP;
	if (socket->known && socket->sent < FIRST_SEGMENTS)
		return at_least(FIRST, FIRST_PACKETS, rate);
	return socket->armed ? at_least(HARD, HARD_PACKETS, rate) : DROP;
}

/* The storage of a connection; a listener that sends a SYN-ACK (Linux 6.5) has none. */
static __always_inline struct socket *connection(struct bpf_sock *sk, __u64 create)
{
	return sk->state == BPF_TCP_LISTEN ? 0 : bpf_sk_storage_get(&sockets, sk, 0, create);
}

static __always_inline int egress(struct __sk_buff *skb, struct limited *limited)
{
	__u64 rate = limited->config->egress.rate, now = now_ticks(), burst = burst_ticks(&limited->config->egress), price;
	struct podrate_counters *counts = bpf_map_lookup_elem(&counters, &limited->slot);
	struct podrate_clock *clock = &limited->state->egress;
	struct bpf_sock *sk = skb->sk;
	struct socket *socket = 0;
	struct packet packet;
	int tcp, admitted;
	__s64 owed;

	sk = sk ? bpf_sk_fullsock(sk) : 0;
	if (!sk || !counts)
		return PASS;
	tcp = sk->protocol == IPPROTO_TCP;
	if (tcp)
		socket = connection(sk, BPF_SK_STORAGE_GET_F_CREATE);
	measure(skb, tcp, &packet);
	price = cost(packet.wire, rate);
	owed = debt(&clock->next, now);
	admitted = tcp ? owed <= egress_threshold(socket, &packet, rate)
		       : admit_datagram(limited->state, clock, &packet, owed, price, now, burst, rate);
	if (!admitted) {
		count(&counts->egress.dropped, &packet);
		return DROP_CONGESTED;
	}
	charge(limited->state, &clock->next, now, burst, price);
	average_payload(clock, packet.payload);
	if (socket) {
		socket->charged = 1;
		if (packet.payload)
			socket->sent += packet.segments;
	}
	count_passed(&counts->egress, &packet, owed);
	return PASS;
}

#endif
