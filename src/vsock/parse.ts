import { resolve } from 'node:path';
import { DevNullTransport } from './dev-null.ts';
import { HybridTransport } from './hybrid.ts';
import { StdioTransport } from './stdio.ts';
import type { Transport } from './transport.ts';
import { VsockTransport } from './vsock.ts';

/** What `-transport` names. */
export type TransportChoice =
  | { readonly kind: 'vsock' }
  | { readonly kind: 'hybrid'; readonly path: string }
  | { readonly kind: 'stdio' }
  | { readonly kind: 'dev-null' };

/** The choices, for usage texts. */
const TRANSPORT_SYNTAX = 'vsock | hybrid:PATH | stdio | dev-null';

/** The value of a `-transport` flag cannot be used; the message lists what can. */
export class TransportSyntaxError extends Error {
  override readonly name = 'TransportSyntaxError';
}

/**
 * Reads the value of `-transport`. A relative PATH is taken from the present working directory,
 * now. Throws TransportSyntaxError.
 */
export function parseTransport(text: string): TransportChoice {
  if (text === 'vsock' || text === 'stdio' || text === 'dev-null') return { kind: text };
  if (!text.startsWith('hybrid:'))
    throw new TransportSyntaxError(
      `-transport: ${JSON.stringify(text)} is none of ${TRANSPORT_SYNTAX}`,
    );
  const path = text.slice('hybrid:'.length);
  if (path === '' || path.endsWith('/') || path.includes('\0'))
    throw new TransportSyntaxError(
      `-transport: hybrid:PATH needs the path of a unix socket, got ${JSON.stringify(path)}`,
    );
  return { kind: 'hybrid', path: resolve(path) };
}

export interface TransportOptions {
  /** Told of peers that were dropped because they did not keep to the CONNECT convention. */
  onDropped?: (reason: Error) => void;
  /** The bridge goes over descriptors 0 and 1, and only the rest over the transport that was chosen. */
  bridgeOnStdio?: boolean;
}

/** Makes the transport that was chosen; nothing is opened before the first dial or listen. */
export function createTransport(
  choice: TransportChoice,
  options: TransportOptions = {},
): Transport {
  if (options.bridgeOnStdio && choice.kind !== 'stdio')
    return new StdioTransport({ others: createChosen(choice, options) });
  return createChosen(choice, options);
}

function createChosen(choice: TransportChoice, options: TransportOptions): Transport {
  switch (choice.kind) {
    case 'vsock':
      return new VsockTransport();
    case 'hybrid':
      return new HybridTransport(choice.path, options);
    case 'stdio':
      return new StdioTransport();
    case 'dev-null':
      return new DevNullTransport();
  }
}
