// drain KIND FAMILY: receives what flood sends, FAMILY being 4 or 6. Prints {"ready":true}, and at the end, on SIGTERM, how many
// packets it has received; of a stream it prints nothing, because its packets cannot be told apart.
#include "traffic.h"

#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <poll.h>

enum { BUFFER = 8 << 20 };

static unsigned long packets;
static char buffer[1 << 16];

// Only requests, so that what else arrives (errors, neighbour discovery) is not counted.
static void only_requests(int handle, int family) {
  struct icmp_filter filter = {.data = ~(1U << ICMP_ECHO)};
  struct icmp6_filter filter6;
  ICMP6_FILTER_SETBLOCKALL(&filter6);
  ICMP6_FILTER_SETPASS(ICMP6_ECHO_REQUEST, &filter6);
  int result = family == AF_INET ? setsockopt(handle, SOL_RAW, ICMP_FILTER, &filter, sizeof filter)
                                 : setsockopt(handle, IPPROTO_ICMPV6, ICMP6_FILTER, &filter6, sizeof filter6);
  if (result < 0) die("filter");
}

static void drain_streams(int listener) {
  signal(SIGCHLD, SIG_IGN);
  for (;;) {
    int connection = accept(listener, NULL, NULL);
    if (connection < 0) return;
    if (fork() == 0) {
      // Or the drain would not seem to end, nor its port be free, before they end.
      close(STDOUT_FILENO);
      close(listener);
      while (read(connection, buffer, sizeof buffer) > 0) {
      }
      _exit(0);
    }
    close(connection);
  }
}

static void drain_packets(int handle) {
  struct pollfd readable = {.fd = handle, .events = POLLIN};
  while (!ended) {
    poll(&readable, 1, 100);
    while (recv(handle, buffer, sizeof buffer, MSG_DONTWAIT) >= 0) packets++;
  }
  printf("{\"packets\":%lu}\n", packets);
}

int main(int count, char **arguments) {
  if (count != 3) {
    fputs("usage: drain KIND FAMILY\n", stderr);
    return 2;
  }
  const char *kind = arguments[1];
  int family = atoi(arguments[2]) == 6 ? AF_INET6 : AF_INET, size = BUFFER, yes = 1;
  struct sigaction action = {.sa_handler = end};
  sigaction(SIGTERM, &action, NULL);

  int handle = open_socket(kind, family);
  struct sockaddr_storage any;
  socklen_t length = address_of(family == AF_INET6 ? "::" : "0.0.0.0", PORT, &any);
  if (setsockopt(handle, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0 && !is(kind, "mptcp")) die("SO_RCVBUFFORCE");
  if (setsockopt(handle, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) < 0) die("SO_REUSEADDR");
  if (is(kind, "icmp")) only_requests(handle, family);
  if (bind(handle, (void *)&any, length) < 0) die("bind");
  if (is_stream(kind) && listen(handle, 64) < 0) die("listen");
  puts("{\"ready\":true}");
  fflush(stdout);
  if (is_stream(kind))
    drain_streams(handle);
  else
    drain_packets(handle);
  return 0;
}
