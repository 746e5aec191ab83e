// Sockets of other network namespaces, netlink, and link-layer packets.
//
// A namespace is entered only by a thread that lives for one socket(2): a socket stays in the
// namespace it was made in, so no other thread of Node ever has to leave its own.
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <net/ethernet.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "native.h"

typedef struct {
  int network_namespace;
  int family, type, protocol;
  int fd;
  int error;
} socket_order;

static void make_socket(socket_order *order) {
  order->fd = socket(order->family, order->type | SOCK_CLOEXEC | SOCK_NONBLOCK, order->protocol);
  if (order->fd < 0) order->error = errno;
}

static void *make_socket_elsewhere(void *data) {
  socket_order *order = data;
  if (setns(order->network_namespace, CLONE_NEWNET) < 0)
    order->error = errno;
  else
    make_socket(order);
  return NULL;
}

static int run_in_thread(socket_order *order) {
  // The thread must not be the one that a signal for Node is delivered to.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  int error = pthread_create(&thread, NULL, make_socket_elsewhere, order);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error == 0) pthread_join(thread, NULL);
  return error;
}

// socketIn(network namespace or -1 for our own, family, type, protocol)
GCS_FUNCTION(socket_in) {
  ARGUMENTS(4);
  INT_ARG(network_namespace, 0);
  INT_ARG(family, 1);
  INT_ARG(type, 2);
  INT_ARG(protocol, 3);
  socket_order order = {
      .network_namespace = network_namespace, .family = family, .type = type, .protocol = protocol, .fd = -1};
  if (network_namespace < 0) {
    make_socket(&order);
  } else {
    int error = run_in_thread(&order);
    if (error != 0) order.error = error;
  }
  return gcs_number(env, order.fd >= 0 ? order.fd : -order.error);
}

// netlinkSetUp(fd, group or 0): error texts from the kernel, strict checks of what we ask, and
// membership in a multicast group.
GCS_FUNCTION(netlink_set_up) {
  ARGUMENTS(2);
  INT_ARG(fd, 0);
  INT_ARG(group, 1);
  static const int options[] = {NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK};
  int on = 1;
  for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
    if (setsockopt(fd, SOL_NETLINK, options[i], &on, sizeof on) < 0) return gcs_result(env, -1);
  struct sockaddr_nl address = {.nl_family = AF_NETLINK};
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) return gcs_result(env, -1);
  if (group > 0 && setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0)
    return gcs_result(env, -1);
  return gcs_number(env, 0);
}

// netlinkSend(fd, bytes): to the kernel.
GCS_FUNCTION(netlink_send) {
  ARGUMENTS(2);
  INT_ARG(fd, 0);
  BYTES_ARG(bytes, size, 1);
  ssize_t sent;
  RETRY(sent, send(fd, bytes, size, 0));
  return gcs_result(env, sent);
}

// netlinkReceive(fd, bytes) -> length of one datagram, which is more than `bytes` when it was cut.
// Whoever has CAP_NET_ADMIN in the namespace can write to our port, so only the kernel's own count.
GCS_FUNCTION(netlink_receive) {
  ARGUMENTS(2);
  INT_ARG(fd, 0);
  BYTES_ARG(bytes, size, 1);
  for (;;) {
    struct sockaddr_nl sender = {0};
    socklen_t length = sizeof sender;
    ssize_t received;
    RETRY(received, recvfrom(fd, bytes, size, MSG_TRUNC, (struct sockaddr *)&sender, &length));
    if (received >= 0 && (length < sizeof sender || sender.nl_pid != 0)) continue;
    return gcs_result(env, received);
  }
}

// Only unfragmented UDP datagrams to port 68 of an IP packet socket (SOCK_DGRAM: the IP header is first).
static int filter_dhcp_replies(int fd) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 6),
      BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 6),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x3fff, 4, 0),
      BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
      BPF_STMT(BPF_LD | BPF_H | BPF_IND, 2),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 68, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0xffff),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

static struct sockaddr_ll link_address(int index) {
  struct sockaddr_ll address = {
      .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_ifindex = index, .sll_halen = ETH_ALEN};
  return address;
}

// packetBindDhcp(fd, interface index): IP packets of this link that are replies to a DHCP client.
// The socket must have been made with protocol 0, so that nothing came before the filter.
GCS_FUNCTION(packet_bind_dhcp) {
  ARGUMENTS(2);
  INT_ARG(fd, 0);
  INT_ARG(index, 1);
  if (filter_dhcp_replies(fd) < 0) return gcs_result(env, -1);
  struct sockaddr_ll address = link_address(index);
  return gcs_result(env, bind(fd, (struct sockaddr *)&address, sizeof address));
}

// claimDhcpPort(fd, interface index): binds an UDP socket to the client's port on this link. Nobody
// reads it: it keeps the kernel from answering the server that the port is closed.
GCS_FUNCTION(claim_dhcp_port) {
  ARGUMENTS(2);
  INT_ARG(fd, 0);
  INT_ARG(index, 1);
  if (setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &index, sizeof index) < 0) return gcs_result(env, -1);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(68)};
  return gcs_result(env, bind(fd, (struct sockaddr *)&address, sizeof address));
}

// packetSend(fd, bytes of an IP packet, interface index, six bytes of the receiver)
GCS_FUNCTION(packet_send) {
  ARGUMENTS(4);
  INT_ARG(fd, 0);
  BYTES_ARG(bytes, size, 1);
  INT_ARG(index, 2);
  BYTES_ARG(receiver, receiver_size, 3);
  if (receiver_size != ETH_ALEN) return gcs_number(env, -EINVAL);
  struct sockaddr_ll address = link_address(index);
  memcpy(address.sll_addr, receiver, ETH_ALEN);
  ssize_t sent;
  RETRY(sent, sendto(fd, bytes, size, 0, (struct sockaddr *)&address, sizeof address));
  return gcs_result(env, sent);
}

// packetReceive(fd, bytes, out: six bytes of the sender) -> length, more than `bytes` when cut
GCS_FUNCTION(packet_receive) {
  ARGUMENTS(3);
  INT_ARG(fd, 0);
  BYTES_ARG(bytes, size, 1);
  BYTES_ARG(sender, sender_size, 2);
  if (sender_size != ETH_ALEN) return gcs_number(env, -EINVAL);
  struct sockaddr_ll address = {0};
  socklen_t length = sizeof address;
  ssize_t received;
  RETRY(received, recvfrom(fd, bytes, size, MSG_TRUNC, (struct sockaddr *)&address, &length));
  if (received >= 0) memcpy(sender, address.sll_addr, ETH_ALEN);
  return gcs_result(env, received);
}

void init_netlink(napi_env env, napi_value exports) {
  static const gcs_export table[] = {
      {"socketIn", socket_in},
      {"netlinkSetUp", netlink_set_up},
      {"netlinkSend", netlink_send},
      {"netlinkReceive", netlink_receive},
      {"packetBindDhcp", packet_bind_dhcp},
      {"claimDhcpPort", claim_dhcp_port},
      {"packetSend", packet_send},
      {"packetReceive", packet_receive},
  };
  GCS_DEFINE(table);
}
