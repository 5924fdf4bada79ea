/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * Frees sockets that outlived their limit: a connection that was silent while the limit was released, or whose
 * program was detached without a release, would keep its last rate for life. Runs at the root of the cgroup tree,
 * after the pod's own program, and does nothing for sockets that are not paced.
 */
#ifndef PODRATE_RELEASE_H
#define PODRATE_RELEASE_H

#include "../lib/sock.h"
#include "pacing.h"

static __always_inline void release_untracked(struct bpf_sock_ops *ops)
{
	struct podrate_sock *sock;

	if (ops->op != BPF_SOCK_OPS_RTT_CB && ops->op != BPF_SOCK_OPS_HDR_OPT_LEN_CB)
		return;
	sock = sock_of(ops, 0);
	if (!sock)
		return;
	if (!sock->tracked && sock->paced)
		set_free(ops, sock);
	sock->tracked = 0;
}

#endif
