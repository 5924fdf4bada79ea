// sink NAME PORT: receives TCP connections and datagrams on PORT and throws them away. Every 100 ms prints
// `sample SECONDS NAME TCP UDP`: seconds of CLOCK_MONOTONIC, payload bytes of all connections and of all datagrams so far.
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PERIOD_MS = 100, EVENTS = 16 };

static long long now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static int bound(int type, int port) {
  int fd = socket(AF_INET, type | SOCK_NONBLOCK, 0), one = 1, buffer = 4 << 20;
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  // What the limit lets pass must not be lost here because this program was not scheduled.
  if (type == SOCK_DGRAM) setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
  if (bind(fd, (struct sockaddr *)&at, sizeof at) || (type == SOCK_STREAM && listen(fd, 64))) {
    perror("sink");
    exit(1);
  }
  return fd;
}

// MSG_TRUNC throws the bytes away without copying them (tcp(7)), and tells a datagram's whole length (udp(7)).
static long long receive(int fd, size_t size) {
  long long sum = 0;
  ssize_t got;
  while ((got = recv(fd, 0, size, MSG_TRUNC | MSG_DONTWAIT)) > 0) sum += got;
  // The end of a connection, or its reset.
  if (size > 0 && (got == 0 || errno != EAGAIN)) close(fd);
  return sum;
}

int main(int count, char **arguments) {
  if (count != 3) return 2;
  int poll = epoll_create1(0), listener = bound(SOCK_STREAM, atoi(arguments[2]));
  int datagrams = bound(SOCK_DGRAM, atoi(arguments[2]));
  struct epoll_event events[EVENTS], event = {.events = EPOLLIN, .data.fd = listener};
  epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
  event.data.fd = datagrams;
  epoll_ctl(poll, EPOLL_CTL_ADD, datagrams, &event);
  long long tcp = 0, udp = 0, next = now_ms();
  for (;;) {
    long long now = now_ms();
    if (now >= next) {
      printf("sample %lld.%03lld %s %lld %lld\n", now / 1000, now % 1000, arguments[1], tcp, udp);
      fflush(stdout);
      next += PERIOD_MS * (1 + (now - next) / PERIOD_MS);
    }
    int ready = epoll_wait(poll, events, EVENTS, next > now ? next - now : 0);
    for (int i = 0; i < ready; i++) {
      int fd = events[i].data.fd;
      if (fd == datagrams) {
        udp += receive(fd, 0);
      } else if (fd != listener) {
        tcp += receive(fd, 1 << 20);
      } else if ((event.data.fd = accept4(listener, 0, 0, SOCK_NONBLOCK)) >= 0) {
        epoll_ctl(poll, EPOLL_CTL_ADD, event.data.fd, &event);
      }
    }
  }
}
