import { closeSync, constants, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import type { Logger } from '../log/logger.ts';
import { type DnsConfig, resolvConf } from '../spec/etc-files.ts';
import type { PlannedFile } from '../spec/plan.ts';

/**
 * The resolv.conf of a container, kept up to date with its adapters. It is bind-mounted into the
 * container, so it is changed in place; once somebody inside has changed it, it is theirs.
 */
export class ResolverFile {
  readonly #path: string;
  readonly #logger: Logger;
  #content: string;

  constructor({ path, content }: PlannedFile, logger: Logger) {
    this.#path = path;
    this.#content = content;
    this.#logger = logger;
  }

  /** Never throws: a container with old name servers is better off than none; the log tells. */
  update(dns: DnsConfig): void {
    try {
      const content = resolvConf(dns);
      if (content !== this.#content) this.#write(content);
    } catch (error) {
      this.#logger.warning('resolv.conf not updated', { error: String(error) });
    }
  }

  #write(content: string): void {
    const fd = openSync(this.#path, constants.O_RDWR | constants.O_NOFOLLOW);
    try {
      if (readFileSync(fd, 'utf8') !== this.#content) {
        this.#logger.info('resolv.conf was changed in the container and is left alone');
        return;
      }
      writeSync(fd, content, 0);
      ftruncateSync(fd, Buffer.byteLength(content));
      this.#content = content;
    } finally {
      closeSync(fd);
    }
  }
}
