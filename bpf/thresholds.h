/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * How much debt the clock may hold before a packet of each kind is dropped, in ms of the configured rate:
 *
 *   credit    0        50         200        400        800        2000
 *   |---------|---------|----------|----------|----------|----------|--->  debt
 *   BURST     paced     DROP       FIRST      OBEYS      SMALL_IN   HARD
 *   passes    passes,   drops UDP, drops the  drops TCP  drops small drops
 *   at once   counts as strangers, first 10   of senders packets    everything
 *             delayed   unpaced    segments   that obey  (ingress)  (egress)
 */
#ifndef PODRATE_THRESHOLDS_H
#define PODRATE_THRESHOLDS_H

#define NSEC_PER_SEC 1000000000ULL
#define NSEC_PER_MSEC 1000000ULL

/* The clock counts in 1/256 ns, so that a 66-byte packet at 12.5 GB/s (5.28 ns) costs the right amount to 0.03 %. */
#define TICK_SHIFT 8
#define TICKS_PER_SEC (NSEC_PER_SEC << TICK_SHIFT)
#define MS(n) ((__s64)((n) * NSEC_PER_MSEC) << TICK_SHIFT)

#define BURST_NS (10 * NSEC_PER_MSEC) /* when the configuration says 0 */
#define MARK MS(3)	/* ECN-capable packets of senders that do not obey are marked from here on */
#define DROP MS(50)
#define SYN MS(60) /* beyond what bulk connections hold anyway; see gate.h */
#define FIRST MS(200)
#define OBEYS MS(400)
#define SMALL_IN MS(800)
#define HARD MS(2000)
#define HARD_PACKETS 8	/* at rates where 2 s are less than 8 packets, the hard limit is 8 packets */
#define FIRST_PACKETS 2
#define FOREVER MS(3600000) /* no debt is this large: a clock that says so has not been touched for a year */

#define FIRST_SEGMENTS 10 /* TCP paces only from the tenth data segment on (tcp_update_skb_after_send) */
#define FIRST_RECEIVED 20 /* a sender's tenth segment is on its way before it knows its share, and its proof comes later still */
#define SMALL_PAYLOAD 128 /* TCP payload up to which a packet counts as small: ACK, SYN, a request */
#define SMALL_PACKET 256  /* the same for other protocols, whole packet */
#define MTU 1500
#define MSS 1448 /* where the socket's own is not known */

#endif
