/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * Slows one TCP socket down: its pacing rate and, at low rates, its congestion window. The socket gets the minimum
 * of what its pod's limit and its application allow.
 */
#ifndef PODRATE_PACING_H
#define PODRATE_PACING_H

#include "../lib/sock.h"
#include "../lib/thresholds.h"
#include "callbacks.h"

#define SOL_SOCKET 1
#define SO_MAX_PACING_RATE 47
#define SOL_TCP 6

#define WINDOW_RATE 8000000ULL /* below it, the congestion window is bound */
#define QUANTUM_US 4000
#define NO_WINDOW (1 << 30)
#define MAX_WINDOW 100000

static __always_inline __u32 segment_size(struct bpf_sock_ops *ops)
{
	return ops->mss_cache ? ops->mss_cache : MSS;
}

/*
 * The last bits of podrate's own values, which tell them from the application's, also those that another version of
 * podrate wrote. Applications write round numbers, which end in other bits.
 */
#define OWN_MASK 15U
#define OWN_BITS 13U

/* The application's wish: any value that is not podrate's. Reading it takes Linux 6.1; before that it is unknown. */
static __always_inline __u32 app_rate_of(const struct podrate_sock *sock, __u32 current)
{
	if (current == UNPACED)
		return 0;
	return (current & OWN_MASK) == OWN_BITS ? sock->app_rate : current;
}

/*
 * Writes SO_MAX_PACING_RATE, which also lowers the socket's present rate; only TCP itself raises that again, at the
 * next ACK. 0 would mean "not paced", and is never written.
 */
static __always_inline void pace(struct bpf_sock_ops *ops, struct podrate_sock *sock, __u64 rate)
{
	__u32 value = UNPACED, current;
	int known = !bpf_getsockopt(ops, SOL_SOCKET, SO_MAX_PACING_RATE, &current, sizeof(current));

	if (known)
		sock->app_rate = app_rate_of(sock, current);
	if (rate < UNPACED - OWN_MASK)
		value = ((__u32)rate & ~OWN_MASK) | OWN_BITS;
	if (sock->app_rate && value > sock->app_rate)
		value = sock->app_rate;
	if (!known || current != value)
		bpf_setsockopt(ops, SOL_SOCKET, SO_MAX_PACING_RATE, &value, sizeof(value));
}

/* The congestion window, in segments, that carries `rate` with a quantum to spare; 0 = no bound. */
static __always_inline __u32 window_for(struct bpf_sock_ops *ops, __u64 rate)
{
	__u64 window;

	if (!rate || rate >= WINDOW_RATE)
		return 0;
	window = rate * (2 * (ops->srtt_us >> 3) + QUANTUM_US) / 1000000 / segment_size(ops);
	return window < 2 ? 2 : window > MAX_WINDOW ? MAX_WINDOW : window;
}

/*
 * Bounds the congestion window. At small round trips TCP makes its packets larger (tcp_tso_autosize, Linux 5.18),
 * and one could carry the whole window: some hundred ms of a low rate. The option sets the slow start threshold as
 * well, so a bound that has become too low, or is no longer needed, is raised again.
 */
static __always_inline void bound_window(struct bpf_sock_ops *ops, struct podrate_sock *sock, __u32 window)
{
	int value = window;

	if (!window) {
		if (!sock->clamp)
			return;
		value = NO_WINDOW;
	} else if (ops->snd_cwnd <= window && ops->snd_ssthresh >= window) {
		return;
	}
	if (!bpf_setsockopt(ops, SOL_TCP, TCP_BPF_SNDCWND_CLAMP, &value, sizeof(value)))
		sock->clamp = window;
}

/* Takes the pod's limit off the socket; the application's wish stays. */
static __always_inline void lift(struct bpf_sock_ops *ops, struct podrate_sock *sock)
{
	sock->paced = 0;
	pace(ops, sock, UNPACED);
	bound_window(ops, sock, 0);
}

/*
 * Undoes all that the pod's program did to the socket. Without it a socket would keep its last rate and window for
 * life: no callback changes them once the program is detached.
 */
static __always_inline void set_free(struct bpf_sock_ops *ops, struct podrate_sock *sock)
{
	lift(ops, sock);
	sock->known = 0;
	callbacks_off(ops, CALLBACKS);
}

#endif
