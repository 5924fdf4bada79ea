/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * How much backlog a clock may hold before a packet of each kind is dropped, in ms of the configured rate:
 *
 *   credit    0        50          200         400         2000
 *   |---------|---------|-----------|-----------|-----------|--->  backlog
 *   BURST     paced     DROP        FIRST       QUEUED      HARD
 *   passes    passes,   drops what  drops young drops what  drops all
 *   at once   counts as nothing     connections came        (egress)
 *             delayed   slows                   through the
 *                                               ingress qdisc
 */
#ifndef PODRATE_THRESHOLDS_H
#define PODRATE_THRESHOLDS_H

#include <linux/types.h>

#define NSEC_PER_SEC 1000000000ULL
#define NSEC_PER_MSEC 1000000ULL

/* The clock counts in 1/256 ns, so that a 66-byte packet at 12.5 GB/s (5.28 ns) costs the right amount to 0.03 %. */
#define TICK_SHIFT 8
#define TICKS_PER_SEC (NSEC_PER_SEC << TICK_SHIFT)
#define MS(n) ((__s64)((n) * NSEC_PER_MSEC) << TICK_SHIFT)

#define BURST_NS (10 * NSEC_PER_MSEC) /* when the configuration says 0 */
#define MARK MS(3)	/* policed ECN-capable bulk data gets CE from here on */
#define DROP MS(50)
#define SYN MS(60) /* above the backlog of bulk connections: gate.h */
#define FIRST MS(200)
#define QUEUED MS(400)
#define QUEUED_PACKETS 128 /* the qdisc's classes may each pass their burst at once */
#define HARD MS(2000)
#define HARD_PACKETS 8	/* at rates where 2 s are less than 8 packets, the hard limit is 8 packets */
#define FEW_PACKETS 2	/* the same for all other thresholds */
#define FOREVER MS(3600000) /* no backlog is this large: such a clock was last charged before the counter wrapped */

#define FIRST_SEGMENTS 10 /* TCP paces only from the tenth data segment on (tcp_update_skb_after_send) */
#define FIRST_RECEIVED 20 /* twice an initial window (RFC 6928): slow start has begun to be clocked by ACKs */
#define SMALL_PAYLOAD 128 /* TCP payload up to which a packet counts as small: ACK, SYN, a request */
#define SMALL_PACKET 256  /* the same for other protocols, whole packet */
#define MTU 1500
#define MSS 1448 /* where the socket's own is not known */

#endif
