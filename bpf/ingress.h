/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * The verdict for a packet that the cgroup receives. A receiver cannot slow a packet down, only drop it, and GRO has merged
 * packets by now, so one drop hits a whole train. This is the floor that always holds; share.h is what makes it smooth.
 */
#ifndef PODRATE_INGRESS_H
#define PODRATE_INGRESS_H

#include "counters.h"
#include "datagram.h"
#include "egress.h"
#include "exempt.h"
#include "share.h"
#include "socket.h"
#include "storage.h"

/* A connection too young for its sender to have heard its share and proved it. */
static __always_inline int is_new(const struct socket *socket)
{
	return socket && socket->known && socket->received < FIRST_RECEIVED;
}

static __always_inline int is_bounded(const struct socket *socket)
{
	return socket && socket->window;
}

/*
 * How much debt this TCP packet may meet. Only senders that have proved to obey are given room: for others a long
 * threshold would just be a long burst. The first segments come before a sender can know its share. A sender that is
 * bound by a window cannot run away, but sends a whole window at once, at the end of slow start on top of another.
 */
static __always_inline __s64 ingress_threshold(const struct socket *socket, const struct packet *packet, int obedient,
					       __u64 rate)
{
	if (!packet->payload)
		return at_least(SMALL_IN, HARD_PACKETS, rate);
	if (obedient)
		return at_least(OBEYS, HARD_PACKETS, rate);
	if (is_new(socket) || is_bounded(socket) || packet->small)
		return at_least(FIRST, FIRST_PACKETS, rate);
	return DROP;
}

static __always_inline int ingress(struct __sk_buff *skb, struct limited *limited)
{
	__u64 rate = limited->config->ingress.rate, now_ns = bpf_ktime_get_ns(), now = now_ns << TICK_SHIFT;
	__u64 burst = burst_ticks(&limited->config->ingress), price;
	struct podrate_counters *counts = bpf_map_lookup_elem(&counters, &limited->slot);
	struct podrate_clock *clock = &limited->state->ingress;
	struct podrate_share *share = &limited->state->share;
	int tcp, admitted, obedient = 0;
	struct bpf_sock *sk = skb->sk;
	struct socket *socket = 0;
	struct packet packet;
	__s64 owed;

	sk = sk ? bpf_sk_fullsock(sk) : 0;
	if (!sk || !counts)
		return PASS;
	tcp = sk->protocol == IPPROTO_TCP;
	measure(skb, tcp, PEER_IS_SOURCE, &packet);
	if (is_exempt(&packet.peer))
		return PASS;
	if (tcp) {
		socket = connection(sk, 0);
		obedient = obeys(socket, now_ns);
	}
	price = cost(packet.wire, rate);
	owed = debt(&clock->next, now);
	admitted = tcp ? owed <= ingress_threshold(socket, &packet, obedient, rate)
		       : admit_datagram(limited->state, clock, &packet, owed, price, now, burst, rate);
	if (tcp && !packet.small && (obedient || is_new(socket) || is_bounded(socket)))
		__sync_fetch_and_add(&share->bytes, packet.wire);
	else if (admitted)
		__sync_fetch_and_add(&share->other, packet.wire);
	share_step(limited->state, limited->config, now_ns);
	if (!admitted) {
		count(&counts->ingress.dropped, &packet);
		return DROP_SILENTLY;
	}
	charge(limited->state, &clock->next, now, burst, price);
	average_payload(clock, packet.payload);
	if (socket && packet.payload)
		socket->received += packet.segments;
	count_passed(&counts->ingress, &packet, owed);
	/* Senders that do not obey hear of the debt where ECN was negotiated (Linux 5.1); the mark reaches them in the ACK. */
	if (owed > MARK && !packet.small && !obedient && bpf_skb_ecn_set_ce(skb))
		count(&counts->ingress.marked, &packet);
	return PASS;
}

#endif
