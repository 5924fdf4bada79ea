/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * The verdict for a packet that the cgroup sends. The hook runs once for each skb, before segmentation and before IP
 * fragmentation, and after TCP has paced it. So it seldom drops TCP: it keeps the clock that sockops.h reads.
 */
#ifndef PODRATE_EGRESS_VERDICT_H
#define PODRATE_EGRESS_VERDICT_H

#include "../lib/counters.h"
#include "../lib/exempt.h"
#include "../lib/maps.h"
#include "../lib/sock.h"
#include "../lib/unpaced.h"
#include "../lib/verdicts.h"
#include "gate.h"

/*
 * The backlog that this TCP packet may meet. Packets without payload see no queue. Paced sockets are slowed by their
 * pacing; dropping would only add 200 ms timeouts, for a drop in the sender's own stack leaves TCP with nothing in
 * flight. The first segments of a connection and sockets older than the limit are not paced. Their bound lies above
 * the backlog that paced connections hold, or beside many of those they would never send.
 */
static __always_inline __s64 egress_threshold(const struct podrate_gate *gate, const struct podrate_sock *sock,
					      const struct packet_size *packet, __u64 rate, __u64 now_ns)
{
	__s64 beside = base_backlog(gate, now_ns) + at_least(DROP, FEW_PACKETS, rate), first;

	if (!packet->payload)
		return at_least(HARD, HARD_PACKETS, rate);
	if (!sock)
		return beside;
	if (sock->paced && sock->sent >= FIRST_SEGMENTS)
		return at_least(HARD, HARD_PACKETS, rate);
	if (!sock->known && !packet->small)
		return beside;
	first = at_least(FIRST, FEW_PACKETS, rate);
	return first > beside ? first : beside;
}

/* The peer is exempt, perhaps only since a moment ago: callbacks lift what they have set. */
static __always_inline void record_exempt(struct podrate_sock *sock)
{
	sock->exempt = 1;
	sock->charged = 0;
}

/* While a limit is being taken off: a connection with a fixed rate is to be lifted too. */
static __always_inline void release_fixed(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk ? bpf_sk_fullsock(skb->sk) : 0;
	struct podrate_sock *sock = sk && is_tcp(sk) ? connection(sk, 0) : 0;

	if (sock && sock->fixed)
		sock->fixed = UNPACED;
}

static __always_inline int admit_segment(struct __sk_buff *skb, struct limited *limited, struct podrate_sock *sock,
					 const struct ip_header *ip, const struct packet_size *packet,
					 const struct admission *admission, __u64 now_ns)
{
	__u32 *tries;

	if (!packet->opens)
		return admission->backlog <=
		       egress_threshold(&limited->state->gate, sock, packet, admission->rate, now_ns);
	tries = tries_of(skb, &ip->destination, packet->network, sock, limited->slot);
	/* Without a timer set for it, a refusal costs a second: not for backlog that came after the timer was set. */
	return !tries ||
	       admit_connection(limited->state, tries, admission->backlog, sock && !sock->waits ? SYN : 0, now_ns);
}

static __always_inline void record_sent(struct podrate_gate *gate, struct podrate_sock *sock,
					const struct packet_size *packet, const struct admission *admission, __u64 now_ns)
{
	sock->charged = 1;
	sock->exempt = 0;
	if (!sock->known)
		sock->fixed = admission->rate < UNPACED ? admission->rate : UNPACED;
	if (!packet->payload)
		return;
	if (sock->paced && sock->sent >= FIRST_SEGMENTS && !packet->small)
		record_paced(gate, admission->backlog, now_ns);
	sock->sent += packet->segments;
}

static __always_inline int egress(struct __sk_buff *skb, struct limited *limited)
{
	struct podrate_counters *counts = bpf_map_lookup_elem(&podrate_counts, &limited->slot);
	struct podrate_state *state = limited->state;
	struct podrate_clock *clock = &state->egress;
	__u64 now_ns = bpf_ktime_get_ns();
	struct admission admission = {
		.rate = limited->config->egress.rate,
		.now = now_ns << TICK_SHIFT,
		.burst = burst_ticks(&limited->config->egress),
	};
	struct bpf_sock *sk = skb->sk;
	struct podrate_sock *sock = 0;
	struct packet_size packet;
	struct ip_header ip;
	int tcp, admitted;

	sk = sk ? bpf_sk_fullsock(sk) : 0;
	if (!sk || !counts)
		return PASS;
	tcp = is_tcp(sk);
	parse_ip(skb, &ip);
	measure(skb, &ip, tcp, &packet);
	if (tcp)
		sock = connection(sk, BPF_SK_STORAGE_GET_F_CREATE);
	if (is_exempt(&ip.destination)) {
		if (sock)
			record_exempt(sock);
		return PASS;
	}
	admission.cost = cost_of(packet.wire, admission.rate);
	admission.backlog = backlog_of(&clock->next, admission.now);
	admitted = tcp ? admit_segment(skb, limited, sock, &ip, &packet, &admission, now_ns)
		       : admit_datagram(state, clock, &packet, &admission);
	if (!admitted) {
		count(&counts->egress.dropped, &packet);
		return DROP_CONGESTED;
	}
	charge(state, &clock->next, admission.now, admission.burst, admission.cost);
	average_payload(clock, packet.payload);
	if (sock)
		record_sent(&state->gate, sock, &packet, &admission, now_ns);
	count_passed(&counts->egress, &packet, admission.backlog);
	return PASS;
}

#endif
