/*
 * datagram-source HOST PORT: sends datagrams with segmentation offload (UDP_SEGMENT) as QUIC does: paced bursts of up to
 * ten, a congestion window that grows by what is acknowledged and shrinks to 0.7 once a round trip that has lost something
 * (RFC 9002, 7.3), and two datagrams after a time without any answer. Ends at SIGTERM.
 */
#define _GNU_SOURCE
#include "load.h"
#include "datagram.h"
#include <netinet/udp.h>
#include <poll.h>

#define BURST 10
#define FIRST_WINDOW (10.0 * DATAGRAM_SIZE)
#define LEAST_WINDOW (2.0 * DATAGRAM_SIZE)
#define LEAST_TIMEOUT_US 50000

static double window = FIRST_WINDOW, threshold = 1e18, rtt_us = 1000;
static uint64_t next_number, known, received, lost, recovery; /* `known`: numbers below it have arrived or are lost */
static long long answered_us;

static void reduce(double factor)
{
	window = window * factor > LEAST_WINDOW ? window * factor : LEAST_WINDOW;
	threshold = window;
	recovery = next_number;
}

static void take(const struct feedback *feedback, long long now)
{
	double fresh = (double)(feedback->received - received) * DATAGRAM_SIZE;

	received = feedback->received;
	if (feedback->highest + 1 > known)
		known = feedback->highest + 1;
	rtt_us += (now - feedback->sent_us - rtt_us) / 8;
	answered_us = now;
	if (known - received > lost) {
		if (feedback->highest >= recovery)
			reduce(0.7);
		lost = known - received;
	} else if (feedback->highest >= recovery) {
		window += window < threshold ? fresh : fresh * DATAGRAM_SIZE / window;
	}
}

/* Returns how many bytes went out. */
static int send_burst(int fd, long long now)
{
	static struct datagram burst[BURST];
	long long room = (long long)(window / DATAGRAM_SIZE) - (long long)(next_number - known);
	int count = room < BURST ? room : BURST;

	if (count < 1)
		return 0;
	for (int i = 0; i < count; i++) {
		burst[i].number = next_number++;
		burst[i].sent_us = now;
	}
	/* What a full queue of the machine itself refuses is lost like any other. */
	send(fd, burst, count * DATAGRAM_SIZE, MSG_DONTWAIT);
	return count * DATAGRAM_SIZE;
}

int main(int argc, char **argv)
{
	struct sockaddr_storage to;
	struct feedback feedback;
	socklen_t length;
	long long send_us;
	int fd, size = DATAGRAM_SIZE;

	if (argc != 3)
		return 2;
	length = address(&to, argv[1], atoi(argv[2]));
	fd = socket(to.ss_family, SOCK_DGRAM, 0);
	if (setsockopt(fd, SOL_UDP, UDP_SEGMENT, &size, sizeof(size)) || connect(fd, (void *)&to, length))
		die("UDP_SEGMENT");
	until_asked();
	ready();
	send_us = answered_us = now_us();
	while (!ended) {
		long long now = now_us(), timeout = 3 * rtt_us > LEAST_TIMEOUT_US ? 3 * rtt_us : LEAST_TIMEOUT_US, wait;
		struct pollfd readable = { fd, POLLIN, 0 };

		while (recv(fd, &feedback, sizeof(feedback), MSG_DONTWAIT) == sizeof(feedback))
			take(&feedback, now);
		if (now - answered_us > timeout && next_number > known) {
			known = next_number;
			lost = known - received;
			window = LEAST_WINDOW;
			recovery = next_number;
			answered_us = now;
		}
		if (now >= send_us) {
			int sent = send_burst(fd, now);

			/* A quarter faster than a window each round trip (RFC 9002, 7.7). */
			if (sent)
				send_us = now + sent * rtt_us / (1.25 * window);
		}
		wait = send_us > now ? send_us - now : 1000;
		ppoll(&readable, 1, &(struct timespec){ 0, wait * 1000 > 999999999 ? 999999999 : wait * 1000 }, 0);
	}
	return 0;
}
