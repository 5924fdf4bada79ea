// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
/*
 * The benchmark's own scale: counts IP bytes that come out of the network into a pod's eth0, before any cgroup program
 * sees them, with the headers of all segments of a GSO packet. The same for every shaper. For clsact's ingress.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define GO_ON -1 /* TC_ACT_UNSPEC */
#define SOURCES 8
#define SERVICES 16
#define FIRST_PORT 5000

/*
 * For each sender, by the last byte of its address, one counter for each service: 0 is everything but TCP, 1 to 14 are TCP
 * from or to the ports after 5000, 15 is all other TCP.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SOURCES * SERVICES);
	__type(key, __u32);
	__type(value, __u64);
} bytes SEC(".maps");

static __always_inline __u32 service_of(const struct tcphdr *tcp)
{
	__u32 source = bpf_ntohs(tcp->source), to = bpf_ntohs(tcp->dest), port = source < to ? source : to;

	return port > FIRST_PORT && port < FIRST_PORT + SERVICES - 1 ? port - FIRST_PORT : SERVICES - 1;
}

SEC("tc")
int meter(struct __sk_buff *skb)
{
	__u32 source, protocol, header, service = 0, segments = skb->gso_segs > 1 ? skb->gso_segs : 1;
	struct iphdr v4;
	struct ipv6hdr v6;
	struct tcphdr tcp = {};
	__u64 *count;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes(skb, ETH_HLEN, &v4, sizeof(v4)))
			return GO_ON;
		source = bpf_ntohl(v4.saddr);
		protocol = v4.protocol;
		header = v4.ihl * 4;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		if (bpf_skb_load_bytes(skb, ETH_HLEN, &v6, sizeof(v6)))
			return GO_ON;
		source = bpf_ntohl(v6.saddr.in6_u.u6_addr32[3]);
		protocol = v6.nexthdr;
		header = sizeof(v6);
	} else {
		return GO_ON;
	}
	if (protocol == IPPROTO_TCP && !bpf_skb_load_bytes(skb, ETH_HLEN + header, &tcp, sizeof(tcp))) {
		header += tcp.doff * 4;
		service = service_of(&tcp);
	}
	source = source % SOURCES * SERVICES + service;
	count = bpf_map_lookup_elem(&bytes, &source);
	if (count)
		__sync_fetch_and_add(count, skb->len - ETH_HLEN + (segments - 1) * header);
	return GO_ON;
}

char LICENSE[] SEC("license") = "GPL";
