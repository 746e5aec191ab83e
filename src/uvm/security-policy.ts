import { AgentError } from '../errors.ts';
import type { PolicyDocument } from '../spec/security-context.ts';
import type { Journal } from '../state/journal.ts';
import type { SecurityPolicyOperations, SecurityPolicySettings } from './operations.ts';

/** Bytes of a document as it comes; hosts send some tens of KiB. */
const LONGEST = 4 * 1024 * 1024;

/** Where an agent after this one finds it. */
const RECORD = 'policy/security-policy.json';

/** File names under which containers look for them. */
const FILES = [
  ['EncodedSecurityPolicy', 'security-policy-base64'],
  ['EncodedUVMReference', 'reference-info-base64'],
  ['EncodedUVMHashEnvelopeReference', 'hash-envelope-reference-info-base64'],
] as const;

function refusal(code: 'invalid-argument' | 'not-supported' | 'failed', why: string, name = '') {
  const field = name === '' ? undefined : `Request.Settings.${name}`;
  return new AgentError(code, field === undefined ? why : `${field}: ${why}`, {
    operation: 'modify',
    ...(field === undefined ? {} : { field }),
  });
}

/**
 * The security policy a host sets. What it would forbid cannot be enforced here: there is no engine
 * for its rules, and on a machine without memory encryption and a measurement of its start nothing
 * that would prove to anybody that they are kept. So a policy that allows everything is taken, once,
 * and offered to containers as they expect it; any other is refused, rather than taken and not kept.
 */
export class SecurityPolicy implements SecurityPolicyOperations {
  readonly #journal: Journal;
  #documents: readonly PolicyDocument[] | undefined;

  constructor(journal: Journal) {
    this.#journal = journal;
  }

  /** What containers are offered; empty before a policy is set. */
  get documents(): readonly PolicyDocument[] {
    return this.#documents ?? [];
  }

  async set(settings: SecurityPolicySettings): Promise<void> {
    // The text is the one that hosts know.
    if (this.#documents !== undefined) {
      throw refusal('failed', 'security policy has already been set');
    }
    for (const [name] of FILES) decode(settings[name], name);
    const name = 'EncodedSecurityPolicy';
    if (!allowsAll(decode(settings[name], name))) {
      const why = 'this agent enforces no rules: only a policy that allows all is taken';
      throw refusal('not-supported', why, name);
    }
    const documents = FILES.flatMap(([field, file]) =>
      settings[field] === '' ? [] : [{ name: file, content: settings[field] }],
    );
    this.#journal.write(RECORD, { documents });
    this.#documents = documents;
  }

  /** Takes up what an agent before this one was given. Throws for what is no record of it. */
  restore(records: readonly object[]): void {
    for (const record of records) {
      const { documents } = record as { documents?: unknown };
      if (!Array.isArray(documents) || !documents.every(isDocument)) {
        throw new TypeError(`${RECORD} has no documents`);
      }
      this.#documents = documents.map(({ name, content }) => ({ name, content }));
    }
  }

  /** A fragment adds to what is allowed, and all is; so there is nothing of it to keep. */
  async addFragment(fragment: string): Promise<void> {
    if (fragment === '') throw refusal('invalid-argument', 'missing', 'Fragment');
    decode(fragment, 'Fragment');
  }
}

function isDocument(document: unknown): document is PolicyDocument {
  const { name, content } = (document ?? {}) as Partial<Record<string, unknown>>;
  return FILES.some(([, file]) => file === name) && typeof content === 'string';
}

function decode(text: string, name: string): string {
  if (text.length > LONGEST) throw refusal('invalid-argument', 'is too long', name);
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text)) {
    throw refusal('invalid-argument', 'is not base64', name);
  }
  return Buffer.from(text, 'base64').toString('utf8');
}

/** No policy, or the JSON form of the one without rules. */
function allowsAll(policy: string): boolean {
  if (policy.trim() === '') return true;
  let parsed: unknown;
  try {
    parsed = JSON.parse(policy);
  } catch {
    // Rego: rules.
    return false;
  }
  return (parsed as { allow_all?: unknown } | null)?.allow_all === true;
}
