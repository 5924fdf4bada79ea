// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
/*
 * podrate's shaper: limits what a cgroup sends and receives. Loaded once for a node; attached to each limited cgroup
 * (the first three programs), to the root of the cgroup2 tree (podrate_release), and to the HTB qdisc in front of a
 * pod's device (podrate_queue).
 */
#include "egress/release.h"
#include "egress/sockops.h"
#include "egress/verdict.h"
#include "ingress/queue.h"
#include "ingress/verdict.h"

#define LOOPBACK 1 /* lo is interface 1 of every network namespace (net/core/dev.c, dev_new_index) */

SEC("cgroup_skb/egress")
int podrate_egress(struct __sk_buff *skb)
{
	struct limited limited;

	if (skb->ifindex == LOOPBACK || !find_limited(&limited))
		return PASS;
	if (!limited.config->egress.rate || limited.config->flags & PODRATE_RELEASE) {
		release_fixed(skb);
		return PASS;
	}
	return egress(skb, &limited);
}

SEC("cgroup_skb/ingress")
int podrate_ingress(struct __sk_buff *skb)
{
	struct limited limited;

	if (skb->ifindex == LOOPBACK || !find_limited(&limited))
		return PASS;
	if (!limited.config->ingress.rate || limited.config->flags & PODRATE_RELEASE)
		return PASS;
	return ingress(skb, &limited);
}

/* The result leaves the kernel's default and other programs' replies alone. */
SEC("sockops")
int podrate_sockops(struct bpf_sock_ops *ops)
{
	struct limited limited;

	if (find_limited(&limited))
		limited_sockops(ops, &limited);
	return 1;
}

SEC("sockops")
int podrate_release(struct bpf_sock_ops *ops)
{
	release_untracked(ops);
	return 1;
}

SEC("tc")
int podrate_queue(struct __sk_buff *skb)
{
	classify(skb);
	return TC_ACT_OK;
}

/* Of the two licences, the one under which the kernel allows bpf_ktime_get_ns. */
char LICENSE[] SEC("license") = "GPL";
