/* KVM ioctls, typed. Imported by Hypervisor/KVM only. */
#pragma once
#include <linux/kvm.h>
