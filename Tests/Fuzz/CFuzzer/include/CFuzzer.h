#pragma once

#include <stddef.h>
#include <stdint.h>

// libFuzzer as a library (LLVM, docs/LibFuzzer, "Using libFuzzer as a library"): it comes with -sanitize=fuzzer.
int LLVMFuzzerRunDriver(int *count, char ***arguments, int (*test)(const uint8_t *start, size_t count));
