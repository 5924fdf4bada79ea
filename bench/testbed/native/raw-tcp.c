/*
 * raw-tcp KIND HOST PORT RATE: sends TCP segments past the kernel's TCP, RATE IP bytes in a second, every millisecond as
 * many as are due, whatever is lost. IPv4, needs CAP_NET_RAW. At SIGTERM prints `{"segments": n}` and ends.
 *   syn   requests for connections, from random ports: 60 bytes
 *   ack   acknowledgements that belong to no connection, from random ports: 52 bytes
 *   data  full segments of one connection that the kernel has opened: 1500 bytes
 */
#define _GNU_SOURCE
#include "load.h"
#include <linux/tcp.h>

#define BATCH 64
#define PAYLOAD 1448
#define WINDOW 32 /* segments; less than any receiver offers at first */

struct segment {
	struct tcphdr header;
	unsigned char rest[20 + PAYLOAD];
};
static struct sockaddr_in from, to;

/* The checksum of the header, the pseudo header, and a payload of zeros. RFC 9293, 3.1. */
static unsigned short checksum(const struct segment *one, int size)
{
	const unsigned short *words = (void *)one;
	unsigned int sum = htons(IPPROTO_TCP) + htons(size);

	sum += (from.sin_addr.s_addr >> 16) + (from.sin_addr.s_addr & 0xffff);
	sum += (to.sin_addr.s_addr >> 16) + (to.sin_addr.s_addr & 0xffff);
	for (int i = 0; i < one->header.doff * 2; i++)
		sum += words[i];
	sum = (sum >> 16) + (sum & 0xffff);
	return ~(sum + (sum >> 16));
}

/* Opens a connection and reads which bytes its peer expects next. It stays open, and silent, until the program ends. */
static void open_connection(unsigned int *next, unsigned int *acknowledged)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1, queue;
	socklen_t size = sizeof(from), number = sizeof(*next);

	if (connect(fd, (void *)&to, sizeof(to)) || getsockname(fd, (void *)&from, &size))
		die("connect");
	if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)))
		die("TCP_REPAIR");
	queue = TCP_SEND_QUEUE;
	setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, &queue, sizeof(queue));
	getsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, next, &number);
	queue = TCP_RECV_QUEUE;
	setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, &queue, sizeof(queue));
	getsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, acknowledged, &number);
	on = -1; /* TCP_REPAIR_OFF_NO_WP */
	setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on));
}

/* The address from which packets to the destination go. */
static void find_own_address(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	socklen_t size = sizeof(from);

	if (connect(fd, (void *)&to, sizeof(to)) || getsockname(fd, (void *)&from, &size))
		die("connect");
	close(fd);
}

int main(int argc, char **argv)
{
	static struct segment segments[BATCH];
	struct mmsghdr messages[BATCH] = { 0 };
	struct iovec parts[BATCH];
	int data = argc == 5 && !strcmp(argv[1], "data"), syn = argc == 5 && !strcmp(argv[1], "syn"), fd, size;
	unsigned int next = 0, acknowledged = 0;
	long long start, sent = 0, total = 0;
	double rate;

	if (argc != 5 || (!data && !syn && strcmp(argv[1], "ack")))
		return 2;
	address((void *)&to, argv[2], atoi(argv[3]));
	if (to.sin_family != AF_INET)
		return 2;
	if (data)
		open_connection(&next, &acknowledged);
	else
		find_own_address();
	size = syn ? 40 : data ? 32 + PAYLOAD : 32;
	rate = atof(argv[4]) / (20 + size);
	fd = socket(AF_INET, SOCK_RAW, IPPROTO_TCP);
	to.sin_port = 0;
	if (fd < 0 || connect(fd, (void *)&to, sizeof(to)))
		die("raw socket");
	for (int i = 0; i < BATCH; i++) {
		segments[i].header = (struct tcphdr){ .source = from.sin_port, .dest = htons(atoi(argv[3])), .syn = syn,
						      .ack = !syn, .doff = syn ? 10 : 8, .window = htons(65535) };
		/* No options: a receiver that checks timestamps would not take ours. The end of the list is zero as well. */
		memset(segments[i].rest, syn || !data ? 1 : 0, syn ? 20 : 12);
		parts[i] = (struct iovec){ &segments[i], size };
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &parts[i], .msg_iovlen = 1 };
	}
	until_asked();
	ready();
	start = now_us();
	while (!ended) {
		long long due = (now_us() - start) * rate / 1e6;

		/* What could not be sent in time stays unsent, so that a hiccup is no burst. */
		if (due - sent > rate / 20)
			sent = due - rate / 20;
		while (sent < due && !ended) {
			int want = due - sent < BATCH ? due - sent : BATCH, done;

			for (int i = 0; i < want; i++) {
				struct tcphdr *header = &segments[i].header;

				header->seq = data ? htonl(next + (sent + i) % WINDOW * PAYLOAD) : (unsigned int)rand();
				header->ack_seq = data ? htonl(acknowledged) : syn ? 0 : (unsigned int)rand();
				if (!data)
					header->source = htons(10000 + rand() % 55000);
				header->check = 0;
				header->check = checksum(&segments[i], size);
			}
			done = sendmmsg(fd, messages, want, MSG_DONTWAIT);
			sent += done > 0 ? done : 1;
			total += done > 0 ? done : 0;
		}
		usleep(1000);
	}
	printf("{\"segments\":%lld}\n", total);
	return 0;
}
