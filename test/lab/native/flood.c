// flood KIND OPTION HOST BYTES PER_SECOND SOCKETS: sends as many packets (or writes, on a stream) a second as it is told, whatever
// becomes of them. Prints {"ready":true}, and at the end, on SIGTERM, how many were sent.
//   KIND    udp, udplite, ping (a ping socket), icmp (a raw one), raw (protocol 253), own (raw, with a header of its own), tcp, mptcp,
//           connect (a connection for each packet), packet (AF_PACKET)
//   OPTION  none; destination or hop-by-hop: an IPv6 header of 8 bytes; options: 4 bytes of IPv4 options;
//           segments: UDP segmentation offload, 1400 bytes a segment; tag, tags: one or two VLAN tags, and an IPv4 header that says it
//           comes from HOST (packet); short: begins as an IPv4 header does (packet)
#include "traffic.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <time.h>

enum { MOST = 65536, SOCKETS = 64 };

static unsigned char packet[MOST];
static unsigned long sent, refused;
static int error;  // why the last one was refused

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

static void set_option(int handle, const char *option) {
  // Next header and length are the kernel's; then PadN of 4 bytes. RFC 8200, 4.2.
  static const unsigned char extension[8] = {0, 0, 1, 4};
  static const unsigned char options[4] = {IPOPT_NOP, IPOPT_NOP, IPOPT_NOP, IPOPT_NOP};
  int result = 0, segment = 1400;
  if (is(option, "destination")) result = setsockopt(handle, IPPROTO_IPV6, IPV6_DSTOPTS, extension, sizeof extension);
  if (is(option, "hop-by-hop")) result = setsockopt(handle, IPPROTO_IPV6, IPV6_HOPOPTS, extension, sizeof extension);
  if (is(option, "options")) result = setsockopt(handle, IPPROTO_IP, IP_OPTIONS, options, sizeof options);
  if (is(option, "segments")) result = setsockopt(handle, SOL_UDP, UDP_SEGMENT, &segment, sizeof segment);
  if (result < 0) die(option);
}

// Writes the headers that are the program's own into the packet.
static void prepare(const char *kind, const struct sockaddr_storage *to, int bytes) {
  if (is(kind, "ping") || is(kind, "icmp")) {
    packet[0] = to->ss_family == AF_INET ? ICMP_ECHO : ICMP6_ECHO_REQUEST;
    // The checksum of a request that is otherwise zero; for IPv6 and for ping sockets the kernel computes it.
    if (to->ss_family == AF_INET) memset(packet + 2, 0xff, 2), packet[2] -= ICMP_ECHO;
  }
  if (is(kind, "own") && to->ss_family == AF_INET) {
    struct iphdr *header = (void *)packet;
    *header = (struct iphdr){.version = 4, .ihl = 5, .ttl = 64, .protocol = EXPERIMENT};
    header->daddr = ((const struct sockaddr_in *)to)->sin_addr.s_addr;
  }
  if (is(kind, "own") && to->ss_family == AF_INET6) {
    struct ip6_hdr *header = (void *)packet;
    header->ip6_vfc = 6 << 4;
    header->ip6_plen = htons(bytes - sizeof *header);
    header->ip6_nxt = EXPERIMENT;
    header->ip6_hlim = 64;
    header->ip6_dst = ((const struct sockaddr_in6 *)to)->sin6_addr;
  }
}

// What follows the Ethernet header of a tagged packet: the rest of each tag, and the type of what comes after it.
static void prepare_tagged(int tags, const struct sockaddr_storage *from) {
  struct iphdr *header = (void *)(packet + 4 * tags);
  unsigned sum = 0;
  for (int i = 0; i < tags; i++) {
    unsigned short type = htons(i == tags - 1 ? ETHERTYPE_IP : ETHERTYPE_VLAN);
    packet[4 * i + 1] = 7;
    memcpy(packet + 4 * i + 2, &type, sizeof type);
  }
  *header = (struct iphdr){.version = 4, .ihl = 5, .tot_len = htons(sizeof *header), .ttl = 64, .protocol = EXPERIMENT};
  header->saddr = ((const struct sockaddr_in *)from)->sin_addr.s_addr;
  header->daddr = INADDR_BROADCAST;
  for (unsigned short *word = (void *)header; word < (unsigned short *)(header + 1); word++) sum += *word;
  sum = (sum & 0xffff) + (sum >> 16);
  header->check = ~(sum + (sum >> 16));
}

