import { AgentError } from '../../errors.ts';
import { signalNumber } from '../../os/signals.ts';

/** A value of a request that is not acceptable. */
export function invalid(field: string, reason: string): AgentError {
  return new AgentError('invalid-argument', `${field}: ${reason}`, { field });
}

/** A signal by name ("TERM", "SIGRTMIN+3") or number. */
export function checkSignal(value: string | number, field = 'signal'): number {
  const number = signalNumber(String(value));
  if (number !== undefined) return number;
  throw invalid(field, `${JSON.stringify(value).slice(0, 80)} is no signal`);
}

/** A caller's name for a process. */
export function checkProcessId(id: string, field = 'processId'): string {
  if (!/^[A-Za-z0-9_.-]{1,128}$/.test(id)) {
    throw invalid(field, '1 to 128 letters, digits and _ . - are allowed');
  }
  if (id === 'init') throw invalid(field, 'init is the name of the first process');
  return id;
}

/** Milliseconds, or what is used without them. */
export function checkTimeout<T>(value: number | undefined, otherwise: T, field = 'timeoutMs') {
  if (value === undefined) return otherwise;
  if (!Number.isFinite(value) || value < 0) throw invalid(field, 'not a number of milliseconds');
  return value;
}
