#include "CKVM.h"

#include <cpuid.h>
#include <string.h>

struct kvm_cpuid_entry2 ckvm_cpuid_entry(const struct ckvm_cpuid *table, uint32_t index) {
  struct kvm_cpuid_entry2 none = {0};
  return index < table->count && index < CKVM_CPUID_ROOM ? table->entries[index] : none;
}

void ckvm_cpuid_append(struct ckvm_cpuid *table, struct kvm_cpuid_entry2 entry) {
  if (table->count < CKVM_CPUID_ROOM) table->entries[table->count++] = entry;
}

void ckvm_msrs_append(struct ckvm_msrs *table, uint32_t index, uint64_t value) {
  if (table->count >= CKVM_MSR_ROOM) return;
  table->entries[table->count++] = (struct kvm_msr_entry){.index = index, .data = value};
}

uint64_t ckvm_msrs_value(const struct ckvm_msrs *table, uint32_t index) {
  return index < CKVM_MSR_ROOM ? table->entries[index].data : 0;
}

void ckvm_routes_append_pin(struct ckvm_routes *table, uint32_t gsi, uint32_t chip, uint32_t pin) {
  if (table->count >= CKVM_ROUTE_ROOM) return;
  table->entries[table->count++] = (struct kvm_irq_routing_entry){
      .gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = {.irqchip = chip, .pin = pin}};
}

void ckvm_routes_append_msi(struct ckvm_routes *table, uint32_t gsi, uint64_t address, uint32_t data) {
  if (table->count >= CKVM_ROUTE_ROOM) return;
  table->entries[table->count++] = (struct kvm_irq_routing_entry){
      .gsi = gsi,
      .type = KVM_IRQ_ROUTING_MSI,
      .u.msi = {.address_lo = (uint32_t)address, .address_hi = (uint32_t)(address >> 32), .data = data}};
}

void ckvm_8259_set_levels(struct kvm_irqchip *chip, uint8_t inputs) {
  chip->chip.pic.elcr = inputs & chip->chip.pic.elcr_mask;
}

void ckvm_ioapic_set_id(struct kvm_irqchip *chip, uint8_t id) {
  chip->chip.ioapic.id = id & 15;
}

struct kvm_msr_filter ckvm_refuse_writes(uint32_t msr, uint8_t *bitmap) {
  memset(bitmap, 0, 8); /* 0: refused */
  struct kvm_msr_filter filter = {.flags = KVM_MSR_FILTER_DEFAULT_ALLOW};
  filter.ranges[0] =
      (struct kvm_msr_filter_range){.flags = KVM_MSR_FILTER_WRITE, .nmsrs = 1, .base = msr, .bitmap = bitmap};
  return filter;
}

int ckvm_is_qemu_emulation(void) {
  unsigned int eax, ebx, ecx, edx;
  __cpuid(1, eax, ebx, ecx, edx);
  if (!(ecx >> 31 & 1)) return 0; /* no hypervisor: the leaf does not exist */
  __cpuid(0x40000000, eax, ebx, ecx, edx);
  return ebx == 0x54474354 && ecx == 0x43544743 && edx == 0x47435447;
}
