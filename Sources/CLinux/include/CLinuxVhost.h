/* Virtqueues that the kernel serves (linux/vhost.h). All return 0, or -1 with errno set. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* A run of guest memory in this process. */
struct clinux_vhost_region {
  uint64_t guest;
  uint64_t count;
  void *memory;
};

/* A split virtqueue; the three rings are in this process's memory. */
struct clinux_vhost_queue {
  unsigned number;
  unsigned size;
  void *descriptors;
  void *available;
  void *used;
  int kick;   /* eventfds: the driver rang, */
  int failed; /* the kernel refuses what it found */
};

enum { CLINUX_VHOST_REGIONS = 64 }; /* what every kernel takes (vhost's max_mem_regions) */

int clinux_vhost_net_open(void); /* the descriptor */
int clinux_vhost_own(int fd);    /* from now on it has a thread of this process */
int clinux_vhost_features(int fd, uint64_t *features);
int clinux_vhost_set_features(int fd, uint64_t features);
int clinux_vhost_set_memory(int fd, const struct clinux_vhost_region *regions, size_t count);
int clinux_vhost_set_queue(int fd, const struct clinux_vhost_queue *queue);
int clinux_vhost_set_call(int fd, unsigned queue, int event);
int clinux_vhost_net_set_backend(int fd, unsigned queue, int tap); /* -1: none; served until this returns */
