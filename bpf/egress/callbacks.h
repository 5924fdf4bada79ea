/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* The callbacks of a limited cgroup's sockets: once a round trip, and before every transmit. */
#ifndef PODRATE_CALLBACKS_H
#define PODRATE_CALLBACKS_H

#define CALLBACKS (BPF_SOCK_OPS_RTT_CB_FLAG | BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG)
#ifndef TCP_BPF_SOCK_OPS_CB_FLAGS
#define TCP_BPF_SOCK_OPS_CB_FLAGS 1008 /* Linux 6.12 */
#endif

#endif
