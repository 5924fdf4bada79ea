/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * Slowing one TCP socket down: its pacing rate, and at low rates its congestion window. Whoever asks, the socket gets the
 * minimum of what its pod's limit, its peer's limit and its application allow.
 */
#ifndef PODRATE_PACING_H
#define PODRATE_PACING_H

#include "socket.h"
#include "thresholds.h"

#define SOL_SOCKET 1
#define SO_MAX_PACING_RATE 47
#define SOL_TCP 6

#define WINDOW_RATE 8000000ULL /* below it, the window is bound */
#define QUANTUM_US 4000
#define NO_WINDOW (1 << 30)
#define WINDOW_MOST 100000

static __always_inline __u32 segment_size(struct bpf_sock_ops *ops)
{
	return ops->mss_cache ? ops->mss_cache : MSS;
}

/*
 * Writes SO_MAX_PACING_RATE, which also lowers the socket's present rate; only TCP itself raises that again, at the next
 * ACK. A value that is not the one written last is the application's, and is kept as its wish (reading it takes Linux
 * 6.1; before that podrate may overwrite it). 0 would mean "not paced", so it is never written.
 */
static __always_inline void pace(struct bpf_sock_ops *ops, struct socket *socket, __u64 rate)
{
	__u32 value = rate < UNPACED - 1 ? (rate ? rate : 1) : UNPACED, current = socket->set;
	int known = !bpf_getsockopt(ops, SOL_SOCKET, SO_MAX_PACING_RATE, &current, sizeof(current));

	if (!known)
		socket->own = UNPACED;
	else if (current != socket->set)
		socket->own = current;
	if (value > socket->own)
		value = socket->own;
	if (socket->peer && value > socket->peer)
		value = socket->peer;
	if (known && current == value) {
		socket->set = value;
		return;
	}
	if (!bpf_setsockopt(ops, SOL_SOCKET, SO_MAX_PACING_RATE, &value, sizeof(value)))
		socket->set = value;
}

/* The congestion window, in segments, that carries `rate` with a quantum to spare; 0 = no bound is wanted. */
static __always_inline __u32 window_for(struct bpf_sock_ops *ops, __u64 rate)
{
	__u64 window;

	if (!rate || rate >= WINDOW_RATE)
		return 0;
	window = rate * (2 * (ops->srtt_us >> 3) + QUANTUM_US) / 1000000 / segment_size(ops);
	return window < 2 ? 2 : window > WINDOW_MOST ? WINDOW_MOST : window;
}

/*
 * Bounds the congestion window. At small round trips TCP makes its packets larger (tcp_tso_autosize, Linux 5.18), and one
 * could carry the whole window: some hundred ms of a low rate. The option sets the slow start threshold as well, so a
 * bound that has become too low, or is wanted no longer, is raised again.
 */
static __always_inline void bound_window(struct bpf_sock_ops *ops, struct socket *socket, __u32 window)
{
	int value = window;

	if (!window) {
		if (!socket->clamp)
			return;
		value = NO_WINDOW;
	} else if (ops->snd_cwnd <= window && ops->snd_ssthresh >= window) {
		return;
	}
	if (!bpf_setsockopt(ops, SOL_TCP, TCP_BPF_SNDCWND_CLAMP, &value, sizeof(value)))
		socket->clamp = window;
}

/* The smaller of two windows where 0 means none. */
static __always_inline __u32 smaller_window(__u32 a, __u32 b)
{
	return !a ? b : !b ? a : a < b ? a : b;
}

#endif
