/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* What one skb will be on the wire: GSO and GRO packets are many segments, each with headers of its own. */
#ifndef PODRATE_PACKET_H
#define PODRATE_PACKET_H

#include "exempt.h"
#include "thresholds.h"

#define IPV4 4
#define IPV6_HEADER 40
#define IPV6_EXTENSIONS 4 /* more than any stack sends */
#define UNKNOWN_HEADERS 60
#define TCP_SYN 2

struct packet {
	__u32 wire;	/* IP bytes, headers of all segments included */
	__u32 payload;	/* transport payload */
	__u32 segments;
	__u32 network; /* length of the IP header with its extensions */
	struct address peer;
	int small;
	int opens; /* SYN or SYN-ACK */
};

/*
 * The length of the IPv6 header with its extensions; BIG TCP puts a hop-by-hop header before TCP (Linux 5.19).
 */
static __always_inline __u32 ipv6_headers(struct __sk_buff *skb)
{
	__u32 length = IPV6_HEADER;
	__u8 kind, header[2];

	if (bpf_skb_load_bytes(skb, 6, &kind, 1))
		return length;
#pragma unroll
	for (int i = 0; i < IPV6_EXTENSIONS; i++) {
		if (kind != IPPROTO_HOPOPTS && kind != IPPROTO_ROUTING && kind != IPPROTO_DSTOPTS && kind != IPPROTO_FRAGMENT)
			break;
		if (bpf_skb_load_bytes(skb, length, header, 2))
			break;
		length += kind == IPPROTO_FRAGMENT ? 8 : (header[1] + 1) * 8;
		kind = header[0];
	}
	return length;
}

/* Where the peer's address is: the destination of what is sent, the source of what is received. */
enum peer { PEER_IS_DESTINATION, PEER_IS_SOURCE };

static __always_inline void load_peer(struct __sk_buff *skb, int ipv4, enum peer which, struct address *peer)
{
	__builtin_memset(peer, 0, sizeof(*peer));
	if (ipv4) {
		peer->words[2] = IPV4_MAPPED;
		bpf_skb_load_bytes(skb, which == PEER_IS_SOURCE ? 12 : 16, &peer->words[3], 4);
	} else {
		bpf_skb_load_bytes(skb, which == PEER_IS_SOURCE ? 8 : 24, peer, 16);
	}
}

/* The bytes that every segment repeats. The hook's packet begins at the IP header. */
static __always_inline __u32 parse(struct __sk_buff *skb, int tcp, enum peer which, struct packet *packet)
{
	__u8 byte, offset_flags[2];

	__builtin_memset(packet, 0, sizeof(*packet));
	packet->network = IPV6_HEADER;
	if (bpf_skb_load_bytes(skb, 0, &byte, 1))
		return UNKNOWN_HEADERS;
	load_peer(skb, byte >> 4 == IPV4, which, &packet->peer);
	packet->network = byte >> 4 == IPV4 ? (byte & 15) * 4 : ipv6_headers(skb);
	if (!tcp)
		return packet->network + 8;
	if (bpf_skb_load_bytes(skb, packet->network + 12, offset_flags, 2))
		return packet->network + 40;
	packet->opens = offset_flags[1] & TCP_SYN;
	return packet->network + (offset_flags[0] >> 4) * 4;
}

/*
 * Measures a packet. The protocol comes from the socket, not from a header byte, so extension headers cannot disguise it.
 * The kernel keeps the length on the wire to itself in these hooks, so it is computed: gso_segs, or (0 from untrusted
 * sources, SKB_GSO_DODGY) as many segments of gso_size as the payload needs.
 */
static __always_inline void measure(struct __sk_buff *skb, int tcp, enum peer which, struct packet *packet)
{
	__u32 headers = parse(skb, tcp, which, packet);
	__u32 segment = skb->gso_size, segments = skb->gso_segs;

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
