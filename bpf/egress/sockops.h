/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * Callbacks of the sockets in a limited cgroup. Every transmit reads the pod's clock and paces the socket to
 * packet/backlog, so that N busy flows settle at a backlog of N packets and share equally; no code counts flows, and
 * nothing queues outside the socket.
 */
#ifndef PODRATE_SOCKOPS_H
#define PODRATE_SOCKOPS_H

#include "../lib/clock.h"
#include "../lib/exempt.h"
#include "../lib/maps.h"
#include "../lib/sock.h"
#include "gate.h"
#include "pacing.h"

/* The most that one socket may run at: twice the limit, to use up credit after being late. The clock holds the mean. */
static __always_inline __u64 max_pace(__u64 rate)
{
	return rate ? 2 * rate : UNPACED;
}

/*
 * Starts pacing. TCP's own pacing begins with the first value that is not "no limit" (Linux 5.0), so limits too
 * large to be written are announced with the largest value once.
 */
static __always_inline void start_pacing(struct bpf_sock_ops *ops, struct podrate_sock *sock, __u64 rate)
{
	sock->paced = 1;
	if (rate >= UNPACED - OWN_MASK)
		pace(ops, sock, UNPACED - OWN_MASK - 1);
	pace(ops, sock, rate);
}

/*
 * The rate for the packet that is about to be sent: the gap after it will be length/rate = length/K * backlog. K is
 * about one packet, at least one segment.
 */
static __always_inline __u64 pace_of_backlog(struct bpf_sock_ops *ops, struct podrate_clock *clock, __u64 rate)
{
	__s64 backlog = backlog_of(&clock->next, now_ticks());
	__u64 quantum = segment_size(ops), pace;

	if (backlog <= 0 || !rate)
		return max_pace(rate);
	if (quantum < clock->average)
		quantum = clock->average;
	pace = quantum * TICKS_PER_SEC / backlog;
	return pace < max_pace(rate) ? pace : max_pace(rate);
}

/* The first segments leave unpaced, so at low rates there must be few of them. */
static __always_inline void set_initial_window(struct bpf_sock_ops *ops, __u64 rate)
{
	__u64 segments = rate * QUANTUM_US / 1000000 / segment_size(ops);
	int window = segments < 2 ? 2 : segments;

	if (segments < FIRST_SEGMENTS)
		bpf_setsockopt(ops, SOL_TCP, TCP_BPF_IW, &window, sizeof(window));
}

static __always_inline void on_established(struct bpf_sock_ops *ops, struct limited *limited, struct podrate_sock *sock)
{
	__u64 rate = limited->config->egress.rate;

	if (is_loopback(ops))
		return;
	sock->known = 1;
	sock->exempt = is_exempt_peer(ops);
	callbacks_on(ops, CALLBACKS);
	if (sock->exempt || !rate)
		return;
	set_initial_window(ops, rate);
	if (sock->charged)
		start_pacing(ops, sock, rate);
}

/* Once a round trip: lets TCP raise its rate again, fits the window, and restores callbacks that others turned off. */
static __always_inline void on_round_trip(struct bpf_sock_ops *ops, struct limited *limited, struct podrate_sock *sock)
{
	__u64 rate = limited->config->egress.rate, fair;

	callbacks_on(ops, CALLBACKS);
	if (sock->exempt && sock->paced)
		lift(ops, sock);
	if (!sock->charged)
		return;
	if (!sock->paced)
		start_pacing(ops, sock, max_pace(rate));
	else
		pace(ops, sock, max_pace(rate));
	fair = 2 * pace_of_backlog(ops, &limited->state->egress, rate);
	bound_window(ops, sock, window_for(ops, fair < rate ? fair : rate));
}

/* Before every transmit, and before TCP computes the gap after it. No data: an ACK, or tcp_current_mss() asks. */
static __always_inline void on_transmit(struct bpf_sock_ops *ops, struct limited *limited, struct podrate_sock *sock)
{
	if (!ops->skb_len || !sock->charged)
		return;
	if (!sock->paced)
		start_pacing(ops, sock, max_pace(limited->config->egress.rate));
	pace(ops, sock, pace_of_backlog(ops, &limited->state->egress, limited->config->egress.rate));
}

static __always_inline void limited_sockops(struct bpf_sock_ops *ops, struct limited *limited)
{
	__u32 op = ops->op;
	struct podrate_sock *sock;

	if (op == BPF_SOCK_OPS_TIMEOUT_INIT && !(limited->config->flags & PODRATE_RELEASE))
		time_handshake(ops, limited, sock_of(ops, BPF_SK_STORAGE_GET_F_CREATE));
	if (op != BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB && op != BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB &&
	    op != BPF_SOCK_OPS_RTT_CB && op != BPF_SOCK_OPS_HDR_OPT_LEN_CB)
		return;
	sock = sock_of(ops, BPF_SK_STORAGE_GET_F_CREATE);
	if (!sock)
		return;
	if (limited->config->flags & PODRATE_RELEASE) {
		if (sock->known || sock->paced)
			set_free(ops, sock);
		return;
	}
	sock->tracked = 1;
	if (op == BPF_SOCK_OPS_HDR_OPT_LEN_CB)
		on_transmit(ops, limited, sock);
	else if (op == BPF_SOCK_OPS_RTT_CB)
		on_round_trip(ops, limited, sock);
	else
		on_established(ops, limited, sock);
}

#endif
