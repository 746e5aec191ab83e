import type { LayerTree } from './layer-tree.ts';
import type { TarEntry } from './tar-entry.ts';

/** Users are looked up in these: passwd(5), group(5). */
const USER_FILES = ['etc/passwd', 'etc/group'] as const;
export type UserFile = (typeof USER_FILES)[number];

/** Longest that is kept, as for the agent. */
const MAX_BYTES = 1024 * 1024;

/**
 * What one layer says of such a file: its text; null, that it hides what lower layers have; or
 * nothing. `unknown`: there is something, but not a plain file of a reasonable length.
 */
export type UserFilesOfLayer = Readonly<
  Partial<Record<UserFile, { text: string } | null | 'unknown'>>
>;

/** Keeps the texts while a layer passes by. */
export class UserFiles {
  readonly #texts = new Map<string, Buffer>();

  /** The same content. */
  async *watch(entry: TarEntry, content: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    const path = entry.name
      .split('/')
      .filter((part) => part !== '' && part !== '.')
      .join('/');
    if (!USER_FILES.some((file) => file === path) || entry.size > MAX_BYTES) {
      yield* content;
      return;
    }
    const parts: Buffer[] = [];
    for await (const part of content) {
      parts.push(Buffer.from(part));
      yield part;
    }
    this.#texts.set(path, Buffer.concat(parts));
  }

  finish(tree: LayerTree): UserFilesOfLayer {
    const found: Record<string, { text: string } | null | 'unknown'> = {};
    for (const file of USER_FILES) {
      const [directory = ''] = file.split('/', 1);
      const node = tree.find(file);
      const text = this.#texts.get(file);
      if (node?.type === 'file') {
        // An empty one has passed nothing by.
        const empty = node.content.kind === 'none';
        found[file] =
          text === undefined && !empty ? 'unknown' : { text: text?.toString('latin1') ?? '' };
      } else if (node?.type === 'character') found[file] = null;
      else if (node !== undefined) found[file] = 'unknown';
      else if (tree.hides(directory)) found[file] = null;
    }
    return found;
  }
}
