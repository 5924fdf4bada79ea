// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
/*
 * Adopts connections that are older than their limit: no callbacks were turned on at their establishment. An
 * iterator over the TCP sockets of the reader's network namespace (Linux 5.15), an object of its own, because a
 * kernel that lacks it can still run the shaper. It finds the sockets that a limited cgroup's program has seen
 * sending and does not know, and prints a line for each that it brings under its limit: c, its callbacks are on; f,
 * its rate is fixed. Its map `podrate_sockets` is the shaper's: user space has libbpf take the one that is pinned.
 */
#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_helpers.h>

#include "egress/callbacks.h"
#include "egress/pacing.h"
/* With its map: user space has libbpf take the one of the shaper, which is pinned. */
#include "lib/sock.h"

/* What is read of the kernel's own structures; their layout is taken from its type information at loading. */
struct sock_common {
	volatile unsigned char skc_state;
} __attribute__((preserve_access_index));

struct bpf_iter_meta {
	struct seq_file *seq;
} __attribute__((preserve_access_index));

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
} __attribute__((preserve_access_index));

static __always_inline int is_connection(const struct sock_common *sk)
{
	__u8 state = sk->skc_state;

	return state == BPF_TCP_ESTABLISHED || state == BPF_TCP_CLOSE_WAIT || state == BPF_TCP_FIN_WAIT1 ||
	       state == BPF_TCP_FIN_WAIT2 || state == BPF_TCP_CLOSING || state == BPF_TCP_LAST_ACK;
}

/* Linux 6.12. The pod's program does the rest at the next transmit. */
static __always_inline int turn_callbacks_on(struct sock_common *sk)
{
	int flags;

	if (bpf_getsockopt(sk, SOL_TCP, TCP_BPF_SOCK_OPS_CB_FLAGS, &flags, sizeof(flags)))
		return 0;
	if ((flags & CALLBACKS) == CALLBACKS)
		return 1;
	flags |= CALLBACKS;
	return !bpf_setsockopt(sk, SOL_TCP, TCP_BPF_SOCK_OPS_CB_FLAGS, &flags, sizeof(flags));
}

/* Before Linux 6.12: the limit itself as the socket's pacing rate. Several sockets together are held by dropping. */
static __always_inline int set_fixed_rate(struct sock_common *sk, struct podrate_sock *sock)
{
	__u32 rate = sock->fixed, current;

	if (rate < UNPACED)
		rate = (rate & ~OWN_MASK) | OWN_BITS;
	if (!bpf_getsockopt(sk, SOL_SOCKET, SO_MAX_PACING_RATE, &current, sizeof(current)))
		sock->app_rate = app_rate_of(sock, current);
	if (sock->app_rate && rate > sock->app_rate)
		rate = sock->app_rate;
	return !bpf_setsockopt(sk, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, sizeof(rate));
}

static __always_inline void tell(struct bpf_iter__tcp *ctx, const char *what)
{
	bpf_seq_write(ctx->meta->seq, what, 2);
}

SEC("iter/tcp")
int podrate_adopt(struct bpf_iter__tcp *ctx)
{
	struct sock_common *sk = ctx->sk_common;
	struct podrate_sock *sock;

	if (!sk || !is_connection(sk))
		return 0;
	sock = bpf_sk_storage_get(&podrate_sockets, sk, 0, 0);
	if (!sock || sock->known || sock->paced || !sock->fixed)
		return 0;
	if (turn_callbacks_on(sk))
		tell(ctx, "c\n");
	else if (set_fixed_rate(sk, sock))
		tell(ctx, "f\n");
	return 0;
}

/* Of the two licences, the one under which the kernel allows to set a socket's options. */
char LICENSE[] SEC("license") = "GPL";
