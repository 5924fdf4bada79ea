/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * Slowing a far sender down that knows nothing of podrate: the receive window that its share fills in one round trip. Near
 * senders need less than a few segments for that, and a window so small stalls them; they are left to the threshold.
 */
#ifndef PODRATE_WINDOW_H
#define PODRATE_WINDOW_H

#include "pacing.h"

#ifndef TCP_WINDOW_CLAMP
#define TCP_WINDOW_CLAMP 10
#endif
#define FAR_US 2000
#define FAR_MOST_US 500000
#define WINDOW_LEAST 4 /* segments */
#define WINDOW_LASTS 8 /* ACKs */
#define WINDOW_FREE (16 << 20) /* more than TCP's own default bound of the receive buffer */

/* The window in bytes that carries `share` to a peer as far as this, an eighth to spare; 0 = no bound. */
static __always_inline __u32 window_of_share(struct bpf_sock_ops *ops, __u64 share)
{
	__u64 trip_us = ops->srtt_us >> 3, window;

	if (trip_us < FAR_US)
		return 0;
	if (trip_us > FAR_MOST_US)
		trip_us = FAR_MOST_US;
	window = share * trip_us / 1000000 * 9 / 8;
	if (window < WINDOW_LEAST * segment_size(ops))
		return 0;
	window += segment_size(ops);
	return window > WINDOW_FREE ? 0 : window;
}

/*
 * Bounds what the peer may send ahead (Linux 5.11). Steps below an eighth are not worth a call, but TCP lifts the bound by itself
 * when it enlarges the receive buffer (tcp_rcv_space_adjust), so it is written anew now and then.
 */
static __always_inline void bound_peer(struct bpf_sock_ops *ops, struct socket *socket, __u32 window)
{
	__u32 before = socket->window, step = before > window ? before - window : window - before;
	int value = window ? window : WINDOW_FREE;

	if (!window && !before)
		return;
	if (window && before && step < before / 8 && socket->kept < WINDOW_LASTS) {
		socket->kept++;
		return;
	}
	if (bpf_setsockopt(ops, SOL_TCP, TCP_WINDOW_CLAMP, &value, sizeof(value)))
		return;
	socket->window = window;
	socket->kept = 0;
}

#endif
