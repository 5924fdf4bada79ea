/*
 * request-server PORT: answers the requests of request-client.c. Each begins with three 32-bit numbers: the bytes of the
 * request, of the answer, and whether the connection stays open for another. Every 100 ms prints `[time in us, bytes that
 * it has received]`.
 */
#define _GNU_SOURCE
#include "load.h"
#include "request.h"
#include <sys/epoll.h>

#define PERIOD_US 100000

struct connection {
	int fd, waits;
	struct request_header header;
	long long got, left;
};
static char bytes[1 << 17];
static int poll_fd;
static long long received;

static void wait_for(struct connection *one, int events)
{
	struct epoll_event event = { .events = events, .data.ptr = one };

	epoll_ctl(poll_fd, EPOLL_CTL_MOD, one->fd, &event);
	one->waits = events;
}

/* Returns whether the connection stays open. */
static int answer(struct connection *one)
{
	while (one->left > 0) {
		ssize_t sent = send(one->fd, bytes, one->left < (long long)sizeof(bytes) ? one->left : (long long)sizeof(bytes),
				    MSG_NOSIGNAL);

		if (sent < 0 && errno == EAGAIN) {
			if (one->waits != EPOLLOUT)
				wait_for(one, EPOLLOUT);
			return 1;
		}
		if (sent < 0)
			return 0;
		one->left -= sent;
	}
	one->got = 0;
	if (one->waits != EPOLLIN)
		wait_for(one, EPOLLIN);
	return one->header.keep;
}

static int go_on(struct connection *one)
{
	const long long header = sizeof(one->header);

	if (one->left > 0)
		return answer(one);
	for (;;) {
		/* A header may come in pieces; what follows is thrown away. */
		int begun = one->got >= header;
		ssize_t got = recv(one->fd, begun ? bytes : (char *)&one->header + one->got,
				   begun ? (long long)sizeof(bytes) : header - one->got, 0);

		if (got < 0)
			return errno == EAGAIN || errno == EINTR;
		if (got == 0)
			return 0;
		received += got;
		one->got += got;
		if (one->got >= header && one->got >= one->header.up) {
			one->left = one->header.down;
			return answer(one);
		}
	}
}

static void welcome(int listener)
{
	struct epoll_event event = { .events = EPOLLIN };
	int fd;

	while ((fd = accept4(listener, 0, 0, SOCK_NONBLOCK)) >= 0) {
		struct connection *one = calloc(1, sizeof(*one));

		one->fd = fd;
		one->waits = EPOLLIN;
		event.data.ptr = one;
		epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
	}
}

int main(int argc, char **argv)
{
	struct epoll_event events[64], event = { .events = EPOLLIN };
	long long next = now_us();
	int listener;

	if (argc != 2)
		return 2;
	until_asked();
	allow_many_files();
	poll_fd = epoll_create1(0);
	listener = bound(SOCK_STREAM | SOCK_NONBLOCK, atoi(argv[1]));
	epoll_ctl(poll_fd, EPOLL_CTL_ADD, listener, &event);
	ready();
	while (!ended) {
		long long now = now_us();
		int n;

		if (now >= next) {
			printf("[%lld,%lld]\n", now, received);
			next += PERIOD_US * (1 + (now - next) / PERIOD_US);
		}
		n = epoll_wait(poll_fd, events, 64, (next - now) / 1000 + 1);
		for (int i = 0; i < n; i++) {
			struct connection *one = events[i].data.ptr;

			if (!one) {
				welcome(listener);
			} else if (!go_on(one)) {
				close(one->fd);
				free(one);
			}
		}
	}
	return 0;
}
