/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* Sizes of an skb on the wire: GSO and GRO packets are many segments, each with headers of its own. */
#ifndef PODRATE_PACKET_H
#define PODRATE_PACKET_H

#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <bpf/bpf_helpers.h>

#include "address.h"
#include "thresholds.h"

#define IPV4 4
#define IPV6_HEADER 40
#define IPV6_EXTENSIONS 4 /* more than any stack sends */
#define UNKNOWN_HEADERS 60
#define TCP_FIN 1
#define TCP_SYN 2

struct ip_header {
	__u32 length;	/* with IPv6 extensions */
	__u8 protocol;	/* of what follows it */
	struct ip_address source;
	struct ip_address destination;
};

struct packet_size {
	__u32 wire;	/* IP bytes, headers of all segments included */
	__u32 payload;	/* transport payload */
	__u32 segments;
	__u32 network;	/* length of the IP header with its extensions */
	int small;
	int opens; /* SYN or SYN-ACK */
};

/* Reads from the IP header on, in cgroup hooks as in tc ones (Linux 4.18). */
static __always_inline int load_ip(struct __sk_buff *skb, __u32 offset, void *to, __u32 length)
{
	return bpf_skb_load_bytes_relative(skb, offset, to, length, BPF_HDR_START_NET);
}

/* Skips IPv6 extension headers; BIG TCP puts a hop-by-hop header before TCP (Linux 5.19). */
static __always_inline void skip_extensions(struct __sk_buff *skb, struct ip_header *ip)
{
	__u8 kind, header[2];

	ip->length = IPV6_HEADER;
	if (load_ip(skb, 6, &kind, 1))
		return;
#pragma unroll
	for (int i = 0; i < IPV6_EXTENSIONS; i++) {
		if (kind != IPPROTO_HOPOPTS && kind != IPPROTO_ROUTING && kind != IPPROTO_DSTOPTS &&
		    kind != IPPROTO_FRAGMENT)
			break;
		if (load_ip(skb, ip->length, header, 2))
			break;
		ip->length += kind == IPPROTO_FRAGMENT ? 8 : (header[1] + 1) * 8;
		kind = header[0];
	}
	ip->protocol = kind;
}

/* Parses the IP header; false if there is none. */
static __always_inline int parse_ip(struct __sk_buff *skb, struct ip_header *ip)
{
	__u8 version;

	__builtin_memset(ip, 0, sizeof(*ip));
	if (load_ip(skb, 0, &version, 1))
		return 0;
	if (version >> 4 == IPV4) {
		ip->length = (version & 15) * 4;
		ip->source.words[2] = ip->destination.words[2] = IPV4_MAPPED;
		return !load_ip(skb, 9, &ip->protocol, 1) && !load_ip(skb, 12, &ip->source.words[3], 4) &&
		       !load_ip(skb, 16, &ip->destination.words[3], 4);
	}
	skip_extensions(skb, ip);
	return !load_ip(skb, 8, &ip->source, 16) && !load_ip(skb, 24, &ip->destination, 16);
}

/* The bytes that every segment repeats; also sets what the TCP header says. */
static __always_inline __u32 header_bytes(struct __sk_buff *skb, const struct ip_header *ip, int tcp,
					  struct packet_size *packet)
{
	__u8 offset_flags[2];

	if (!tcp)
		return ip->length + 8;
	if (load_ip(skb, ip->length + 12, offset_flags, 2))
		return ip->length + 40;
	packet->opens = offset_flags[1] & TCP_SYN;
	return ip->length + (offset_flags[0] >> 4) * 4;
}

/*
 * Measures a packet in a cgroup hook, where the skb begins at the IP header. The kernel keeps the length on the wire
 * to itself there, so it is computed: gso_segs, or (0 from untrusted sources, SKB_GSO_DODGY) as many segments of
 * gso_size as the payload needs. `tcp` comes from the socket, not from a header byte, so extension headers cannot
 * disguise it.
 */
static __always_inline void measure(struct __sk_buff *skb, const struct ip_header *ip, int tcp,
				    struct packet_size *packet)
{
	__u32 segment = skb->gso_size, segments = skb->gso_segs, headers = UNKNOWN_HEADERS;

	__builtin_memset(packet, 0, sizeof(*packet));
	packet->network = ip->length;
	if (ip->length)
		headers = header_bytes(skb, ip, tcp, packet);
	if (headers > skb->len)
		headers = skb->len;
	packet->payload = skb->len - headers;
	if (!segment)
		segments = 1;
	else if (!segments)
		segments = (packet->payload + segment - 1) / segment;
	packet->segments = segments ? segments : 1;
	packet->wire = skb->len + (packet->segments - 1) * headers;
	packet->small = tcp ? packet->payload <= SMALL_PAYLOAD : packet->wire <= SMALL_PACKET;
}

#endif
