/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* IP addresses of both families in one form. */
#ifndef PODRATE_ADDRESS_H
#define PODRATE_ADDRESS_H

#include <linux/types.h>
#include <bpf/bpf_endian.h>

#ifndef AF_INET
#define AF_INET 2
#endif

/* An IPv6 address, or an IPv4 address as ::ffff:a.b.c.d. */
struct ip_address {
	__be32 words[4];
};

#define IPV4_MAPPED bpf_htonl(0xffff)

#endif
