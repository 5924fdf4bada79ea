/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * The verdict for a packet that the cgroup receives. With the ingress qdisc in front (queue.h) this is only the
 * floor under it. Without, packets are policed: a receiver cannot slow a packet down, only drop it, and GRO has
 * merged packets by now, so one drop hits a whole train.
 */
#ifndef PODRATE_INGRESS_VERDICT_H
#define PODRATE_INGRESS_VERDICT_H

#include "../lib/counters.h"
#include "../lib/exempt.h"
#include "../lib/maps.h"
#include "../lib/sock.h"
#include "../lib/unpaced.h"
#include "../lib/verdicts.h"
#include "queue.h"

#define FIRST_PART 4 /* of the rate, for young connections and packets without payload */

static __always_inline int is_young(const struct podrate_sock *sock)
{
	return sock && sock->known && sock->received < FIRST_RECEIVED;
}

/*
 * Polices a TCP segment. Bulk data may meet 50 ms of backlog: for a sender that does not slow down, a longer
 * threshold would only be a longer burst. Packets that open or acknowledge, and the first of a connection, pass
 * beyond that within a second clock, so that neither kind starves the other.
 */
static __always_inline int police_segment(struct podrate_state *state, const struct podrate_sock *sock,
					  const struct packet_size *packet, const struct admission *admission)
{
	if (admission->backlog <= at_least(DROP, FEW_PACKETS, admission->rate))
		return 1;
	if (!packet->small && !is_young(sock))
		return 0;
	return admission->backlog <= at_least(HARD, HARD_PACKETS, admission->rate) &&
	       fits_second_clock(state, &state->ingress.first, admission, FIRST, FIRST_PART);
}

static __always_inline int ingress(struct __sk_buff *skb, struct limited *limited)
{
	struct podrate_counters *counts = bpf_map_lookup_elem(&podrate_counts, &limited->slot);
	struct podrate_state *state = limited->state;
	struct podrate_clock *clock = &state->ingress;
	__u64 now_ns = bpf_ktime_get_ns();
	struct admission admission = {
		.rate = limited->config->ingress.rate,
		.now = now_ns << TICK_SHIFT,
		.burst = burst_ticks(&limited->config->ingress),
	};
	struct bpf_sock *sk = skb->sk;
	struct podrate_sock *sock = 0;
	struct packet_size packet;
	struct ip_header ip;
	int tcp, queued, admitted;

	sk = sk ? bpf_sk_fullsock(sk) : 0;
	if (!sk || !counts)
		return PASS;
	tcp = is_tcp(sk);
	parse_ip(skb, &ip);
	measure(skb, &ip, tcp, &packet);
	if (is_exempt(&ip.source))
		return PASS;
	if (tcp)
		sock = connection(sk, 0);
	admission.cost = cost_of(packet.wire, admission.rate);
	admission.backlog = backlog_of(&clock->next, admission.now);
	queued = is_queued(limited, now_ns);
	if (queued)
		admitted = admission.backlog <= at_least(QUEUED, QUEUED_PACKETS, admission.rate);
	else
		admitted = tcp ? police_segment(state, sock, &packet, &admission)
			       : admit_datagram(state, clock, &packet, &admission);
	if (!admitted) {
		count(&counts->ingress.dropped, &packet);
		return DROP_SILENTLY;
	}
	charge(state, &clock->next, admission.now, admission.burst, admission.cost);
	average_payload(clock, packet.payload);
	if (sock && packet.payload)
		sock->received += packet.segments;
	count_passed(&counts->ingress, &packet, admission.backlog);
	/* Policed senders learn of the backlog where ECN was negotiated (Linux 5.1): by the ACK of the mark. */
	if (!queued && !packet.small && admission.backlog > at_least(MARK, FEW_PACKETS, admission.rate) &&
	    bpf_skb_ecn_set_ce(skb))
		count(&counts->ingress.marked, &packet);
	return PASS;
}

#endif
