/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* Peers to which no limit applies: address blocks of the whole installation, written by user space. */
#ifndef PODRATE_EXEMPT_H
#define PODRATE_EXEMPT_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "../abi.h"
#include "address.h"

/* The key of map `podrate_exempt`: blocks of IPv4 addresses have 96 bits more. */
struct podrate_block {
	__u32 bits;
	struct ip_address address;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, PODRATE_EXEMPT);
	__type(key, struct podrate_block);
	__type(value, __u32);
} podrate_exempt SEC(".maps");

static __always_inline int is_exempt(const struct ip_address *address)
{
	struct podrate_block block = { .bits = 128, .address = *address };

	return bpf_map_lookup_elem(&podrate_exempt, &block) != 0;
}

static __always_inline int is_exempt_peer(struct bpf_sock_ops *ops)
{
	/* The verifier requires single-field reads of the context; volatile keeps clang from merging them. */
	const volatile struct bpf_sock_ops *context = ops;
	struct ip_address peer = {};
	__be32 ipv4 = context->remote_ip4;

	if (context->family == AF_INET) {
		peer.words[2] = IPV4_MAPPED;
		peer.words[3] = ipv4;
	} else {
		peer.words[0] = context->remote_ip6[0];
		peer.words[1] = context->remote_ip6[1];
		peer.words[2] = context->remote_ip6[2];
		peer.words[3] = context->remote_ip6[3];
	}
	return is_exempt(&peer);
}

#endif
