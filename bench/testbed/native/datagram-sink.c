/*
 * datagram-sink PORT: receives from datagram-source.c and, each time that it has read all there is, answers what has
 * arrived. Every 20 ms prints `[time in us, payload bytes]`. For one source at a time.
 */
#define _GNU_SOURCE
#include "load.h"
#include "datagram.h"
#include <poll.h>

#define PERIOD_US 20000

int main(int argc, char **argv)
{
	struct sockaddr_storage from;
	struct feedback feedback = { 0 };
	struct datagram one;
	long long next = now_us();
	int fd, room = 4 << 20;

	if (argc != 2)
		return 2;
	fd = bound(SOCK_DGRAM, atoi(argv[1]));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	until_asked();
	ready();
	while (!ended) {
		struct pollfd readable = { fd, POLLIN, 0 };
		long long now = now_us();
		socklen_t size = sizeof(from);
		int fresh = 0;

		if (now >= next) {
			printf("[%lld,%lld]\n", now, (long long)feedback.received * DATAGRAM_SIZE);
			next += PERIOD_US * (1 + (now - next) / PERIOD_US);
		}
		poll(&readable, 1, (next - now) / 1000 + 1);
		while (recvfrom(fd, &one, sizeof(one), MSG_DONTWAIT, (void *)&from, &size) == sizeof(one)) {
			fresh = 1;
			feedback.received++;
			if (one.number >= feedback.highest) {
				feedback.highest = one.number;
				feedback.sent_us = one.sent_us;
			}
		}
		if (fresh)
			sendto(fd, &feedback, sizeof(feedback), 0, (void *)&from, size);
	}
	return 0;
}
