/*
 * request-client HOST PORT UP DOWN MOST_DOWN CONNECTIONS PER_SECOND KEEP TIMEOUT_MS: sends requests of UP bytes to
 * request-server.c and receives answers of DOWN to MOST_DOWN bytes, small ones as often as large ones (log-uniform). With
 * PER_SECOND 0, each of CONNECTIONS clients asks as soon as it has an answer (closed loop); otherwise so many requests
 * begin each second whatever becomes of them (open loop), at most CONNECTIONS at a time. With KEEP 1 the connections are
 * opened at the start and stay open, otherwise each request has its own.
 *
 * Prints `[time done in us, us since it was due, bytes]` for each request, `[time, -1, 0]` for one that failed, and at
 * SIGTERM `[time, us waited, 0]` for each that still waits; every 100 ms `[time, bytes received]`.
 */
#define _GNU_SOURCE
#include "load.h"
#include "request.h"
#include <math.h>
#include <sys/epoll.h>

#define MOST 32768
#define PERIOD_US 100000
#define MIN(a, b) ((a) < (b) ? (a) : (b))

static struct client {
	int fd, busy, waits;
	struct request_header header;
	long long due, up, down;
} clients[MOST];
static int idle[MOST], idle_count;
static struct sockaddr_storage to;
static socklen_t to_size;
static char bytes[1 << 17];
static long long up, down, most_down, timeout_us, received;
static int poll_fd, keep;

static void connect_client(struct client *one)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = one };

	one->fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (one->fd < 0 || (connect(one->fd, (void *)&to, to_size) && errno != EINPROGRESS))
		die("connect");
	one->waits = EPOLLIN;
	epoll_ctl(poll_fd, EPOLL_CTL_ADD, one->fd, &event);
}

static void wait_for(struct client *one, int events)
{
	struct epoll_event event = { .events = events, .data.ptr = one };

	if (one->waits == events)
		return;
	epoll_ctl(poll_fd, EPOLL_CTL_MOD, one->fd, &event);
	one->waits = events;
}

static void finish(struct client *one, long long took, int failed)
{
	printf("[%lld,%lld,%lld]\n", now_us(), failed ? -1 : took, failed ? 0 : one->up + one->down);
	if (failed || !keep) {
		close(one->fd);
		one->fd = -1;
	}
	one->busy = 0;
	idle[idle_count++] = one - clients;
}

/* 1 when the answer is complete, -1 when the connection failed, else 0. */
static int go_on(struct client *one)
{
	ssize_t done;

	while (one->busy && one->up < one->header.up) {
		int in_header = one->up < (long long)sizeof(one->header);
		const char *from = in_header ? (char *)&one->header + one->up : bytes;
		long long left = in_header ? (long long)sizeof(one->header) - one->up : one->header.up - one->up;

		/* Header and body go out together. */
		done = send(one->fd, from, MIN(left, (long long)sizeof(bytes)), MSG_NOSIGNAL | (in_header ? MSG_MORE : 0));
		if (done < 0 && (errno == EAGAIN || errno == ENOTCONN)) {
			wait_for(one, EPOLLIN | EPOLLOUT);
			break;
		}
		if (done < 0)
			return -1;
		one->up += done;
	}
	if (one->up == one->header.up)
		wait_for(one, EPOLLIN);
	while ((done = recv(one->fd, bytes, sizeof(bytes), 0)) > 0) {
		received += done;
		one->down += done;
	}
	if (done < 0 && errno != EAGAIN && errno != ENOTCONN)
		return -1;
	if (!one->busy)
		return done == 0 ? -1 : 0;
	if (one->down == one->header.down && (keep || done == 0))
		return 1;
	return done == 0 ? -1 : 0;
}

static void advance(struct client *one)
{
	int state = go_on(one);

	if (state && one->busy) {
		finish(one, now_us() - one->due, state < 0);
	} else if (state) {
		/* One that nobody uses and that the server has closed. */
		close(one->fd);
		one->fd = -1;
	}
}

static void begin(long long due)
{
	struct client *one = &clients[idle[--idle_count]];
	double part = rand() / (double)RAND_MAX;

	if (one->fd < 0)
		connect_client(one);
	one->header = (struct request_header){ up, down * pow((double)most_down / down, part), keep };
	one->busy = 1;
	one->due = due;
	one->up = one->down = 0;
	advance(one);
}

static void give_up_late_ones(int count, long long now)
{
	for (int i = 0; i < count; i++)
		if (clients[i].busy && now - clients[i].due > timeout_us)
			finish(&clients[i], 0, 1);
}

static void ask(int count, double per_second)
{
	struct epoll_event events[64];
	long long start = now_us(), next = start, asked = 0;

	while (!ended) {
		long long now = now_us(), due, wake;
		int n;

		while (!per_second && idle_count)
			begin(now);
		for (; per_second && idle_count; asked++) {
			due = start + asked * 1e6 / per_second;
			if (due > now)
				break;
			begin(due);
		}
		if (now >= next) {
			printf("[%lld,%lld]\n", now, received);
			give_up_late_ones(count, now);
			next += PERIOD_US * (1 + (now - next) / PERIOD_US);
		}
		wake = per_second && idle_count ? MIN(next, start + asked * 1e6 / per_second) : next;
		wake = wake > now ? wake - now : 0;
		n = epoll_pwait2(poll_fd, events, 64, &(struct timespec){ wake / 1000000, wake % 1000000 * 1000 }, 0);
		for (int i = 0; i < n; i++) {
			struct client *one = events[i].data.ptr;

			if (one->fd >= 0)
				advance(one);
		}
	}
}

int main(int argc, char **argv)
{
	int count = argc == 10 ? atoi(argv[6]) : 0;
	long long now;

	if (count < 1 || count > MOST)
		return 2;
	to_size = address(&to, argv[1], atoi(argv[2]));
	up = atoll(argv[3]);
	down = atoll(argv[4]);
	most_down = atoll(argv[5]);
	keep = atoi(argv[8]);
	timeout_us = atoll(argv[9]) * 1000;
	if (up < (long long)sizeof(struct request_header) || down < 1 || most_down < down)
		return 2;
	until_asked();
	allow_many_files();
	poll_fd = epoll_create1(0);
	for (int i = count; i-- > 0;) {
		clients[i].fd = -1;
		idle[idle_count++] = i;
		if (keep)
			connect_client(&clients[i]);
	}
	ready();
	ask(count, atof(argv[7]));
	now = now_us();
	for (int i = 0; i < count; i++)
		if (clients[i].busy)
			printf("[%lld,%lld,0]\n", now, now - clients[i].due);
	return 0;
}
