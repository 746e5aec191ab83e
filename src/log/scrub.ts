/** Stands for a value that must not be in a log. */
export const SCRUBBED = '<scrubbed>';

/** Names of fields whose value is an environment: names stay, values go. */
const environments = new Set(['env', 'environ', 'environment']);

/** Words that make a name a secret's: "registryPassword", "api_key", "AUTH_TOKEN". */
const secretWords = new Set([
  'password',
  'passwd',
  'passphrase',
  'secret',
  'secrets',
  'token',
  'tokens',
  'key',
  'keys',
  'apikey',
  'credential',
  'credentials',
  'authorization',
]);

/** An argument that sets something: "--db-password=x", "TOKEN=x". */
const assignment = /^(-{0,2})([A-Za-z_][\w.-]*)=/s;

/** An option whose value is the next argument. */
const option = /^--?[A-Za-z][\w-]*$/;

function words(name: string): string[] {
  return name
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z0-9]+/);
}

/** True for the name of something whose value is a secret. */
export function isSecretName(name: string): boolean {
  return words(name).some((word) => secretWords.has(word));
}

/** True for the name of a field that holds environment variables. */
export function isEnvironmentName(name: string): boolean {
  return environments.has(name.toLowerCase());
}

/** "NAME=value" without the value. */
export function scrubVariable(variable: string): string {
  const end = variable.indexOf('=');
  return end < 0 ? variable : `${variable.slice(0, end)}=${SCRUBBED}`;
}

/**
 * A command's argument without its value when what it sets is a secret: "--token=x", or "x" after
 * the argument "--token".
 */
export function scrubArgument(argument: string, previous: unknown): string {
  if (typeof previous === 'string' && option.test(previous) && isSecretName(previous)) {
    return SCRUBBED;
  }
  const match = assignment.exec(argument);
  if (match?.[2] === undefined || !isSecretName(match[2])) return argument;
  return `${match[0]}${SCRUBBED}`;
}
