/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * State of one TCP socket, kept in the socket and gone with it. One storage for all programs, because a socket may
 * be paced for two reasons at once: its pod's limit and its application's own wish.
 */
#ifndef PODRATE_SOCK_H
#define PODRATE_SOCK_H

#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#include "address.h"

#define UNPACED 0xffffffffU /* SO_MAX_PACING_RATE's "no limit"; also the most that a BPF program can write */

/* <bits/socket_type.h>, which belongs to no kernel header. */
#define SOCK_STREAM 1

struct podrate_sock {
	__u32 app_rate;	/* the application's own SO_MAX_PACING_RATE; 0 = it has not set one */
	__u32 fixed;	/* pacing rate for a socket whose callbacks adopt.bpf.c cannot turn on; UNPACED = lift it */
	__u32 clamp;	/* the congestion window that podrate set; 0 = none */
	__u32 sent;	/* data segments */
	__u32 received;
	__u32 refused;	/* how often the SYN gate refused its SYN */
	__u8 known;	/* podrate saw its establishment, so its callbacks are on */
	__u8 waits;	/* its first SYN will be refused, and its timer is set for that */
	__u8 charged;	/* one of its packets was charged, so it is not a loopback socket */
	__u8 exempt;	/* no limit applies to its peer */
	__u8 paced;	/* for the pod's limit */
	__u8 tracked;	/* the pod's program has seen it since podrate_release last did */
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct podrate_sock);
} podrate_sockets SEC(".maps");

/* The storage of a callback's socket, made on demand; NULL for request sockets and when memory is short. */
static __always_inline struct podrate_sock *sock_of(struct bpf_sock_ops *ops, __u64 create)
{
	struct bpf_sock *sk = ops->sk;

	return sk ? bpf_sk_storage_get(&podrate_sockets, sk, 0, create) : 0;
}

/* The storage of a connection; a listener that sends a SYN-ACK (Linux 6.5) has none. */
static __always_inline struct podrate_sock *connection(struct bpf_sock *sk, __u64 create)
{
	return sk->state == BPF_TCP_LISTEN ? 0 : bpf_sk_storage_get(&podrate_sockets, sk, 0, create);
}

/* Whether TCP itself sends and receives here: raw sockets can have the protocol TCP too. */
static __always_inline int is_tcp(const struct bpf_sock *sk)
{
	return sk->protocol == IPPROTO_TCP && sk->type == SOCK_STREAM;
}

/* Whether both ends are on this machine's loopback: the pod's own address, 127/8, ::1. Never charged. */
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
