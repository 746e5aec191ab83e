import type { MetricFamily, MetricSample } from '../uvm/management.ts';

/** Prometheus text exposition format 0.0.4. */
export const PROMETHEUS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

export function prometheusText(families: readonly MetricFamily[]): string {
  return families.map((family) => `${header(family)}${lines(family).join('')}`).join('');
}

function header({ name, help, type }: MetricFamily): string {
  return `# HELP ${name} ${escapeHelp(help)}\n# TYPE ${name} ${type}\n`;
}

function lines(family: MetricFamily): string[] {
  if (family.type !== 'histogram') return family.samples.map((each) => line(family.name, each));
  const { name, buckets, sum, count } = family;
  return [
    ...buckets.map(({ le, count: value }) =>
      line(`${name}_bucket`, { labels: { le: numberText(le) }, value }),
    ),
    line(`${name}_sum`, { value: sum }),
    line(`${name}_count`, { value: count }),
  ];
}

function line(name: string, { labels, value }: MetricSample): string {
  const pairs = Object.entries(labels ?? {}).map(([key, text]) => `${key}="${escapeLabel(text)}"`);
  const set = pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
  return `${name}${set} ${numberText(value)}\n`;
}

function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf';
  if (value === Number.NEGATIVE_INFINITY) return '-Inf';
  return String(value);
}

function escapeHelp(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}

function escapeLabel(text: string): string {
  return escapeHelp(text).replaceAll('"', '\\"');
}
