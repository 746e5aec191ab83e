import { randomBytes } from 'node:crypto';
import { open } from 'node:fs/promises';
import { AgentError } from '../errors.ts';
import { mappedDevice, mappedDeviceStep, openMapper } from './mapped-device.ts';
import type { Step } from './steps.ts';
import type { StorageWorld } from './world.ts';

/** Sectors of the encrypted device; also what is authenticated as one. */
const SECTOR_SIZE = 4096;
/** HMAC-SHA256. */
const TAG_SIZE = 32;
/** AES-256 in XTS mode takes two keys of 32 bytes; then comes that of the HMAC. */
const KEY_SIZE = 64 + TAG_SIZE;
/** Sectors of 512 bytes that one block takes: the smallest table of dm-integrity. */
const FORMAT_SECTORS = 8n;

/**
 * A disk whose content the host can neither read nor change unnoticed: dm-crypt with authenticated
 * encryption (aes-xts, hmac-sha256, sectors of 4096 bytes) above dm-integrity without a journal,
 * which stores the tags. See dm-crypt and dm-integrity in the kernel's device-mapper documentation.
 *
 * The key is random, made for this one use, in the kernel's keyring only while the table is loaded,
 * and in no file: there is no LUKS header, since nobody will ever open the disk again. Blocks that
 * were never written have no valid tag and read as errors, which spares wiping the whole disk.
 */
export function encryptionSteps(
  name: string,
  world: StorageWorld,
  device: { get: () => string; set: (path: string) => void },
): Step[] {
  const state: { sectors: bigint; below: string } = { sectors: 0n, below: '' };
  const integrityName = `${name}_integrity`;
  const formatName = `${name}_format`;
  let cutOff = false;
  return [
    {
      name: 'format the disk for integrity tags',
      run: async () => {
        await overwrite(device.get());
        state.sectors = await formatIntegrity(formatName, device.get(), world);
      },
      undo: async () => {
        if (!cutOff || mappedDevice(formatName) === undefined) return;
        using mapper = await openMapper(world);
        await mapper.remove(formatName);
      },
      recall: (_memory, done) => {
        cutOff = !done;
      },
    },
    mappedDeviceStep(
      {
        name: integrityName,
        readOnly: false,
        target: async () => ({ target: integrityTarget(device.get(), state.sectors) }),
        made: (path) => {
          state.below = path;
        },
      },
      world,
    ),
    mappedDeviceStep(
      {
        name,
        readOnly: false,
        target: async () => {
          const key = { name: `gcs:${name}`, bytes: randomKey() };
          const cipher = 'capi:authenc(hmac(sha256),xts(aes))-plain64';
          const options = `2 integrity:${TAG_SIZE}:aead sector_size:${SECTOR_SIZE}`;
          const secret = `:${KEY_SIZE}:logon:${key.name}`;
          const parameters = `${cipher} ${secret} 0 ${state.below} 0 ${options}`;
          return { target: { start: 0n, length: state.sectors, type: 'crypt', parameters }, key };
        },
        made: device.set,
      },
      world,
    ),
    {
      // Whoever looks for a file system reads it; unwritten it would be an error.
      name: 'write the first block',
      run: () => overwrite(device.get()),
    },
  ];
}

function integrityTarget(device: string, sectors: bigint) {
  const parameters = `${device} 0 ${TAG_SIZE} D 1 block_size:${SECTOR_SIZE}`;
  return { start: 0n, length: sectors, type: 'integrity', parameters };
}

/**
 * dm-integrity formats a device whose first block is zero when a table is loaded; how many sectors
 * there are above it is in the target's status.
 */
async function formatIntegrity(name: string, device: string, world: StorageWorld): Promise<bigint> {
  using mapper = await openMapper(world);
  await mapper.create(name, [integrityTarget(device, FORMAT_SECTORS)], { readOnly: false });
  try {
    const [status = ''] = await mapper.status(name);
    const sectors = status.split(' ')[1];
    if (sectors === undefined || !/^\d+$/.test(sectors)) {
      throw new AgentError('failed', `dm-integrity says ${JSON.stringify(status)}`);
    }
    return BigInt(sectors);
  } finally {
    await mapper.remove(name);
  }
}

/** A buffer of its own, not a part of Node's pool, so that wiping it wipes all there is. */
function randomKey(): Uint8Array {
  const pooled = randomBytes(KEY_SIZE);
  const key = new Uint8Array(KEY_SIZE);
  key.set(pooled);
  pooled.fill(0);
  return key;
}

/** Zeroes the first block. */
async function overwrite(device: string): Promise<void> {
  await using file = await open(device, 'r+');
  await file.write(Buffer.alloc(SECTOR_SIZE), 0, SECTOR_SIZE, 0);
  await file.datasync();
}
