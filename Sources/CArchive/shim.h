#pragma once
#include <archive.h>
#include <archive_entry.h>
#include <locale.h>

/* libarchive reads and writes names that are not ASCII by the locale of the process, which a Swift program does not
   set. Returns 0 where there is no such locale. */
static inline int roost_archive_use_utf8(void) { return setlocale(LC_CTYPE, "C.UTF-8") != 0; }
