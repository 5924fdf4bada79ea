/*
 * flood HOST PORT SIZE RATE: sends datagrams of SIZE payload bytes, RATE IP bytes in a second, every millisecond as many
 * as are due. What the kernel refuses counts as sent. At SIGTERM prints `{"datagrams": n, "refused": n}` and ends.
 */
#define _GNU_SOURCE
#include "load.h"

#define BATCH 64

int main(int argc, char **argv)
{
	struct mmsghdr messages[BATCH] = { 0 };
	struct sockaddr_storage to;
	struct iovec part;
	long long due, sent = 0, refused = 0, start;
	int size = argc == 5 ? atoi(argv[3]) : 0, fd;
	socklen_t length;
	double rate;

	if (size < 1 || size > 65000)
		return 2;
	length = address(&to, argv[1], atoi(argv[2]));
	rate = atof(argv[4]) / (size + (to.ss_family == AF_INET ? 28 : 48));
	part = (struct iovec){ calloc(1, size), size };
	for (int i = 0; i < BATCH; i++)
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &part, .msg_iovlen = 1 };
	fd = socket(to.ss_family, SOCK_DGRAM, 0);
	if (connect(fd, (void *)&to, length))
		die("connect");
	until_asked();
	ready();
	start = now_us();
	while (!ended) {
		due = (now_us() - start) * rate / 1e6;
		/* What could not be sent in time stays unsent, so that a hiccup is no burst. */
		if (due - sent > rate / 20)
			sent = due - rate / 20;
		while (sent < due && !ended) {
			int want = due - sent < BATCH ? due - sent : BATCH, done = sendmmsg(fd, messages, want, MSG_DONTWAIT);

			sent += done > 0 ? done : 1;
			refused += done < 1;
		}
		usleep(1000);
	}
	printf("{\"datagrams\":%lld,\"refused\":%lld}\n", sent, refused);
	return 0;
}
