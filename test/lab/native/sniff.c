// sniff [TUN]: tells what IP packets a pod receives, on all its devices; or what it sends out of a device that hands packets without
// a link-layer header to this program, and that this program makes. Prints {"ready":true}, and at the end, on SIGTERM, one line for
// each kind of packet: the source address, the version, the protocol after the IP header, the code point and the ECN bits in it,
// how many arrived, and how many of them had a wrong IPv4 header checksum.
#include "program.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST = 1 << 16, KINDS = 256 };

struct kind {
  char from[INET6_ADDRSTRLEN];
  int version, protocol, dscp, ecn;
  unsigned long packets, wrong;
};

static struct kind kinds[KINDS];
static unsigned char packet[MOST];

static int is_wrong(const unsigned char *header, int bytes) {
  unsigned sum = 0;
  for (int i = 0; i < bytes; i += 2) sum += header[i] << 8 | header[i + 1];
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return sum != 0xffff;
}

static void count(const struct kind *found) {
  for (struct kind *kind = kinds; kind < kinds + KINDS; kind++) {
    if (kind->packets == 0) *kind = *found, kind->packets = kind->wrong = 0;
    if (strcmp(kind->from, found->from) || kind->protocol != found->protocol) continue;
    if (kind->version != found->version || kind->dscp != found->dscp || kind->ecn != found->ecn) continue;
    kind->packets++;
    kind->wrong += found->wrong;
    return;
  }
}

static void look(const unsigned char *packet, ssize_t length) {
  struct kind found = {.version = length ? packet[0] >> 4 : 0};
  int class = length < 2 ? 0 : found.version == 4 ? packet[1] : (packet[0] & 15) << 4 | packet[1] >> 4;
  if (found.version == 4 && length >= 20) {
    inet_ntop(AF_INET, packet + 12, found.from, sizeof found.from);
    found.protocol = packet[9];
    found.wrong = is_wrong(packet, (packet[0] & 15) * 4);
  } else if (found.version == 6 && length >= 40) {
    inet_ntop(AF_INET6, packet + 8, found.from, sizeof found.from);
    found.protocol = packet[6];
  }
  found.dscp = class >> 2;
  found.ecn = class & 3;
  count(&found);
}

static int open_packets(void) {
  int handle = socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_ALL)), size = 8 << 20;
  if (handle < 0 || setsockopt(handle, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0) die("packet");
  return handle;
}

static int open_tun(const char *name) {
  struct ifreq device = {.ifr_flags = IFF_TUN | IFF_NO_PI};
  int handle = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
  strncpy(device.ifr_name, name, IFNAMSIZ - 1);
  if (handle < 0 || ioctl(handle, TUNSETIFF, &device) < 0) die("tun");
  return handle;
}

// Whether this is the type of an IP packet, or of a tag before one.
static int is_type(const unsigned char *bytes) {
  int type = bytes[0] << 8 | bytes[1];
  return type == ETHERTYPE_IP || type == ETHERTYPE_IPV6 || type == ETHERTYPE_VLAN;
}

// Looks at one packet; 0 when there is none.
static int take(int handle, int is_tun) {
  struct sockaddr_ll from = {.sll_protocol = htons(ETHERTYPE_IP)};
  socklen_t size = sizeof from;
  ssize_t length = is_tun ? read(handle, packet, sizeof packet)
                          : recvfrom(handle, packet, sizeof packet, MSG_DONTWAIT, (void *)&from, &size);
  // Of a packet with several tags the kernel takes the outermost off, and may call it by the type behind the innermost.
  int start = 0;
  for (; length >= start + 4 && packet[start] >> 4 == 0 && is_type(packet + start + 2); start += 4) {
  }
  int is_ip = start > 0 || is_type((void *)&from.sll_protocol);
  if (length >= 0 && is_ip && from.sll_pkttype != PACKET_OUTGOING) look(packet + start, length - start);
  return length >= 0;
}

int main(int count, char **arguments) {
  struct sigaction action = {.sa_handler = end};
  sigaction(SIGTERM, &action, NULL);
  int is_tun = count > 1, handle = is_tun ? open_tun(arguments[1]) : open_packets();
  puts("{\"ready\":true}");
  fflush(stdout);
  struct pollfd readable = {.fd = handle, .events = POLLIN};
  while (!ended) {
    poll(&readable, 1, 100);
    while (take(handle, is_tun)) {
    }
  }
  for (struct kind *kind = kinds; kind < kinds + KINDS && kind->packets; kind++)
    printf("{\"from\":\"%s\",\"version\":%d,\"protocol\":%d,\"dscp\":%d,\"ecn\":%d,\"packets\":%lu,\"wrong\":%lu}\n", kind->from,
           kind->version, kind->protocol, kind->dscp, kind->ecn, kind->packets, kind->wrong);
  return 0;
}