static int open_packet_socket(void) {
  int handle = socket(AF_PACKET, SOCK_DGRAM, htons(ETHERTYPE_IP));
  struct sockaddr_ll device = {.sll_family = AF_PACKET, .sll_ifindex = if_nametoindex("eth0")};
  if (handle < 0 || bind(handle, (void *)&device, sizeof device) < 0) die("packet");
  return handle;
}

static void send_one(const char *kind, int type, int handle, const struct sockaddr_storage *to, socklen_t length, int bytes) {
  static const struct sockaddr_ll everybody = {
      .sll_family = AF_PACKET, .sll_protocol = ETHERTYPE_IP, .sll_halen = 6, .sll_addr = {255, 255, 255, 255, 255, 255}};
  ssize_t result;
  if (is(kind, "connect")) {
    int connection = open_socket("tcp", to->ss_family);
    result = connect(connection, (const void *)to, length);
    close(connection);
  } else if (is(kind, "packet")) {
    struct sockaddr_ll device = everybody;
    device.sll_protocol = htons(type);
    device.sll_ifindex = if_nametoindex("eth0");
    result = sendto(handle, packet, bytes, 0, (void *)&device, sizeof device);
  } else {
    // A stream that is full takes no more; a datagram always goes.
    result = send(handle, packet, bytes, is_stream(kind) ? MSG_DONTWAIT | MSG_NOSIGNAL : 0);
  }
  if (result >= 0) {
    sent++;
    return;
  }
  refused++;
  error = errno;
}

int main(int count, char **arguments) {
  if (count != 7) {
    fputs("usage: flood KIND OPTION HOST BYTES PER_SECOND SOCKETS\n", stderr);
    return 2;
  }
  const char *kind = arguments[1];
  int bytes = atoi(arguments[4]), sockets = atoi(arguments[6]), handles[SOCKETS], yes = 1;
  double per_second = atof(arguments[5]);
  struct sockaddr_storage to;
  socklen_t length = address_of(arguments[3], PORT, &to);
  if (bytes < 0 || bytes > MOST || sockets < 1 || sockets > SOCKETS) return 2;
  struct sigaction action = {.sa_handler = end};
  sigaction(SIGTERM, &action, NULL);

  int tags = is(kind, "packet") ? is(arguments[2], "tag") + 2 * is(arguments[2], "tags") : 0;
  prepare(kind, &to, bytes);
  if (tags) prepare_tagged(tags, &to);
  if (is(arguments[2], "short")) packet[0] = 0x45;
  for (int i = 0; i < sockets; i++) {
    handles[i] = -1;
    if (is(kind, "packet")) handles[i] = open_packet_socket();
    if (is(kind, "packet") || is(kind, "connect")) continue;
    handles[i] = open_socket(kind, to.ss_family);
    set_option(handles[i], arguments[2]);
    if (connect(handles[i], (void *)&to, length) < 0) die("connect");
    if (is_stream(kind) && setsockopt(handles[i], IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) < 0) die("TCP_NODELAY");
  }
  puts("{\"ready\":true}");
  fflush(stdout);

  double start = now();
  for (unsigned long tried = 0; !ended;) {
    unsigned long due = (now() - start) * per_second;
    for (; tried < due && !ended; tried++) send_one(kind, tags ? ETHERTYPE_VLAN : ETHERTYPE_IP, handles[tried % sockets], &to, length, bytes);
    usleep(1000);
  }
  printf("{\"sent\":%lu,\"refused\":%lu,\"errno\":%d}\n", sent, refused, error);
  return 0;
}
