// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
/*
 * Marks packets with a code point (DSCP): a classifier on the way out of a network device, inside the pod's network namespace.
 * There it sees every packet whatever made it, ICMP and packet sockets too, under any network plugin. An object of its own,
 * because it goes through tc and not onto cgroups, and most nodes never need it.
 *
 * The code point comes with the filter, as its class id, which the kernel hands to a direct-action program: one program does
 * for all code points, and `tc filter show` tells them. Minor number: the code point in the lowest 6 bits, and above them how many
 * bytes of link-layer header come before the IP header, which a program cannot ask its device.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#define CODE_POINT_BITS 6
#define ECN_BITS 2
#define MINOR 0xffff
#define IPV4_CHECKSUM 10 /* bytes from the start of the header */
#define VLAN_TAG 4
#define VLAN_TAGS 2
#define DEEPEST_CGROUP 32

/* Whose packets are marked: those of sockets in a cgroup, by its id; 0, all. User space writes it before the filter is there. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} podrate_marked SEC(".maps");

/* Whether the packet's socket is in the cgroup or below it. Replies of the kernel itself have no such socket. */
static __always_inline int is_of(struct __sk_buff *skb, __u64 cgroup)
{
	for (int level = 1; level <= DEEPEST_CGROUP; level++) {
		__u64 id = bpf_skb_ancestor_cgroup_id(skb, level);

		if (!id)
			return 0;
		if (id == cgroup)
			return 1;
	}
	return 0;
}

/* The version is in the first four bits of both headers; who wrote a packet with a socket of its own may have lied about it. */
static __always_inline int has_version(const __u8 *start, __u8 version)
{
	return start[0] >> 4 == version;
}

static __always_inline void mark_ipv4(struct __sk_buff *skb, __u32 offset, __u8 code_point)
{
	union {
		__u8 bytes[2];
		__u16 word;
	} old, new;

	if (bpf_skb_load_bytes(skb, offset, &old, sizeof(old)) || !has_version(old.bytes, 4))
		return;
	new.bytes[0] = old.bytes[0];
	new.bytes[1] = code_point << ECN_BITS | (old.bytes[1] & ((1 << ECN_BITS) - 1));
	/* A packet too short for a header fails here, and stays as it is. */
	if (new.word == old.word || bpf_l3_csum_replace(skb, offset + IPV4_CHECKSUM, old.word, new.word, sizeof(old)))
		return;
	bpf_skb_store_bytes(skb, offset, &new, sizeof(new), 0);
}

/* The traffic class lies across the first two bytes: 4 bits of version, 6 of the code point, 2 of ECN, 4 of the flow label. */
static __always_inline void mark_ipv6(struct __sk_buff *skb, __u32 offset, __u8 code_point)
{
	__u8 start[2], changed[2];

	if (bpf_skb_load_bytes(skb, offset, start, sizeof(start)) || !has_version(start, 6))
		return;
	changed[0] = 6 << 4 | code_point >> 2;
	changed[1] = (code_point & 3) << 6 | (start[1] & 0x3f);
	if (changed[0] != start[0] || changed[1] != start[1])
		bpf_skb_store_bytes(skb, offset, changed, sizeof(changed), BPF_F_RECOMPUTE_CSUM);
}

/* Other filters go on after it: it decides nothing about the packet. */
SEC("classifier")
int podrate_dscp(struct __sk_buff *skb)
{
	__u32 minor = skb->tc_classid & MINOR, offset = minor >> CODE_POINT_BITS, key = 0;
	__u8 code_point = minor & ((1 << CODE_POINT_BITS) - 1);
	__u16 protocol = skb->protocol;
	__u64 *cgroup = bpf_map_lookup_elem(&podrate_marked, &key);

	if (!cgroup || (*cgroup && !is_of(skb, *cgroup)))
		return TC_ACT_UNSPEC;
#pragma unroll
	for (int i = 0; i < VLAN_TAGS && offset; i++) {
		if (protocol != bpf_htons(ETH_P_8021Q) && protocol != bpf_htons(ETH_P_8021AD))
			break;
		if (bpf_skb_load_bytes(skb, offset + 2, &protocol, sizeof(protocol)))
			return TC_ACT_UNSPEC;
		offset += VLAN_TAG;
	}
	if (protocol == bpf_htons(ETH_P_IP))
		mark_ipv4(skb, offset, code_point);
	else if (protocol == bpf_htons(ETH_P_IPV6))
		mark_ipv6(skb, offset, code_point);
	return TC_ACT_UNSPEC;
}

/* Of the two licences, the one that the rest of the programs need. */
char LICENSE[] SEC("license") = "GPL";
