// keep NAME PATH: opens the file and asks init, on descriptor 3, to keep it under the name. A shell
// can send no descriptors.
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int count, char **arguments) {
  char request[256], reply[4097];
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(int))];
  } control = {.space = {0}};
  if (count != 3) return 2;
  int fd = open(arguments[2], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return 1;
  struct iovec bytes = {request, (size_t)snprintf(request, sizeof request, "store %s", arguments[1])};
  struct msghdr message = {
      .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  struct cmsghdr *part = CMSG_FIRSTHDR(&message);
  part->cmsg_level = SOL_SOCKET;
  part->cmsg_type = SCM_RIGHTS;
  part->cmsg_len = CMSG_LEN(sizeof fd);
  memcpy(CMSG_DATA(part), &fd, sizeof fd);
  if (sendmsg(3, &message, 0) < 0) return 1;
  ssize_t length = recv(3, reply, sizeof reply - 1, 0);
  if (length < 0) return 1;
  reply[length] = '\0';
  fprintf(stderr, "kept=%s\n", reply);
  return 0;
}
