// What Swift has no words for: port I/O, a few instructions, and the symbols of boot.S and bare-metal.ld.
#pragma once
#include <stdint.h>

static inline uint8_t machine_in8(uint16_t port) {
  uint8_t value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

static inline uint16_t machine_in16(uint16_t port) {
  uint16_t value;
  __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

static inline uint32_t machine_in32(uint16_t port) {
  uint32_t value;
  __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

static inline void machine_out8(uint16_t port, uint8_t value) {
  __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void machine_out16(uint16_t port, uint16_t value) {
  __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline void machine_out32(uint16_t port, uint32_t value) {
  __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static inline void machine_store8(unsigned long address, uint8_t value) { *(volatile uint8_t *)address = value; }
static inline void machine_store16(unsigned long address, uint16_t value) { *(volatile uint16_t *)address = value; }
static inline void machine_store32(unsigned long address, uint32_t value) { *(volatile uint32_t *)address = value; }
static inline uint8_t machine_load8(unsigned long address) { return *(volatile uint8_t *)address; }
static inline uint16_t machine_load16(unsigned long address) { return *(volatile uint16_t *)address; }
static inline uint32_t machine_load32(unsigned long address) { return *(volatile uint32_t *)address; }

// A locked instruction orders all loads and stores; where KVM emulates the processor, it does not know mfence.
static inline void machine_fence(void) { __asm__ volatile("lock; addl $0, (%%esp)" : : : "memory", "cc"); }

static inline uint64_t machine_timestamp(void) {
  uint32_t low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
  return (uint64_t)high << 32 | low;
}

struct machine_cpuid {
  uint32_t eax, ebx, ecx, edx;
};

static inline struct machine_cpuid machine_cpuid_indexed(uint32_t leaf, uint32_t index) {
  struct machine_cpuid out;
  __asm__ volatile("cpuid" : "=a"(out.eax), "=b"(out.ebx), "=c"(out.ecx), "=d"(out.edx) : "a"(leaf), "c"(index));
  return out;
}

static inline struct machine_cpuid machine_cpuid(uint32_t leaf) { return machine_cpuid_indexed(leaf, 0); }

static inline uint64_t machine_read_msr(uint32_t index) {
  uint32_t low, high;
  __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index));
  return (uint64_t)high << 32 | low;
}

// 96 bits divided by 32 in two steps: 64-bit division without a runtime library.
static inline uint64_t machine_divide(uint64_t dividend, uint32_t divisor, uint32_t *remainder) {
  uint32_t high = (uint32_t)(dividend >> 32), low = (uint32_t)dividend;
  uint32_t upper = high / divisor, rest = high % divisor, lower;
  __asm__("divl %4" : "=a"(lower), "=d"(rest) : "0"(low), "1"(rest), "r"(divisor));
  *remainder = rest;
  return (uint64_t)upper << 32 | lower;
}

static inline void machine_pause(void) { __asm__ volatile("pause"); }
static inline void machine_interrupts_off(void) { __asm__ volatile("cli" : : : "memory"); }
static inline void machine_interrupts_on(void) { __asm__ volatile("sti" : : : "memory"); }

// boot.S: sleeps until the next interrupt; the same with an interrupt that comes before the processor sleeps.
void machine_sleep(void);
void machine_sleep_interrupted_early(void);

static inline void machine_stop(void) {
  for (;;) __asm__ volatile("cli; hlt");
}

// An exception with an empty interrupt table: double fault, triple fault, shutdown.
static inline void machine_triple_fault(void) {
  struct __attribute__((packed)) {
    uint16_t limit;
    uint32_t base;
  } nothing = {0, 0};
  __asm__ volatile("lidt %0; int3" : : "m"(nothing));
}

// boot.S: fills in the interrupt table and loads it; timer interrupts taken so far.
void machine_load_interrupt_table(void);
extern volatile uint32_t machine_timer_interrupts;
static inline uint32_t machine_ticks(void) { return machine_timer_interrupts; }

// bare-metal.ld: first byte of the image in memory, and the one after its last.
extern const uint8_t machine_image_start[], machine_image_end[];
static inline uint32_t machine_image_first(void) { return (uint32_t)machine_image_start; }
static inline uint32_t machine_image_limit(void) { return (uint32_t)machine_image_end; }
