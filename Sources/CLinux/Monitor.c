/* What the virtual-machine monitor needs of the kernel beyond KVM. */
#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

int clinux_tap_open(const char *name) {
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
  if (strlen(name) >= IFNAMSIZ) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(request.ifr_name, name);
  int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return -1;
  int header = 12;
  if (ioctl(fd, TUNSETIFF, &request) < 0 || ioctl(fd, TUNSETVNETHDRSZ, &header) < 0) {
    int error = errno;
    close(fd);
    errno = error;
    return -1;
  }
  return fd;
}

int clinux_tap_offload(int fd, unsigned flags) { return ioctl(fd, TUNSETOFFLOAD, (unsigned long)flags); }

int clinux_tap_header(int fd, int count) { return ioctl(fd, TUNSETVNETHDRSZ, &count); }

size_t clinux_terminal_room(void) { return sizeof(struct termios); }

int clinux_terminal_raw(int fd, void *saved) {
  struct termios mode;
  if (tcgetattr(fd, &mode) < 0) return -1;
  memcpy(saved, &mode, sizeof mode);
  cfmakeraw(&mode);
  mode.c_oflag |= OPOST; /* our own lines stay readable; the guest's CR LF passes unchanged */
  return tcsetattr(fd, TCSANOW, &mode);
}

int clinux_terminal_restore(int fd, const void *saved) { return tcsetattr(fd, TCSANOW, saved); }

static void nothing(int signal_number) { (void)signal_number; }

int clinux_kick_handler(int signal_number) {
  struct sigaction action = {.sa_handler = nothing};
  sigemptyset(&action.sa_mask);
  return sigaction(signal_number, &action, NULL);
}

int clinux_unblock(int signal_number) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal_number);
  int error = pthread_sigmask(SIG_UNBLOCK, &set, NULL);
  if (error) {
    errno = error;
    return -1;
  }
  return 0;
}

int clinux_punch_hole(int fd, int64_t offset, int64_t length) {
  return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
}

int clinux_zero_range(int fd, int64_t offset, int64_t length, int keep_allocated) {
  if (!keep_allocated) return clinux_punch_hole(fd, offset, length);
  int code = fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offset, length);
  if (code == 0 || errno != EOPNOTSUPP) return code;
  /* tmpfs, for one, knows holes alone: one is made, and filled. */
  code = clinux_punch_hole(fd, offset, length);
  return code ? code : fallocate(fd, FALLOC_FL_KEEP_SIZE, offset, length);
}

int clinux_block_discard(int fd, uint64_t offset, uint64_t length) {
  uint64_t range[2] = {offset, length};
  return ioctl(fd, BLKDISCARD, range);
}

int clinux_block_zero(int fd, uint64_t offset, uint64_t length) {
  uint64_t range[2] = {offset, length};
  return ioctl(fd, BLKZEROOUT, range);
}

/* glibc 2.41 serves getrandom(3) from memory that it makes when a thread first asks, for which it looks into /sys: not
   for a process that has none. */
ssize_t clinux_random(void *buffer, size_t count) { return syscall(SYS_getrandom, buffer, count, 0); }
