/* KVM's interface as Swift can take it: request numbers as constants, and the structures that end in
   an array as fixed ones. Imported by Hypervisor/KVM only.
   Source: linux/kvm.h; Documentation/virt/kvm/api.rst. */
#pragma once
#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>

/* The request macros use sizeof, which Swift does not import. */
enum ckvm_request {
  CKVM_GET_API_VERSION = KVM_GET_API_VERSION,
  CKVM_CREATE_VM = KVM_CREATE_VM,
  CKVM_GET_MSR_INDEX_LIST = KVM_GET_MSR_INDEX_LIST,
  CKVM_CHECK_EXTENSION = KVM_CHECK_EXTENSION,
  CKVM_GET_VCPU_MMAP_SIZE = KVM_GET_VCPU_MMAP_SIZE,
  CKVM_GET_SUPPORTED_CPUID = KVM_GET_SUPPORTED_CPUID,
  CKVM_ENABLE_CAP = KVM_ENABLE_CAP,
  CKVM_CREATE_VCPU = KVM_CREATE_VCPU,
  CKVM_SET_USER_MEMORY_REGION = KVM_SET_USER_MEMORY_REGION,
  CKVM_SET_TSS_ADDR = KVM_SET_TSS_ADDR,
  CKVM_SET_IDENTITY_MAP_ADDR = KVM_SET_IDENTITY_MAP_ADDR,
  CKVM_CREATE_IRQCHIP = KVM_CREATE_IRQCHIP,
  CKVM_IRQ_LINE = KVM_IRQ_LINE,
  CKVM_GET_IRQCHIP = KVM_GET_IRQCHIP,
  CKVM_SET_IRQCHIP = KVM_SET_IRQCHIP,
  CKVM_CREATE_PIT2 = KVM_CREATE_PIT2,
  CKVM_SET_GSI_ROUTING = KVM_SET_GSI_ROUTING,
  CKVM_IRQFD = KVM_IRQFD,
  CKVM_IOEVENTFD = KVM_IOEVENTFD,
  CKVM_SIGNAL_MSI = KVM_SIGNAL_MSI,
  CKVM_REGISTER_COALESCED_MMIO = KVM_REGISTER_COALESCED_MMIO,
  CKVM_SET_BOOT_CPU_ID = KVM_SET_BOOT_CPU_ID,
  CKVM_RUN = KVM_RUN,
  CKVM_GET_REGS = KVM_GET_REGS,
  CKVM_SET_REGS = KVM_SET_REGS,
  CKVM_GET_SREGS = KVM_GET_SREGS,
  CKVM_SET_SREGS = KVM_SET_SREGS,
  CKVM_GET_MSRS = KVM_GET_MSRS,
  CKVM_SET_MSRS = KVM_SET_MSRS,
  CKVM_SET_CPUID2 = KVM_SET_CPUID2,
  CKVM_GET_LAPIC = KVM_GET_LAPIC,
  CKVM_SET_LAPIC = KVM_SET_LAPIC,
  CKVM_GET_FPU = KVM_GET_FPU,
  CKVM_SET_FPU = KVM_SET_FPU,
  CKVM_GET_MP_STATE = KVM_GET_MP_STATE,
  CKVM_SET_MP_STATE = KVM_SET_MP_STATE,
  CKVM_SET_SIGNAL_MASK = KVM_SET_SIGNAL_MASK,
  CKVM_SET_TSC_KHZ = KVM_SET_TSC_KHZ,
  CKVM_GET_TSC_KHZ = KVM_GET_TSC_KHZ,
  CKVM_GET_STATS_FD = KVM_GET_STATS_FD,
  CKVM_KVMCLOCK_CTRL = KVM_KVMCLOCK_CTRL,
  CKVM_SET_MSR_FILTER = KVM_X86_SET_MSR_FILTER,
};

