/* linux/vhost.h, whose structures end in arrays of no length and whose requests are macros. */
#include "CLinuxVhost.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <sys/ioctl.h>

int clinux_vhost_net_open(void) { return open("/dev/vhost-net", O_RDWR | O_CLOEXEC); }

int clinux_vhost_own(int fd) { return ioctl(fd, VHOST_SET_OWNER, NULL); }

int clinux_vhost_features(int fd, uint64_t *features) {
  __u64 value = 0;
  int result = ioctl(fd, VHOST_GET_FEATURES, &value);
  *features = value;
  return result;
}

int clinux_vhost_set_features(int fd, uint64_t features) {
  __u64 value = features;
  return ioctl(fd, VHOST_SET_FEATURES, &value);
}

int clinux_vhost_set_memory(int fd, const struct clinux_vhost_region *regions, size_t count) {
  _Alignas(struct vhost_memory) char
      room[sizeof(struct vhost_memory) + CLINUX_VHOST_REGIONS * sizeof(struct vhost_memory_region)] = {0};
  struct vhost_memory *table = (struct vhost_memory *)room;
  if (count > CLINUX_VHOST_REGIONS) {
    errno = E2BIG;
    return -1;
  }
  table->nregions = (unsigned)count;
  for (size_t i = 0; i < count; i++)
    table->regions[i] = (struct vhost_memory_region){
        .guest_phys_addr = regions[i].guest,
        .memory_size = regions[i].count,
        .userspace_addr = (uintptr_t)regions[i].memory};
  return ioctl(fd, VHOST_SET_MEM_TABLE, table);
}

int clinux_vhost_set_queue(int fd, const struct clinux_vhost_queue *queue) {
  struct vhost_vring_state size = {queue->number, queue->size}, first = {queue->number, 0};
  struct vhost_vring_addr place = {
      .index = queue->number,
      .desc_user_addr = (uintptr_t)queue->descriptors,
      .avail_user_addr = (uintptr_t)queue->available,
      .used_user_addr = (uintptr_t)queue->used};
  struct vhost_vring_file kick = {queue->number, queue->kick}, failed = {queue->number, queue->failed};
  if (ioctl(fd, VHOST_SET_VRING_NUM, &size) < 0 || ioctl(fd, VHOST_SET_VRING_BASE, &first) < 0 ||
      ioctl(fd, VHOST_SET_VRING_ADDR, &place) < 0 || ioctl(fd, VHOST_SET_VRING_ERR, &failed) < 0)
    return -1;
  return ioctl(fd, VHOST_SET_VRING_KICK, &kick);
}

int clinux_vhost_set_call(int fd, unsigned queue, int event) {
  struct vhost_vring_file call = {queue, event};
  return ioctl(fd, VHOST_SET_VRING_CALL, &call);
}

int clinux_vhost_net_set_backend(int fd, unsigned queue, int tap) {
  struct vhost_vring_file backend = {queue, tap};
  return ioctl(fd, VHOST_NET_SET_BACKEND, &backend);
}
