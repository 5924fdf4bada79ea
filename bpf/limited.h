/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * Callbacks of the sockets in a limited cgroup. Egress: every transmit reads the pod's clock and paces the socket to
 * packet/debt, so that N busy flows settle at a debt of N packets and share equally; nobody counts them and nothing queues
 * outside the socket. Ingress: pure ACKs carry the share of this receiver.
 */
#ifndef PODRATE_LIMITED_H
#define PODRATE_LIMITED_H

#include "callbacks.h"
#include "clock.h"
#include "exempt.h"
#include "gate.h"
#include "maps.h"
#include "option.h"
#include "pacing.h"
#include "share.h"
#include "storage.h"
#include "window.h"

#define LEAST_QUANTUM 1 /* segments */

/* One socket may run at twice the limit, so that it can use up credit after being late; the clock holds the mean. */
static __always_inline __u64 most(__u64 rate)
{
	return rate ? 2 * rate : UNPACED;
}

/*
 * Starts pacing. TCP's own pacing begins with the first value that is not "no limit" (Linux 5.0), so limits too large to
 * be written are announced with the largest value once.
 */
static __always_inline void arm(struct bpf_sock_ops *ops, struct socket *socket, __u64 rate)
{
	socket->armed = 1;
	if (rate >= UNPACED - MARK_BITS)
		pace(ops, socket, UNPACED - MARK_BITS - 1);
	pace(ops, socket, rate);
}

/*
 * The rate for the packet that is about to be sent: the gap after it will be length/rate = length/K * debt. K is about one
 * packet, at least two segments.
 */
static __always_inline __u64 share_of_debt(struct bpf_sock_ops *ops, struct podrate_clock *clock, __u64 rate)
{
	__u64 quantum = LEAST_QUANTUM * segment_size(ops), share;
	__s64 owed = debt(&clock->next, now_ticks());

	if (owed <= 0 || !rate)
		return most(rate);
	if (quantum < clock->average)
		quantum = clock->average;
	share = quantum * TICKS_PER_SEC / owed;
	return share < most(rate) ? share : most(rate);
}

/* The first segments leave unpaced, so at low rates there must be few of them. */
static __always_inline void set_initial_window(struct bpf_sock_ops *ops, __u64 rate)
{
	__u64 segments = rate * QUANTUM_US / 1000000 / segment_size(ops);
	int window = segments < 2 ? 2 : segments;

	if (segments < FIRST_SEGMENTS)
		bpf_setsockopt(ops, SOL_TCP, TCP_BPF_IW, &window, sizeof(window));
}

static __always_inline void on_established(struct bpf_sock_ops *ops, struct limited *limited, struct socket *socket)
{
	__u64 sends = limited->config->egress.rate, receives = limited->config->ingress.rate;

	if (is_loopback(ops))
		return;
	socket->known = 1;
	socket->exempt = is_exempt_peer(ops);
	callbacks_on(ops, CALLBACKS);
	if (socket->exempt)
		return;
	if (sends) {
		set_initial_window(ops, sends);
		if (socket->charged)
			arm(ops, socket, sends);
	}
	if (receives)
		share_join(&limited->state->share, shared_limit(limited->config), ops->srtt_us >> 3, bpf_ktime_get_ns());
}

/* Once a round trip: lets TCP raise its rate again, fits the window, and turns callbacks on that others turned off. */
static __always_inline void on_round_trip(struct bpf_sock_ops *ops, struct limited *limited, struct socket *socket)
{
	__u64 rate = limited->config->egress.rate, share;

	callbacks_on(ops, CALLBACKS);
	if (socket->exempt && socket->armed)
		lift(ops, socket);
	if (!socket->charged)
		return;
	if (!socket->armed)
		arm(ops, socket, most(rate));
	else
		pace(ops, socket, most(rate));
	share = 2 * share_of_debt(ops, &limited->state->egress, rate);
	bound_window(ops, socket, smaller_window(window_for(ops, share < rate ? share : rate), window_for(ops, socket->peer)));
}

/* The share that this receiver offers to each sender. */
static __always_inline __u64 offered_share(const struct limited *limited)
{
	__u64 limit = limited->config->ingress.rate, share = limited->state->share.rate;

	return share ? bounded_share(share, limit) : limit;
}

/* A far peer that does not follow its share is bound by the window; one that does, or that no limit is for any more, is not. */
static __always_inline void fit_peer(struct bpf_sock_ops *ops, struct limited *limited, struct socket *socket)
{
	int bound = limited->config->ingress.rate && !socket->exempt && !obeys(socket, bpf_ktime_get_ns());

	bound_peer(ops, socket, bound ? window_of_share(ops, offered_share(limited)) : 0);
}

/* Before every transmit, and before TCP computes the gap after it. No data: an ACK, which has room for the share. */
static __always_inline void on_transmit(struct bpf_sock_ops *ops, struct limited *limited, struct socket *socket)
{
	__u32 length = ops->skb_len;

	if (is_mss_probe(ops))
		return;
	if (!length && !socket->exempt && limited->config->ingress.rate)
		bpf_reserve_hdr_opt(ops, sizeof(struct share_option), 0);
	if (!length)
		fit_peer(ops, limited, socket);
	if (!length || !socket->charged)
		return;
	if (!socket->armed)
		arm(ops, socket, most(limited->config->egress.rate));
	pace(ops, socket, share_of_debt(ops, &limited->state->egress, limited->config->egress.rate));
}

static __always_inline void on_write(struct limited *limited, struct bpf_sock_ops *ops)
{
	if (limited->config->ingress.rate)
		store_share(ops, offered_share(limited));
}

static __always_inline void limited_socket(struct bpf_sock_ops *ops, struct limited *limited)
{
	__u32 op = ops->op;
	struct socket *socket;

	if (op == BPF_SOCK_OPS_TIMEOUT_INIT && !(limited->config->flags & PODRATE_RELEASE))
		time_handshake(ops, limited, socket_of(ops, BPF_SK_STORAGE_GET_F_CREATE));
	if (op != BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB && op != BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB &&
	    op != BPF_SOCK_OPS_RTT_CB && op != BPF_SOCK_OPS_HDR_OPT_LEN_CB && op != BPF_SOCK_OPS_WRITE_HDR_OPT_CB &&
	    op != BPF_SOCK_OPS_PARSE_HDR_OPT_CB)
		return;
	socket = socket_of(ops, BPF_SK_STORAGE_GET_F_CREATE);
	if (!socket)
		return;
	if (limited->config->flags & PODRATE_RELEASE) {
		bound_peer(ops, socket, 0);
		if (socket->known || socket->armed)
			set_free(ops, socket);
		return;
	}
	socket->attended = 1;
	if (op == BPF_SOCK_OPS_HDR_OPT_LEN_CB)
		on_transmit(ops, limited, socket);
	else if (op == BPF_SOCK_OPS_RTT_CB)
		on_round_trip(ops, limited, socket);
	else if (op == BPF_SOCK_OPS_WRITE_HDR_OPT_CB)
		on_write(limited, ops);
	else if (op != BPF_SOCK_OPS_PARSE_HDR_OPT_CB)
		on_established(ops, limited, socket);
	else if (load_obeys(ops))
		socket->proved = bpf_ktime_get_ns();
}

#endif
