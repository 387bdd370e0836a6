#pragma once
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/stat.h>

// The stream of a finished image is libburn's structure; libisofs carries its declaration.
#define LIBISOFS_WITHOUT_LIBBURN 1
#include <libisofs/libisofs.h>

// Reads like read(2); the source gives whole blocks.
static inline int cisofs_source_read(struct burn_source *source, unsigned char *buffer, int size) {
  return source->read ? source->read(source, buffer, size) : source->read_xt(source, buffer, size);
}

static inline int64_t cisofs_source_size(struct burn_source *source) { return source->get_size(source); }

// Ends the thread that writes to the stream, and frees it.
static inline void cisofs_source_free(struct burn_source *source) {
  if (source->read == NULL && source->version >= 1 && source->cancel) source->cancel(source);
  source->free_data(source);
  free(source);
}

// Adds a file with a copy of `size` bytes as its content.
static inline int cisofs_add_bytes(IsoDir *parent, const char *name, const void *bytes, size_t size, IsoFile **file) {
  // The stream frees the copy. An allocation of no bytes may be NULL, which libisofs refuses.
  unsigned char *copy = malloc(size ? size : 1);
  if (copy == NULL) return ISO_OUT_OF_MEM;
  if (size) memcpy(copy, bytes, size);
  IsoStream *stream = NULL;
  int result = iso_memory_stream_new(copy, size, &stream);
  if (result < 0) {
    free(copy);
    return result;
  }
  result = iso_tree_add_new_file(parent, name, stream, file);
  if (result < 0) iso_stream_unref(stream);
  return result;
}
