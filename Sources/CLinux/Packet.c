/* Packets as an interface sees them: packet(7). */
#define _GNU_SOURCE
#include "CLinux.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int clinux_packet_open(const char *interface) {
  unsigned index = if_nametoindex(interface);
  if (index == 0) return -1;
  int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  int on = 1;
  struct sockaddr_ll address = {
      .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)index};
  if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) < 0 ||
      setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof on) < 0 ||
      bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
    int error = errno;
    close(fd);
    errno = error;
    return -1;
  }
  return fd;
}

ssize_t clinux_packet_receive(int fd, uint8_t *bytes, size_t count, struct clinux_packet *packet) {
  enum { addresses = 2 * ETH_ALEN, tag = 4 };
  struct sockaddr_ll from;
  _Alignas(struct cmsghdr) char control[256];
  struct iovec place = {.iov_base = bytes, .iov_len = count > tag ? count - tag : 0};
  struct msghdr message = {
      .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &place, .msg_iovlen = 1,
      .msg_control = control, .msg_controllen = sizeof control};
  ssize_t length = recvmsg(fd, &message, MSG_TRUNC);
  if (length < 0) return -1;
  size_t kept = (size_t)length < place.iov_len ? (size_t)length : place.iov_len;
  *packet = (struct clinux_packet){.length = (size_t)length, .is_outgoing = from.sll_pkttype == PACKET_OUTGOING};
  for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_TIMESTAMPNS) {
      struct timespec time;
      memcpy(&time, CMSG_DATA(part), sizeof time);
      packet->nanoseconds = (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
    }
    if (part->cmsg_level == SOL_PACKET && part->cmsg_type == PACKET_AUXDATA) {
      struct tpacket_auxdata data;
      memcpy(&data, CMSG_DATA(part), sizeof data);
      if (!(data.tp_status & TP_STATUS_VLAN_VALID) || kept < addresses) continue;
      /* The kernel took the tag out; it goes back to where it was. */
      uint16_t type = data.tp_status & TP_STATUS_VLAN_TPID_VALID ? data.tp_vlan_tpid : ETH_P_8021Q;
      uint16_t words[2] = {htons(type), htons(data.tp_vlan_tci)};
      memmove(bytes + addresses + tag, bytes + addresses, kept - addresses);
      memcpy(bytes + addresses, words, tag);
      kept += tag;
      packet->length += tag;
    }
  }
  return (ssize_t)kept;
}
