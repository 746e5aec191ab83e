/** What differs between the processors an image is built for. */
export interface Architecture {
  /** Debian's name, also the name of the output directory. */
  readonly name: 'amd64' | 'arm64';
  /** Node's name, as in process.arch and in the package node-linux-ARCH. */
  readonly node: 'x64' | 'arm64';
  /** Directory of shared libraries. */
  readonly triplet: string;
  /** Program that links every other: the interpreter of dynamic ELF files. */
  readonly loader: string;
  /** Console device of the machines QEMU makes. */
  readonly console: string;
  /** strip(1) that understands its files. */
  readonly strip: string;
}

export const ARCHITECTURES: Readonly<Record<Architecture['name'], Architecture>> = {
  amd64: {
    name: 'amd64',
    node: 'x64',
    triplet: 'x86_64-linux-gnu',
    loader: '/lib64/ld-linux-x86-64.so.2',
    console: 'ttyS0',
    strip: 'strip',
  },
  arm64: {
    name: 'arm64',
    node: 'arm64',
    triplet: 'aarch64-linux-gnu',
    loader: '/lib/ld-linux-aarch64.so.1',
    console: 'ttyAMA0',
    strip: 'aarch64-linux-gnu-strip',
  },
};

export function isOwn({ node }: Architecture): boolean {
  return node === process.arch;
}

/** The architecture of this machine. */
export function ownArchitecture(): Architecture {
  const found = Object.values(ARCHITECTURES).find((each) => each.node === process.arch);
  if (found === undefined) throw new Error(`no image can be built for ${process.arch}`);
  return found;
}
