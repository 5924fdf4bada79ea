// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
/*
 * podrate's shaper: limits what a cgroup sends and receives, on the socket's side of every network device, so that it
 * works under any network plugin and needs no queueing discipline. Loaded once for a node; attached to each limited cgroup
 * (the first three programs) and to the root of the cgroup2 tree (podrate_sender).
 */
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#define AF_INET 2
#define LOOPBACK 1 /* lo is interface 1 of every network namespace (net/core/dev.c, dev_new_index) */

#include "egress.h"
#include "ingress.h"
#include "limited.h"
#include "maps.h"
#include "sender.h"

SEC("cgroup_skb/egress")
int podrate_egress(struct __sk_buff *skb)
{
	struct limited limited;

	if (skb->ifindex == LOOPBACK || !find_limited(&limited))
		return PASS;
	if (!limited.config->egress.rate || limited.config->flags & PODRATE_RELEASE) {
		unfix(skb);
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

/* The callbacks' results are for other programs to set: 1 leaves the kernel's default and everybody's reply alone. */
SEC("sockops")
int podrate_sockops(struct bpf_sock_ops *ops)
{
	struct limited limited;

	if (find_limited(&limited))
		limited_socket(ops, &limited);
	return 1;
}

SEC("sockops")
int podrate_sender(struct bpf_sock_ops *ops)
{
	any_socket(ops);
	return 1;
}

/* Of the two licences, the one under which the kernel allows bpf_ktime_get_ns. */
char LICENSE[] SEC("license") = "GPL";
