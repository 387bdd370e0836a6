#pragma once
#include <errno.h>
#include <linux/falloc.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <liburing.h>

// Swift hands vectors over as pairs of words.
_Static_assert(sizeof(struct iovec) == 2 * sizeof(void *), "struct iovec is an address and a length");

// liburing's preparations are macros and inline functions on bit fields and unions. Each of these takes the next entry
// of the submission queue and fills it; 0 when there is none.

static inline int curing_readv(
    struct io_uring *ring, int fd, const void *vectors, unsigned count, uint64_t offset, uint64_t tag) {
  struct io_uring_sqe *entry = io_uring_get_sqe(ring);
  if (!entry) return 0;
  io_uring_prep_readv(entry, fd, (const struct iovec *)vectors, count, offset);
  io_uring_sqe_set_data64(entry, tag);
  return 1;
}

static inline int curing_writev(
    struct io_uring *ring, int fd, const void *vectors, unsigned count, uint64_t offset, uint64_t tag) {
  struct io_uring_sqe *entry = io_uring_get_sqe(ring);
  if (!entry) return 0;
  io_uring_prep_writev(entry, fd, (const struct iovec *)vectors, count, offset);
  io_uring_sqe_set_data64(entry, tag);
  return 1;
}

static inline int curing_fdatasync(struct io_uring *ring, int fd, uint64_t tag) {
  struct io_uring_sqe *entry = io_uring_get_sqe(ring);
  if (!entry) return 0;
  io_uring_prep_fsync(entry, fd, IORING_FSYNC_DATASYNC);
  io_uring_sqe_set_data64(entry, tag);
  return 1;
}

// Makes a range of a file read as zeros; it stays allocated, or becomes a hole.
static inline int curing_zero(
    struct io_uring *ring, int fd, int keep_allocated, int64_t offset, int64_t length, uint64_t tag) {
  struct io_uring_sqe *entry = io_uring_get_sqe(ring);
  if (!entry) return 0;
  int mode = keep_allocated ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE;
  io_uring_prep_fallocate(entry, fd, mode | FALLOC_FL_KEEP_SIZE, offset, length);
  io_uring_sqe_set_data64(entry, tag);
  return 1;
}

// Completes with `tag` each time that `fd` becomes readable, until a completion without IORING_CQE_F_MORE.
static inline int curing_watch(struct io_uring *ring, int fd, uint64_t tag) {
  struct io_uring_sqe *entry = io_uring_get_sqe(ring);
  if (!entry) return 0;
  io_uring_prep_poll_multishot(entry, fd, POLLIN);
  io_uring_sqe_set_data64(entry, tag);
  return 1;
}

// Makes a ring for one thread, which then takes completions only where it asks for them and is not interrupted by them
// (Linux 6.1); on older kernels one that interrupts. A negative error number if there is none.
static inline int curing_init(struct io_uring *ring, unsigned entries) {
  unsigned flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_R_DISABLED;
  int code = io_uring_queue_init(entries, ring, flags);
  return code == -EINVAL ? io_uring_queue_init(entries, ring, 0) : code;
}

// Has the ring refuse what is not used here, for good; a negative error number if it cannot. Rings of older kernels, which
// `curing_init` starts at once, stay as they are.
static inline int curing_restrict(struct io_uring *ring) {
  if (!(ring->flags & IORING_SETUP_R_DISABLED)) return 0;
  static const uint8_t used[] = {
      IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FSYNC, IORING_OP_FALLOCATE, IORING_OP_POLL_ADD};
  struct io_uring_restriction list[sizeof used];
  memset(list, 0, sizeof list);
  for (unsigned i = 0; i < sizeof used; i++) {
    list[i].opcode = IORING_RESTRICTION_SQE_OP;
    list[i].sqe_op = used[i];
  }
  // liburing 2.3 declares io_uring_register_restrictions and does not export it.
  long code = syscall(__NR_io_uring_register, ring->ring_fd, IORING_REGISTER_RESTRICTIONS, list, sizeof used);
  return code < 0 ? -errno : 0;
}

// Lets the calling thread be the one that uses the ring; -1 if it cannot. liburing 2.3 declares io_uring_enable_rings
// and does not export it.
static inline int curing_begin(struct io_uring *ring) {
  if (!(ring->flags & IORING_SETUP_R_DISABLED)) return 0;
  return (int)syscall(__NR_io_uring_register, ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, (void *)0, 0);
}

// Hands the prepared entries to the kernel, takes in what has completed, and waits for a completion if there is none
// and `waits`; a negative error number if it did not.
static inline int curing_submit(struct io_uring *ring, int waits) {
  return waits ? io_uring_submit_and_wait(ring, 1) : io_uring_submit_and_get_events(ring);
}

// Takes the next completion, if there is one, without waiting.
static inline int curing_next(struct io_uring *ring, uint64_t *tag, int32_t *result, int *has_more) {
  struct io_uring_cqe *entry = NULL;
  if (io_uring_peek_cqe(ring, &entry) != 0 || !entry) return 0;
  *tag = io_uring_cqe_get_data64(entry);
  *result = entry->res;
  *has_more = (entry->flags & IORING_CQE_F_MORE) != 0;
  io_uring_cqe_seen(ring, entry);
  return 1;
}

// Whether the kernel knows all that is used here: repeated polls came with Linux 5.13, which nothing tells, and the
// operation that is asked for with 5.15.
static inline int curing_is_complete(struct io_uring *ring) {
  struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
  if (!probe) return 0;
  int known = io_uring_opcode_supported(probe, IORING_OP_LINKAT);
  io_uring_free_probe(probe);
  return known;
}
