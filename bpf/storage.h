/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* Where what podrate remembers about each TCP socket is kept: in the socket, and gone with it. */
#ifndef PODRATE_STORAGE_H
#define PODRATE_STORAGE_H

#include "socket.h"

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct socket);
} sockets SEC(".maps");

/* The storage of a callback's socket, made on demand; NULL for request sockets and when memory is short. */
static __always_inline struct socket *socket_of(struct bpf_sock_ops *ops, __u64 create)
{
	struct bpf_sock *sk = ops->sk;

	return sk ? bpf_sk_storage_get(&sockets, sk, 0, create) : 0;
}

#endif
