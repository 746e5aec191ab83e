/** What goes into the image: Debian packages, programs and kernel modules. */

/** Depends on the kernel package of the release. Its name carries the version and is looked up. */
export const KERNEL_METAPACKAGE = 'linux-image-';

/** The C library that init is linked with. */
export const MUSL = 'musl-dev';

/** Packages whose programs are taken, with the programs. */
export const PROGRAMS: Readonly<Record<string, readonly string[]>> = {
  runc: ['/usr/sbin/runc'],
  // A second OCI runtime, as -runtime crun.
  crun: ['/usr/bin/crun'],
  'busybox-static': ['/bin/busybox'],
  // Scratch disks: plain ones are ext4, encrypted ones xfs on dm-crypt.
  e2fsprogs: ['/sbin/mke2fs', '/sbin/mkfs.ext4', '/sbin/resize2fs', '/sbin/e2fsck'],
  xfsprogs: ['/sbin/mkfs.xfs'],
  'cryptsetup-bin': ['/sbin/cryptsetup', '/sbin/veritysetup', '/sbin/integritysetup'],
  dmsetup: ['/sbin/dmsetup'],
  iproute2: ['/bin/ip'],
};

/** Packages that only give libraries; of them, what the programs name is taken. */
export const LIBRARY_PACKAGES: readonly string[] = [
  'libc6',
  'libgcc-s1',
  'libstdc++6',
  'libseccomp2',
  'libyajl2',
  'libcap2',
  'libsystemd0',
  'libgcrypt20',
  'libgpg-error0',
  'liblz4-1',
  'liblzma5',
  'libzstd1',
  'libext2fs2',
  'libcom-err2',
  'libblkid1',
  'libuuid1',
  'libinih1',
  'liburcu8',
  'libcryptsetup12',
  'libpopt0',
  'libdevmapper1.02.1',
  'libargon2-1',
  'libjson-c5',
  'libssl3',
  'libudev1',
  'libselinux1',
  'libpcre2-8-0',
  'libbpf1',
  'libelf1',
  'zlib1g',
  'libmnl0',
  'libbsd0',
  'libmd0',
];

/**
 * Applets of busybox that stay out: PID 1 and power are init's alone, and what mounts, kills or
 * replaces behind its back has no place beside it.
 */
export const EXCLUDED_APPLETS: ReadonlySet<string> = new Set([
  'busybox',
  'halt',
  'init',
  'linuxrc',
  'poweroff',
  'reboot',
  'switch_root',
]);

/** Modules by what they are for. A name that this kernel has built in is left out. */
interface ModuleSets {
  /** Needed to find and mount the root: loaded in the initramfs, in this order. */
  readonly storage: readonly string[];
  /** Devices of every hypervisor, that nothing would load later: there is no udev. Loaded by init. */
  readonly devices: readonly string[];
  /** In the image for modprobe: the kernel asks for them by name when they are first used. */
  readonly onDemand: readonly string[];
}

export const MODULES: ModuleSets = {
  storage: [
    'virtio_mmio',
    'virtio_pci',
    'virtio_blk',
    'virtio_scsi',
    'hv_storvsc',
    'sd_mod',
    'nd_pmem',
    'virtio_pmem',
    'nfit',
    // erofs and others look it up by name when they start.
    'crc32c_generic',
    'erofs',
    'squashfs',
  ],
  devices: [
    'vsock',
    'vmw_vsock_virtio_transport',
    'hv_sock',
    'vsock_loopback',
    'virtio-rng',
    'virtio_net',
    'hv_netvsc',
    'hv_utils',
    'pci-hyperv',
    'overlay',
    // Its node, /dev/mapper/control, has to be there before anybody can ask for it.
    'dm-mod',
  ],
  onDemand: [
    'vsock_diag',
    'ext4',
    'xfs',
    'crc32c-intel',
    '9p',
    '9pnet_virtio',
    '9pnet_fd',
    'virtiofs',
    'loop',
    'dm-verity',
    'dm-crypt',
    'dm-integrity',
    'dm-snapshot',
    'xts',
    'essiv',
    'authenc',
    'aesni-intel',
    'veth',
    'dummy',
    'tun',
    'bridge',
    'nf_tables',
    'nft_chain_nat',
    'nft_masq',
    'nft_ct',
    'virtio_balloon',
    'virtio_console',
    'virtio_mem',
    'hv_balloon',
    'nls_utf8',
  ],
};
