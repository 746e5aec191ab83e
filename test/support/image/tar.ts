/** tar archives for tests, with everything layers have; shares no code with src/. */

export type ItemType = 'file' | 'link' | 'symlink' | 'char' | 'block' | 'dir' | 'fifo';

export interface TarItem {
  /** One character a byte. */
  path: string;
  type?: ItemType;
  mode?: number;
  uid?: number;
  gid?: number;
  /** Seconds and, behind the point, nanoseconds. */
  mtime?: string;
  data?: string | Buffer;
  link?: string;
  major?: number;
  minor?: number;
  xattrs?: Record<string, Buffer>;
  /** Writes long names as old GNU tar does. */
  gnu?: boolean;
}

const FLAG: Record<ItemType, string> = {
  ...{ file: '0', link: '1', symlink: '2', char: '3', block: '4', dir: '5', fifo: '6' },
};

/** An archive of these items, ended by two blocks of zeros. */
export function tar(items: readonly TarItem[]): Buffer {
  return Buffer.concat([...items.map(encode), Buffer.alloc(1024)]);
}

/** One item with the headers it needs. */
export function encode(item: TarItem): Buffer {
  const { path, type = 'file', data = '', link = '', mtime = '1700000000' } = item;
  const content = Buffer.from(data as string, 'latin1');
  const bytes = type === 'file' ? content : Buffer.alloc(0);
  const records: [string, Buffer][] = [];
  const parts: Buffer[] = [];
  const long = (keyword: string, flag: string, value: string): void => {
    if (value.length <= 100) return;
    const text = Buffer.from(value, 'latin1');
    if (item.gnu === true) parts.push(member('././@LongLink', flag, Buffer.concat([text, NUL])));
    else records.push([keyword, text]);
  };
  long('path', 'L', path);
  long('linkpath', 'K', link);
  if (mtime.includes('.')) records.push(['mtime', Buffer.from(mtime)]);
  for (const [name, value] of Object.entries(item.xattrs ?? {})) {
    records.push([`SCHILY.xattr.${name}`, value]);
  }
  if (records.length > 0) parts.push(member('pax', 'x', pax(records)));
  const seconds = Number.parseInt(mtime, 10);
  parts.push(member(path, FLAG[type], bytes, { ...item, seconds }));
  return Buffer.concat(parts);
}

const NUL = Buffer.alloc(1);

/** The records of an extended header. */
export function pax(records: readonly [string, Buffer][]): Buffer {
  return Buffer.concat(
    records.map(([keyword, value]) => {
      const rest = Buffer.concat([Buffer.from(` ${keyword}=`), value, Buffer.from('\n')]);
      let length = rest.length;
      while (length !== rest.length + String(length).length) {
        length = rest.length + String(length).length;
      }
      return Buffer.concat([Buffer.from(String(length)), rest]);
    }),
  );
}

type Fields = Partial<TarItem> & { seconds?: number };

/** A header with its content. */
export function member(path: string, flag: string, content: Buffer, fields: Fields = {}): Buffer {
  const header = Buffer.alloc(512);
  header.write(path.slice(0, 100), 0, 'latin1');
  number(header, 100, 8, fields.mode ?? (flag === '5' ? 0o755 : 0o644));
  number(header, 108, 8, fields.uid ?? 0);
  number(header, 116, 8, fields.gid ?? 0);
  number(header, 124, 12, content.length);
  number(header, 136, 12, fields.seconds ?? 0);
  header.write(flag, 156);
  header.write((fields.link ?? '').slice(0, 100), 157, 'latin1');
  header.write(fields.gnu === true ? 'ustar  \0' : 'ustar\x0000', 257, 'latin1');
  number(header, 329, 8, fields.major ?? 0);
  number(header, 337, 8, fields.minor ?? 0);
  return Buffer.concat([
    signed(header),
    content,
    Buffer.alloc((512 - (content.length % 512)) % 512),
  ]);
}

/** The header with its checksum. */
export function signed(header: Buffer): Buffer {
  header.fill(' ', 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return header;
}

function number(header: Buffer, at: number, length: number, value: number): void {
  const digits = value.toString(8);
  if (value >= 0 && digits.length < length) {
    header.write(`${digits.padStart(length - 1, '0')}\0`, at);
    return;
  }
  // What octal digits cannot say: binary, in the complement of two.
  const bits = BigInt.asUintN(length * 8, BigInt(value)) | (1n << BigInt(length * 8 - 1));
  header.write(bits.toString(16).padStart(length * 2, '0'), at, 'hex');
}
