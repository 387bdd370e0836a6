/* What glibc's headers do not give to Swift: variadic calls, function-like macros, missing syscalls. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "CLinuxBoot.h"
#include "CLinuxJail.h"
#include "CLinuxVhost.h"

/* ioctl(2) is variadic; these are its three shapes. */
int clinux_ioctl_none(int fd, unsigned long request);
int clinux_ioctl_value(int fd, unsigned long request, unsigned long value);
int clinux_ioctl_pointer(int fd, unsigned long request, void *argument);

/* open(2) and fcntl(2) are variadic. O_CLOEXEC is always added. */
int clinux_open(const char *path, int flags, mode_t mode);
int clinux_fcntl(int fd, int command, long argument);

/* Starting a child: everything between fork and exec must be async-signal-safe, so it is C.
   Every descriptor but the mapped ones is closed in the child. */
struct clinux_child {
  const char *path;           /* looked up in PATH when it has no slash */
  char *const *argv;          /* NULL-terminated */
  char *const *envp;          /* NULL-terminated; NULL keeps the caller's */
  const char *cwd;            /* NULL keeps the caller's */
  const int *descriptors;     /* child's descriptor i is a duplicate of descriptors[i]; -1 closes it */
  size_t descriptor_count;
  int new_session;            /* setsid(2): the child leads a session and a process group */
  int controlling_terminal;   /* with new_session: descriptor 0 becomes the controlling terminal */
  int new_process_group;      /* setpgid(0, 0) */
  int parent_death_signal;    /* PR_SET_PDEATHSIG; 0 for none */
  int new_process_namespace;  /* CLONE_NEWPID: the child is process 1 of its own */
  int group;                  /* cgroup.procs of the control group that the child joins; -1 for none */
};

/* Returns the child's pid, or -1 with errno set. A failing exec is reported here too, by its errno. */
pid_t clinux_spawn(const struct clinux_child *request);

/* waitpid(2) decoded: returns pid (0: none yet with no_hang, -1: error). *code is the exit status, or
   minus the signal's number. */
pid_t clinux_wait(pid_t pid, int no_hang, int *code);

/* Calls that the C library's module does not show to Swift without _GNU_SOURCE. All are close-on-exec. */
int clinux_memfd_create(const char *name);
int clinux_accept(int listener);
/* Descriptors that travel with bytes of a socket in the file system (SCM_RIGHTS, unix(7)). */
enum { CLINUX_DESCRIPTOR_ROOM = 4 };
ssize_t clinux_send(int fd, const void *bytes, size_t count, const int *descriptors, size_t descriptor_count);
/* Fills at most CLINUX_DESCRIPTOR_ROOM descriptors; others that came are closed. */
ssize_t clinux_receive(int fd, void *bytes, size_t count, int *descriptors, size_t *descriptor_count);
/* Packets of an interface (packet(7)), which has the right to see only who has CAP_NET_RAW. Non-blocking. */
int clinux_packet_open(const char *interface);
struct clinux_packet {
  uint64_t nanoseconds; /* since 1970; 0 where the kernel did not tell */
  size_t length;        /* of the whole packet, be it that not all of it had room */
  int is_outgoing;      /* the system sent it */
};
/* The next packet with its VLAN tag, which takes 4 bytes of the room; how many bytes of it are there, or -1. */
ssize_t clinux_packet_receive(int fd, uint8_t *bytes, size_t count, struct clinux_packet *packet);
int clinux_pipe(int ends[2]);
int clinux_eventfd(int non_blocking);
int clinux_timerfd(void);                                             /* CLOCK_MONOTONIC, non-blocking */
int clinux_timerfd_set(int fd, uint64_t after_ns, uint64_t every_ns);
int clinux_signalfd(const int *signals, size_t count);                /* blocks them too; non-blocking */
int clinux_signalfd_take(int fd);                                     /* the signal's number, or -1 */
int clinux_epoll_create(void);
/* operation: 1 add, 2 remove, 3 modify (EPOLL_CTL_*) */
int clinux_epoll_control(int epoll, int operation, int fd, uint32_t events, uint64_t token);
/* Fills at most 32 tokens and their events. */
int clinux_epoll_wait(int epoll, uint64_t *tokens, uint32_t *events, int timeout_ms);
int clinux_pidfd_open(pid_t pid);                                      /* readable when the process ended */
const char *clinux_error_text(int error);                             /* static text or NULL */
void clinux_name_thread(const char *name);
int clinux_keep_off_processor(int number); /* the calling thread; 1 done, 0 it has no other, -1 errno */

/* Ring indices that another CPU's guest writes. x86 needs no fence for these, the compiler does. */
static inline uint16_t clinux_load_acquire16(const void *p) { return __atomic_load_n((const uint16_t *)p, __ATOMIC_ACQUIRE); }
static inline void clinux_store_release16(void *p, uint16_t v) { __atomic_store_n((uint16_t *)p, v, __ATOMIC_RELEASE); }

/* Tap devices, terminals and signals for the virtual-machine monitor. */
int clinux_tap_open(const char *name);            /* IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, header of 12 bytes */
int clinux_tap_offload(int fd, unsigned flags);   /* TUN_F_* */
int clinux_tap_header(int fd, int count);         /* TUNSETVNETHDRSZ: 10 or 12 bytes */
int clinux_terminal_raw(int fd, void *saved);     /* saved: clinux_terminal_room() bytes */
int clinux_terminal_restore(int fd, const void *saved);
size_t clinux_terminal_room(void);
int clinux_kick_handler(int signal_number);       /* a handler that does nothing, without SA_RESTART */
int clinux_unblock(int signal_number);            /* in this thread */
int clinux_punch_hole(int fd, int64_t offset, int64_t length);
int clinux_zero_range(int fd, int64_t offset, int64_t length, int keep_allocated);
int clinux_block_discard(int fd, uint64_t offset, uint64_t length);
int clinux_block_zero(int fd, uint64_t offset, uint64_t length);
ssize_t clinux_copy_file_range(int source, int64_t offset, int target, size_t count); /* to the target's position */
ssize_t clinux_random(void *buffer, size_t count);
