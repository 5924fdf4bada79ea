/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * Two TCP options between podrate and podrate, of the experimental kind with an identifier (RFC 6994; the identifiers are
 * not registered): a limited receiver tells its share, a sender that follows it says so.
 */
#ifndef PODRATE_OPTION_H
#define PODRATE_OPTION_H

#include "socket.h"

#define OPTION_KIND 253
#define SHARE_ID 0xD9A7
#define OBEYS_ID 0xD9A8
#define SHARE_UNIT 10 /* the share is told in units of 1024 bytes/s */

/* The kernel's search wants the whole buffer and "length" 4 for a two-byte identifier. */
struct obeys_option {
	__u8 kind;
	__u8 length;
	__u16 id;
};

struct share_option {
	__u8 kind;
	__u8 length;
	__u16 id;
	__u32 share;
} __attribute__((packed));

static __always_inline void store_share(struct bpf_sock_ops *ops, __u64 rate)
{
	struct share_option option = {
		.kind = OPTION_KIND,
		.length = sizeof(option),
		.id = bpf_htons(SHARE_ID),
		.share = bpf_htonl((__u32)(rate >> SHARE_UNIT)),
	};

	bpf_store_hdr_opt(ops, &option, sizeof(option), 0);
}

/* The share in a received packet, as a pacing rate; 0 when it has none. The least is one unit: nobody is told to stop. */
static __always_inline __u32 load_share(struct bpf_sock_ops *ops)
{
	struct share_option option = { .kind = OPTION_KIND, .length = 4, .id = bpf_htons(SHARE_ID) };
	__u32 share;

	if (bpf_load_hdr_opt(ops, &option, sizeof(option), 0) != sizeof(option))
		return 0;
	share = bpf_ntohl(option.share);
	if (!share)
		return 1 << SHARE_UNIT;
	return share > UNPACED >> SHARE_UNIT ? UNPACED - 1 : share << SHARE_UNIT;
}

static __always_inline void store_obeys(struct bpf_sock_ops *ops)
{
	struct obeys_option option = { .kind = OPTION_KIND, .length = sizeof(option), .id = bpf_htons(OBEYS_ID) };

	bpf_store_hdr_opt(ops, &option, sizeof(option), 0);
}

static __always_inline int load_obeys(struct bpf_sock_ops *ops)
{
	struct obeys_option option = { .kind = OPTION_KIND, .length = sizeof(option), .id = bpf_htons(OBEYS_ID) };

	return bpf_load_hdr_opt(ops, &option, sizeof(option), 0) == sizeof(option);
}

/* Whether this HDR_OPT_LEN callback is no packet but tcp_current_mss() asking how much room options take. */
static __always_inline int is_mss_probe(struct bpf_sock_ops *ops)
{
	return ops->args[0] == BPF_WRITE_HDR_TCP_CURRENT_MSS;
}

#endif
