/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * The sender's half of a cooperative ingress limit, for every socket of the node, limited or not: follow the share that the
 * receiver tells, and prove it. Sockets that never meet a limited receiver pay for one callback at establishment.
 */
#ifndef PODRATE_SENDER_H
#define PODRATE_SENDER_H

#include "option.h"
#include "pacing.h"
#include "storage.h"
#include "window.h"

#define REPLY_EVERY NSEC_PER_SEC
#define SILENT_TRIPS 16
#define SILENT_TIME (2 * NSEC_PER_SEC)

/*
 * The proof is four bytes in the header of one packet. A full packet has room for it only when it was cut for that, so the
 * question for the MSS that precedes every transmit is answered first, and the packet after it carries the option.
 */
enum reply { REPLY_NONE, REPLY_WANTED, REPLY_HAS_ROOM, REPLY_RESERVED };

static __always_inline void want_reply(struct bpf_sock_ops *ops, struct socket *socket, __u64 now_ns)
{
	if (socket->reply == REPLY_NONE) {
		if (socket->replied && now_ns - socket->replied < REPLY_EVERY)
			return;
		socket->reply = REPLY_WANTED;
		socket->lent = !(ops->bpf_sock_ops_cb_flags & BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
	}
	callbacks_on(ops, BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
}

/* The peer told its share. Sockets of a limited pod take it into account at their next transmit. */
static __always_inline void on_share(struct bpf_sock_ops *ops, struct socket *socket, __u32 share)
{
	__u64 now_ns = bpf_ktime_get_ns();

	socket->peer = share;
	socket->heard = now_ns;
	socket->silent = 0;
	want_reply(ops, socket, now_ns);
	if (socket->armed)
		return;
	callbacks_on(ops, BPF_SOCK_OPS_RTT_CB_FLAG);
	pace(ops, socket, UNPACED);
	bound_window(ops, socket, window_for(ops, share));
}

/*
 * Once a round trip. Options get lost (three SACK blocks leave no room for them, exactly when packets were lost), so a share
 * holds for a while; a peer that has said nothing for long is limited no more.
 */
static __always_inline void on_silence(struct bpf_sock_ops *ops, struct socket *socket)
{
	if (!socket->peer)
		return;
	if (socket->silent < SILENT_TRIPS) {
		socket->silent++;
		return;
	}
	if (bpf_ktime_get_ns() - socket->heard < SILENT_TIME)
		return;
	socket->peer = 0;
	if (socket->armed)
		return;
	pace(ops, socket, UNPACED);
	bound_window(ops, socket, 0);
	callbacks_off(ops, BPF_SOCK_OPS_RTT_CB_FLAG);
}

static __always_inline void on_reply_room(struct bpf_sock_ops *ops, struct socket *socket)
{
	int probe = is_mss_probe(ops);

	if (socket->reply == REPLY_NONE || (!probe && ops->skb_len && socket->reply == REPLY_WANTED))
		return;
	if (bpf_reserve_hdr_opt(ops, sizeof(struct obeys_option), 0))
		return;
	socket->reply = probe ? REPLY_HAS_ROOM : REPLY_RESERVED;
}

static __always_inline void on_reply_write(struct bpf_sock_ops *ops, struct socket *socket)
{
	if (socket->reply != REPLY_RESERVED)
		return;
	store_obeys(ops);
	socket->reply = REPLY_NONE;
	socket->replied = bpf_ktime_get_ns();
	if (socket->lent)
		callbacks_off(ops, BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
	socket->lent = 0;
}

static __always_inline void any_socket(struct bpf_sock_ops *ops)
{
	__u32 op = ops->op, share;
	struct socket *socket;

	if (op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB || op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB) {
		if (!is_loopback(ops))
			callbacks_on(ops, BPF_SOCK_OPS_PARSE_UNKNOWN_HDR_OPT_CB_FLAG);
		return;
	}
	if (op == BPF_SOCK_OPS_PARSE_HDR_OPT_CB) {
		share = load_share(ops);
		socket = share ? socket_of(ops, BPF_SK_STORAGE_GET_F_CREATE) : 0;
		if (socket)
			on_share(ops, socket, share);
		return;
	}
	if (op != BPF_SOCK_OPS_RTT_CB && op != BPF_SOCK_OPS_HDR_OPT_LEN_CB && op != BPF_SOCK_OPS_WRITE_HDR_OPT_CB)
		return;
	socket = socket_of(ops, 0);
	if (!socket)
		return;
	/* Paced for a limit whose program is not called any more: it was detached, perhaps without a release. */
	if (!socket->attended) {
		if (socket->armed)
			set_free(ops, socket);
		bound_peer(ops, socket, 0);
	}
	socket->attended = 0;
	if (op == BPF_SOCK_OPS_RTT_CB)
		on_silence(ops, socket);
	else if (op == BPF_SOCK_OPS_HDR_OPT_LEN_CB)
		on_reply_room(ops, socket);
	else
		on_reply_write(ops, socket);
}

#endif
