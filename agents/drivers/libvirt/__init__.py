"""The libvirt hypervisor driver: KVM where it works, else QEMU's emulation, wired to Open vSwitch."""
