#define _GNU_SOURCE
#include "CLinuxBoot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

int clinux_reboot(unsigned int command) { return reboot((int)command); }

static void remove_contents(int directory, dev_t device) {
  DIR *stream = fdopendir(directory);
  if (!stream) {
    close(directory);
    return;
  }
  struct dirent *entry;
  while ((entry = readdir(stream))) {
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    struct stat status;
    if (fstatat(directory, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0 || status.st_dev != device) continue;
    if (S_ISDIR(status.st_mode)) {
      int child = openat(directory, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
      if (child >= 0) remove_contents(child, device);
      unlinkat(directory, entry->d_name, AT_REMOVEDIR);
    } else {
      unlinkat(directory, entry->d_name, 0);
    }
  }
  closedir(stream);
}

int clinux_remove_memory_tree(int directory) {
  const long tmpfs = 0x01021994, ramfs = 0x858458f6; /* linux/magic.h */
  struct statfs system;
  struct stat status;
  if (fstatfs(directory, &system) < 0 || fstat(directory, &status) < 0) {
    close(directory);
    return -1;
  }
  if (system.f_type != tmpfs && system.f_type != ramfs) {
    close(directory);
    errno = EINVAL;
    return -1;
  }
  remove_contents(directory, status.st_dev);
  return 0;
}

int clinux_uevent_socket(void) {
  int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
  if (fd < 0) return -1;
  int room = 4 << 20;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
  struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = 1};
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
    int error = errno;
    close(fd);
    errno = error;
    return -1;
  }
  return fd;
}

long clinux_uevent_receive(int fd, void *buffer, size_t size) {
  struct sockaddr_nl from = {0};
  socklen_t length = sizeof from;
  ssize_t got = recvfrom(fd, buffer, size, 0, (struct sockaddr *)&from, &length);
  return got > 0 && from.nl_pid != 0 ? 0 : got;
}

int clinux_raise_interface(const char *name) {
  struct ifreq request = {0};
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  int result = ioctl(fd, SIOCGIFFLAGS, &request);
  if (result == 0) {
    request.ifr_flags |= IFF_UP;
    result = ioctl(fd, SIOCSIFFLAGS, &request);
  }
  int error = errno;
  close(fd);
  errno = error;
  return result;
}

int clinux_execute(const char *path, char *const *argv) { return execv(path, argv); }

static const char *fault_path;
static char *fault_arguments[9];
static char fault_number[4];
static char fault_stack[64 << 10];

static void on_fault(int number) {
  fault_number[0] = (char)('0' + number / 10);
  fault_number[1] = (char)('0' + number % 10);
  execv(fault_path, fault_arguments);
  /* Nothing is left to try; a PID 1 that ends takes the kernel with it. */
  for (;;) pause();
}

int clinux_execute_on_fault(const char *path, char *const *argv) {
  size_t count = 0;
  for (; argv[count]; count++) {
    if (count == 7) {
      errno = E2BIG;
      return -1;
    }
    fault_arguments[count] = argv[count];
  }
  fault_arguments[count] = fault_number;
  fault_arguments[count + 1] = NULL;
  fault_path = path;
  stack_t stack = {.ss_sp = fault_stack, .ss_size = sizeof fault_stack};
  if (sigaltstack(&stack, NULL) < 0) return -1;
  /* SA_NODEFER: the signal must not stay blocked in the program that takes over. */
  struct sigaction action = {.sa_handler = on_fault, .sa_flags = SA_ONSTACK | SA_NODEFER};
  const int faults[] = {SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS};
  for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
    if (sigaction(faults[i], &action, NULL) < 0) return -1;
  }
  return 0;
}

const char *clinux_kernel_release(void) {
  static struct utsname name;
  return uname(&name) == 0 ? name.release : "";
}
