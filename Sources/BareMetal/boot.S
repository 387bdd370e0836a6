// The PVH entry (Xen's docs/misc/pvh: 32-bit protected mode, paging off, EBX = hvm_start_info), segments,
// the interrupt table, and what the compiler takes for granted.

  .section .note.pvh, "a", @note
  .balign 4
  .long 4, 4, 18            // name bytes, descriptor bytes, XEN_ELFNOTE_PHYS32_ENTRY
  .asciz "Xen"
  .long _start

  .section .text.boot, "ax"
  .globl _start
_start:
  cli
  cld
  movl $stack_top, %esp
  lgdt gdt_pointer
  ljmp $8, $1f
1:
  movl $16, %eax
  movl %eax, %ds
  movl %eax, %es
  movl %eax, %fs
  movl %eax, %gs
  movl %eax, %ss
  xorl %ebp, %ebp
  subl $12, %esp
  pushl %ebx
  call machine_main
1:
  cli
  hlt
  jmp 1b

// Every entry is 16 bytes: gate n enters at gate_entries + 16 n. Vectors 0-31 are exceptions,
// 32-47 the two interrupt controllers.
  .balign 16
gate_entries:
  .set vector, 0
  .rept 48
  .balign 16
  .if vector == 32
    jmp timer
  .elseif vector > 32
    jmp acknowledge
  .else
    // Exceptions 8, 10-14, 17, 21, 29 and 30 push an error code (Intel SDM 3A, 6.15); the others get a zero.
    .if ((0x60227d00 >> vector) & 1) == 0
      pushl $0
    .endif
    pushl $vector
    jmp fault
  .endif
  .set vector, vector + 1
  .endr

  .balign 16
fault:                      // stack: vector, error code, EIP
  cld
  call machine_fault
1:
  cli
  hlt
  jmp 1b

// Interrupts return with interrupts off, by a far return that drops the saved flags and keeps ours, which are
// the interrupted ones but for IF: where KVM emulates the processor, it does not know iret in protected mode.
timer:
  pushfl
  incl machine_timer_interrupts
  popfl
acknowledge:
  pushfl
  cmpl $sleeping, 4(%esp)
  jne 1f
  incl 4(%esp)              // past the hlt, which nothing might end any more
1:
  popfl
  pushl %eax
  movb $0x20, %al
  outb %al, $0xA0
  outb %al, $0x20
  popl %eax
  lretl $4

// Sleeps until the next interrupt. Nothing should slip in between, since sti takes effect after the next instruction; but
// QEMU's emulation of AMD-V forgets that when a virtual machine is left and entered there (its VMRUN does not look
// at the interrupt shadow of the control block). An interrupt taken before the hlt skips it.
  .globl machine_sleep
machine_sleep:
  sti
sleeping:
  hlt
  cli
  ret

// The sleep as it goes when the interrupt slips in. It comes back if the handler sees that.
  .globl machine_sleep_interrupted_early
machine_sleep_interrupted_early:
  pushfl
  pushl $8
  pushl $sleeping
  jmp acknowledge

  .globl machine_load_interrupt_table
machine_load_interrupt_table:
  pushl %edi
  movl $idt, %edi
  movl $gate_entries, %eax
  movl $48, %ecx
1:
  movw %ax, (%edi)
  movw $8, 2(%edi)
  movw $0x8E00, 4(%edi)     // present, ring 0, 32-bit interrupt gate
  movl %eax, %edx
  shrl $16, %edx
  movw %dx, 6(%edi)
  addl $16, %eax
  addl $8, %edi
  loop 1b
  lidt idt_pointer
  popl %edi
  ret

  .section .text.memcpy, "ax"
  .globl memcpy
memcpy:
  pushl %edi
  pushl %esi
  movl 12(%esp), %edi
  movl 16(%esp), %esi
  movl 20(%esp), %ecx
  movl %edi, %eax
  rep movsb
  popl %esi
  popl %edi
  ret

  .section .text.memmove, "ax"
  .globl memmove
memmove:
  pushl %edi
  pushl %esi
  movl 12(%esp), %edi
  movl 16(%esp), %esi
  movl 20(%esp), %ecx
  movl %edi, %eax
  cmpl %esi, %edi
  jbe 1f
  leal -1(%edi,%ecx), %edi
  leal -1(%esi,%ecx), %esi
  std
1:
  rep movsb
  cld
  popl %esi
  popl %edi
  ret

  .section .text.memset, "ax"
  .globl memset
memset:
  pushl %edi
  movl 8(%esp), %edi
  movl 12(%esp), %eax
  movl 16(%esp), %ecx
  rep stosb
  movl 8(%esp), %eax
  popl %edi
  ret

  // 64-bit shifts by a variable, which the compiler calls for when it optimises for size.
  .section .text.__lshrdi3, "ax"
  .globl __lshrdi3
__lshrdi3:
  movl 4(%esp), %eax
  movl 8(%esp), %edx
  movl 12(%esp), %ecx
  shrdl %cl, %edx, %eax
  shrl %cl, %edx
  testb $32, %cl
  jz 1f
  movl %edx, %eax
  xorl %edx, %edx
1:
  ret

  .section .text.__ashldi3, "ax"
  .globl __ashldi3
__ashldi3:
  movl 4(%esp), %eax
  movl 8(%esp), %edx
  movl 12(%esp), %ecx
  shldl %cl, %eax, %edx
  shll %cl, %eax
  testb $32, %cl
  jz 1f
  movl %eax, %edx
  xorl %eax, %eax
1:
  ret

  .section .rodata.gdt, "a"
  .balign 8
gdt:
  .quad 0
  .quad 0x00CF9B000000FFFF  // 8: flat 32-bit code
  .quad 0x00CF93000000FFFF  // 16: flat data
gdt_pointer:
  .word gdt_pointer - gdt - 1
  .long gdt
idt_pointer:
  .word 48 * 8 - 1
  .long idt

  .section .bss
  .balign 16
  .globl machine_timer_interrupts
machine_timer_interrupts:
  .skip 4
  .balign 16
idt:
  .skip 48 * 8
  .balign 16
  .skip 16384
stack_top:

  .section .note.GNU-stack, "", @progbits
