/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * What podrate remembers about one TCP socket, on both ends of a connection. One storage for all programs, because a
 * socket may be paced for three reasons at once: its pod's limit, its peer's limit, and its application's own wish.
 */
#ifndef PODRATE_SOCKET_H
#define PODRATE_SOCKET_H

#include "thresholds.h"

#define UNPACED 0xffffffffU /* SO_MAX_PACING_RATE's "no limit"; also the most that a BPF program can write */

struct socket {
	__u32 own;	/* the application's own SO_MAX_PACING_RATE; 0 = it has not set one */
	__u32 peer;	/* what the peer's podrate lets this socket send, bytes/s; 0 = it has said nothing */
	__u32 fixed;	/* pacing rate for a socket without callbacks, where adopt.bpf.c cannot turn them on; UNPACED = lift it */
	__u32 clamp;	/* the congestion window that podrate set; 0 = none */
	__u32 window;	/* the receive window that podrate set; 0 = none */
	__u64 heard;	/* when the peer last said so, ns */
	__u64 replied;	/* when this end last proved that it obeys, ns */
	__u64 proved;	/* when the peer last proved that it obeys, ns; 0 = never */
	__u32 sent;	/* data segments */
	__u32 received;
	__u32 refused;	/* how often the SYN gate sent its SYN back */
	__u8 known;	/* podrate saw its establishment, so its callbacks are on */
	__u8 waits;	/* its first SYN is going to be refused, and its timer is set for that */
	__u8 charged;	/* one of its packets was charged, so it is not a loopback socket */
	__u8 exempt;	/* no limit applies to its peer */
	__u8 armed;	/* it is paced for the pod's limit */
	__u8 silent;	/* round trips since the peer last said its rate */
	__u8 attended;	/* the pod's program has seen it since podrate_sender last did */
	__u8 reply;	/* enum reply */
	__u8 kept;	/* ACKs since `window` was written */
	__u8 lent;	/* WRITE_HDR_OPT callbacks are on only for the reply */
};

#define PROOF_LASTS (10 * NSEC_PER_SEC) /* a sender that obeys proves it about once a second */

/* Whether the peer follows the share that it is told. */
static __always_inline int obeys(const struct socket *socket, __u64 now_ns)
{
	return socket && socket->proved && now_ns - socket->proved < PROOF_LASTS;
}

/* Whether both ends are on this machine's loopback: the pod's own address, 127/8, ::1. Its packets are never charged. */
static __always_inline int is_loopback(struct bpf_sock_ops *ops)
{
	if (ops->family == AF_INET)
		return ops->remote_ip4 == ops->local_ip4 || (bpf_ntohl(ops->remote_ip4) >> 24) == 127;
	return ops->remote_ip6[0] == ops->local_ip6[0] && ops->remote_ip6[1] == ops->local_ip6[1] &&
	       ops->remote_ip6[2] == ops->local_ip6[2] && ops->remote_ip6[3] == ops->local_ip6[3];
}

/* Turns callbacks on beside those that other programs have asked for. */
static __always_inline void callbacks_on(struct bpf_sock_ops *ops, __u32 flags)
{
	if ((ops->bpf_sock_ops_cb_flags & flags) != flags)
		bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | flags);
}

static __always_inline void callbacks_off(struct bpf_sock_ops *ops, __u32 flags)
{
	bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags & ~flags);
}

#endif
