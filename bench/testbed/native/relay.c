/*
 * relay DEVICE DEVICE MS: carries Ethernet frames between two devices, each MS milliseconds late, as a long line does.
 * Frames stay whole (PACKET_VNET_HDR keeps what the kernel knows of their segments and checksums) and in order. Needs
 * CAP_NET_RAW; neither device should have an address of its own.
 */
#define _GNU_SOURCE
#include "load.h"
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <sys/timerfd.h>

#define FRAME_MOST (sizeof(struct virtio_net_hdr) + 80 * 1024)

struct frame {
	struct frame *next;
	long long due;
	size_t size;
	char bytes[];
};

static struct line {
	int fd;
	struct frame *first, **end; /* on their way to this device */
} lines[2];

static int open_device(const char *name)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL),
				  .sll_ifindex = if_nametoindex(name) };
	struct packet_mreq all = { .mr_ifindex = to.sll_ifindex, .mr_type = PACKET_MR_PROMISC };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(ETH_P_ALL)), on = 1, room = 64 << 20;

	if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)) || bind(fd, (void *)&to, sizeof(to)))
		die(name);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	return fd;
}

static void take(struct line *from, struct line *to, long long delay)
{
	static char buffer[FRAME_MOST];
	ssize_t size;

	while ((size = recv(from->fd, buffer, sizeof(buffer), 0)) > 0) {
		struct frame *frame = malloc(sizeof(*frame) + size);

		*frame = (struct frame){ .due = now_us() + delay, .size = size };
		memcpy(frame->bytes, buffer, size);
		*to->end = frame;
		to->end = &frame->next;
	}
}

static void deliver(struct line *to)
{
	while (to->first && to->first->due <= now_us()) {
		struct frame *frame = to->first;

		if (send(to->fd, frame->bytes, frame->size, 0) < 0 && errno != EAGAIN && errno != ENOBUFS)
			perror("send");
		to->first = frame->next;
		if (!to->first)
			to->end = &to->first;
		free(frame);
	}
}

int main(int argc, char **argv)
{
	int timer = timerfd_create(CLOCK_MONOTONIC, 0);
	long long delay, next;

	if (argc != 4)
		return 2;
	delay = atoll(argv[3]) * 1000;
	until_asked();
	for (int i = 0; i < 2; i++) {
		lines[i].fd = open_device(argv[1 + i]);
		lines[i].end = &lines[i].first;
	}
	ready();
	while (!ended) {
		struct pollfd fds[] = { { lines[0].fd, POLLIN, 0 }, { lines[1].fd, POLLIN, 0 }, { timer, POLLIN, 0 } };
		struct itimerspec at = { 0 };

		next = 0;
		for (int i = 0; i < 2; i++)
			if (lines[i].first && (!next || lines[i].first->due < next))
				next = lines[i].first->due;
		at.it_value.tv_sec = next / 1000000;
		at.it_value.tv_nsec = next % 1000000 * 1000;
		timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, 0);
		poll(fds, 3, -1);
		take(&lines[0], &lines[1], delay);
		take(&lines[1], &lines[0], delay);
		deliver(&lines[0]);
		deliver(&lines[1]);
	}
	return 0;
}
