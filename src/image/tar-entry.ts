export type TarType =
  | 'file'
  | 'hardlink'
  | 'symlink'
  | 'character'
  | 'block'
  | 'directory'
  | 'fifo';

/** One entry of a tar archive. Names are bytes, here one character each (latin1), for no encoding is certain. */
export interface TarEntry {
  name: string;
  type: TarType;
  /** Permission bits with set-user-id, set-group-id and sticky. */
  mode: number;
  uid: number;
  gid: number;
  /** Bytes of content; of files only. */
  size: number;
  /** Seconds since the epoch. */
  mtime: number;
  mtimeNs: number;
  linkName: string;
  major: number;
  minor: number;
  xattrs: Map<string, Buffer>;
}
