import { execa } from 'execa';

const MAGIC_AT = 0x202;
const ELF = '\x7fELF';
const XZ = '\xfd7zXZ\0';

/**
 * The ELF kernel in a bzImage, for hypervisors that want that (Firecracker), and because QEMU starts
 * it without the kernel's own unpacking (PVH). Where it lies: Documentation/arch/x86/boot.rst,
 * payload_offset and payload_length. Undefined for an image that is no bzImage (arm64's Image).
 */
export async function uncompressedKernel(image: Buffer): Promise<Buffer | undefined> {
  if (image.toString('latin1', MAGIC_AT, MAGIC_AT + 4) !== 'HdrS') return undefined;
  const setupSectors = image[0x1f1] || 4;
  const start = (setupSectors + 1) * 512 + image.readUInt32LE(0x248);
  const length = image.readUInt32LE(0x24c);
  const payload = image.subarray(start, start + length);
  if (payload.toString('latin1', 0, XZ.length) !== XZ) {
    throw new Error('the kernel is not compressed with xz: vm-image/kernel.ts has to learn how');
  }
  // The size of the result follows the stream: what xz calls trailing garbage.
  const { stdout } = await execa('xz', ['--decompress', '--stdout', '--single-stream'], {
    input: payload.subarray(0, -4),
    encoding: 'buffer',
    stripFinalNewline: false,
    maxBuffer: 256 << 20,
  });
  const kernel = Buffer.from(stdout);
  if (kernel.toString('latin1', 0, 4) !== ELF)
    throw new Error('the kernel’s payload is no ELF file');
  return kernel;
}
