/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* Peers to which no limit applies: an installation-wide list of address blocks, written by user space. */
#ifndef PODRATE_EXEMPT_H
#define PODRATE_EXEMPT_H

#include "socket.h"

/* An IPv6 address, or an IPv4 address as ::ffff:a.b.c.d. */
struct address {
	__be32 words[4];
};

#define IPV4_MAPPED bpf_htonl(0xffff)

/* The key of map `exempt`: blocks of IPv4 addresses have 96 bits more. */
struct podrate_block {
	__u32 bits;
	struct address address;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, PODRATE_EXEMPT);
	__type(key, struct podrate_block);
	__type(value, __u32);
} exempt SEC(".maps");

static __always_inline int is_exempt(const struct address *address)
{
	struct podrate_block block = { .bits = 128, .address = *address };

	return bpf_map_lookup_elem(&exempt, &block) != 0;
}

static __always_inline int is_exempt_peer(struct bpf_sock_ops *ops)
{
	/* The verifier wants fields of the context read one by one; volatile keeps clang from choosing between two addresses. */
	const volatile struct bpf_sock_ops *context = ops;
	struct address peer = {};
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
