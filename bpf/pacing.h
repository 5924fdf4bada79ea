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
 * podrate marks its values by their last bits, so that it can tell them from the application's own, also those that another
 * version of podrate wrote. Applications write round numbers, which end in other bits.
 */
#define MARK_BITS 15U
#define OURS 13U

/* The application's wish: any value that is not podrate's. Reading it takes Linux 6.1; before that it is not known. */
static __always_inline __u32 own_wish(const struct socket *socket, __u32 current)
{
	if (current == UNPACED)
		return 0;
	return (current & MARK_BITS) == OURS ? socket->own : current;
}

/*
 * Writes SO_MAX_PACING_RATE, which also lowers the socket's present rate; only TCP itself raises that again, at the next
 * ACK. 0 would mean "not paced", and is never written.
 */
static __always_inline void pace(struct bpf_sock_ops *ops, struct socket *socket, __u64 rate)
{
	__u32 value = UNPACED, current;
	int known = !bpf_getsockopt(ops, SOL_SOCKET, SO_MAX_PACING_RATE, &current, sizeof(current));

	if (known)
		socket->own = own_wish(socket, current);
	if (socket->peer && rate > socket->peer)
		rate = socket->peer;
	if (rate < UNPACED - MARK_BITS)
		value = ((__u32)rate & ~MARK_BITS) | OURS;
	if (socket->own && value > socket->own)
		value = socket->own;
	if (!known || current != value)
		bpf_setsockopt(ops, SOL_SOCKET, SO_MAX_PACING_RATE, &value, sizeof(value));
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

/* Takes the pod's limit off the socket; what the peer and the application want stays. */
static __always_inline void lift(struct bpf_sock_ops *ops, struct socket *socket)
{
	socket->armed = 0;
	pace(ops, socket, UNPACED);
	bound_window(ops, socket, window_for(ops, socket->peer));
}

/*
 * Undoes all that the pod's program did to the socket. Without it a socket would keep its last rate and window for life, for
 * nobody is called back any more once the program is detached.
 */
static __always_inline void set_free(struct bpf_sock_ops *ops, struct socket *socket)
{
	lift(ops, socket);
	socket->known = 0;
	if (socket->reply)
		socket->lent = 1;
	else
		callbacks_off(ops, BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
	if (!socket->peer)
		callbacks_off(ops, BPF_SOCK_OPS_RTT_CB_FLAG);
}

/* The smaller of two windows where 0 means none. */
static __always_inline __u32 smaller_window(__u32 a, __u32 b)
{
	return !a ? b : !b ? a : a < b ? a : b;
}

#endif