/* Where the fields of the shared run page lie: they are read one by one, never as a whole. */
enum ckvm_run_offset {
  CKVM_RUN_IMMEDIATE_EXIT = offsetof(struct kvm_run, immediate_exit),
  CKVM_RUN_EXIT_REASON = offsetof(struct kvm_run, exit_reason),
  CKVM_RUN_IO_DIRECTION = offsetof(struct kvm_run, io.direction),
  CKVM_RUN_IO_SIZE = offsetof(struct kvm_run, io.size),
  CKVM_RUN_IO_PORT = offsetof(struct kvm_run, io.port),
  CKVM_RUN_IO_COUNT = offsetof(struct kvm_run, io.count),
  CKVM_RUN_IO_DATA_OFFSET = offsetof(struct kvm_run, io.data_offset),
  CKVM_RUN_MMIO_ADDRESS = offsetof(struct kvm_run, mmio.phys_addr),
  CKVM_RUN_MMIO_DATA = offsetof(struct kvm_run, mmio.data),
  CKVM_RUN_MMIO_LENGTH = offsetof(struct kvm_run, mmio.len),
  CKVM_RUN_MMIO_IS_WRITE = offsetof(struct kvm_run, mmio.is_write),
  CKVM_RUN_MSR_ERROR = offsetof(struct kvm_run, msr.error),
  CKVM_RUN_MSR_REASON = offsetof(struct kvm_run, msr.reason),
  CKVM_RUN_MSR_INDEX = offsetof(struct kvm_run, msr.index),
  CKVM_RUN_MSR_DATA = offsetof(struct kvm_run, msr.data),
  CKVM_RUN_SYSTEM_EVENT = offsetof(struct kvm_run, system_event.type),
  CKVM_RUN_FAIL_REASON = offsetof(struct kvm_run, fail_entry.hardware_entry_failure_reason),
  CKVM_RUN_INTERNAL_SUBERROR = offsetof(struct kvm_run, internal.suberror),
};

/* The same of the ring of coalesced writes. */
enum ckvm_ring_offset {
  CKVM_RING_FIRST = offsetof(struct kvm_coalesced_mmio_ring, first),
  CKVM_RING_LAST = offsetof(struct kvm_coalesced_mmio_ring, last),
};

enum { CKVM_CPUID_ROOM = 256, CKVM_MSR_ROOM = 64, CKVM_ROUTE_ROOM = 1024 };

/* struct kvm_cpuid2, kvm_msrs and kvm_irq_routing with room for their entries: same layout, same request. */
struct ckvm_cpuid {
  uint32_t count;
  uint32_t padding;
  struct kvm_cpuid_entry2 entries[CKVM_CPUID_ROOM];
};

struct ckvm_msrs {
  uint32_t count;
  uint32_t padding;
  struct kvm_msr_entry entries[CKVM_MSR_ROOM];
};

struct ckvm_routes {
  uint32_t count;
  uint32_t flags;
  struct kvm_irq_routing_entry entries[CKVM_ROUTE_ROOM];
};

/* The entries have unions, and arrays in structures are tuples to Swift: these put and take one. */
struct kvm_cpuid_entry2 ckvm_cpuid_entry(const struct ckvm_cpuid *table, uint32_t index);
void ckvm_cpuid_append(struct ckvm_cpuid *table, struct kvm_cpuid_entry2 entry);
void ckvm_msrs_append(struct ckvm_msrs *table, uint32_t index, uint64_t value);
uint64_t ckvm_msrs_value(const struct ckvm_msrs *table, uint32_t index);
void ckvm_routes_append_pin(struct ckvm_routes *table, uint32_t gsi, uint32_t chip, uint32_t pin);
void ckvm_routes_append_msi(struct ckvm_routes *table, uint32_t gsi, uint64_t address, uint32_t data);

/* The edge/level register of an 8259's state: a bit for each of its inputs that is level-triggered. */
void ckvm_8259_set_levels(struct kvm_irqchip *chip, uint8_t inputs);

/* The id in an I/O APIC's state, of which there are four bits. */
void ckvm_ioapic_set_id(struct kvm_irqchip *chip, uint8_t id);

/* A filter that refuses writes of one MSR and allows everything else; `bitmap` is eight bytes that stay until the
   request is over. */
struct kvm_msr_filter ckvm_refuse_writes(uint32_t msr, uint8_t *bitmap);

/* 1 where CPUID leaf 0x40000000 says that QEMU's translator emulates the processor ("TCGTCGTCGTCG"). */
int ckvm_is_qemu_emulation(void);
