/*
 * short-client HOST PORT UP DOWN CLIENTS: keeps CLIENTS connections to short-server.c going, a new one for each request of
 * UP bytes and answer of DOWN bytes, and prints `[time done in us, us from connect to close]` for each, or `[time, -1]`
 * when it failed or took ten seconds.
 */
#define _GNU_SOURCE
#include "load.h"
#include <sys/epoll.h>

#define MOST 1024
#define TOO_LONG_US 10000000

static struct request {
	int fd;
	long long begun, up, down;
} requests[MOST];
static char bytes[65536];
static int poll_fd;

static void begin(struct request *one, const struct sockaddr_storage *to, socklen_t size)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT, .data.ptr = one };

	*one = (struct request){ .fd = socket(to->ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0), .begun = now_us() };
	if (one->fd < 0 || (connect(one->fd, (void *)to, size) && errno != EINPROGRESS))
		die("connect");
	epoll_ctl(poll_fd, EPOLL_CTL_ADD, one->fd, &event);
}

/* 1 when the request is done, -1 when it failed, else 0. */
static int go_on(struct request *one, long long up, long long down)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = one };
	ssize_t done;

	if (one->up < up) {
		done = send(one->fd, bytes, up - one->up, MSG_NOSIGNAL);
		if (done > 0)
			one->up += done;
		else if (errno != EAGAIN && errno != ENOTCONN)
			return -1;
		if (one->up == up)
			epoll_ctl(poll_fd, EPOLL_CTL_MOD, one->fd, &event);
	}
	done = recv(one->fd, bytes, sizeof(bytes), 0);
	if (done > 0)
		one->down += done;
	if (done == 0)
		return one->down == down ? 1 : -1;
	return done < 0 && errno != EAGAIN && errno != ENOTCONN ? -1 : 0;
}

static void ask(const struct sockaddr_storage *to, socklen_t size, long long up, long long down, int clients)
{
	struct epoll_event event;

	ready();
	for (int i = 0; i < clients; i++)
		begin(&requests[i], to, size);
	while (!ended) {
		int n = epoll_wait(poll_fd, &event, 1, 1000);
		long long now = now_us();

		for (int i = 0; i < clients; i++) {
			struct request *one = &requests[i];
			int state = n == 1 && event.data.ptr == one ? go_on(one, up, down) : 0;

			if (now - one->begun > TOO_LONG_US)
				state = -1;
			if (!state)
				continue;
			printf("[%lld,%lld]\n", now, state > 0 ? now - one->begun : -1);
			close(one->fd);
			begin(one, to, size);
		}
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_storage to;

	if (argc != 6 || atoi(argv[5]) > MOST)
		return 2;
	until_asked();
	poll_fd = epoll_create1(0);
	ask(&to, address(&to, argv[1], atoi(argv[2])), atoll(argv[3]), atoll(argv[4]), atoi(argv[5]));
	return 0;
}
