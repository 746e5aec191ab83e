/** Bounds on what an image may ask of the host; see LIMITS.md. */
export const imageLimits = {
  /** Bytes of an index, a manifest or a configuration. */
  documentBytes: 4 * 1024 * 1024,
  /** Indexes within indexes. */
  indexDepth: 4,
  /** Members of the archive an image comes in. */
  archiveMembers: 65_536,
  /** Layers of an image; overlayfs takes no more in the guest. */
  imageLayers: 128,
  /** Entries of one layer. */
  layerEntries: 1_000_000,
  /** Directories of one layer that it has files in but no entries of. */
  impliedDirectories: 16_384,
  /** Bytes of the names, links and extended attributes of one layer. */
  metadataBytes: 512 * 1024 * 1024,
  /** Bytes of one layer when it is unpacked. */
  layerBytes: 64 * 1024 ** 3,
  /** Bytes of the extended header of one entry. */
  tarHeaderBytes: 1024 * 1024,
  /** Bytes of all extended attributes of one entry. */
  xattrBytes: 128 * 1024,
} as const;
