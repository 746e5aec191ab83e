import type { Figure } from './figures.ts';

export interface Result {
  figure: Figure;
  /** The same figure of another agent. */
  peer?: Figure;
}

function number(value: number): string {
  if (value >= 1000) return value.toFixed(0);
  if (value >= 100) return value.toFixed(0);
  return value.toFixed(value >= 10 ? 1 : 2);
}

const amount = (figure: Figure, value = figure.value) => `${number(value)} ${figure.unit}`;

function row({ figure, peer }: Result, withPeer: boolean): string[] {
  const references = (figure.references ?? [])
    .map(({ name, value }) => `${name} ${number(value)} (${(figure.value / value).toFixed(2)} ×)`)
    .join(', ');
  const target = figure.target ? `${figure.target.text}: ${figure.target.met ? 'ok' : 'MISS'}` : '';
  return [
    figure.label,
    amount(figure),
    ...(withPeer
      ? [peer ? `${amount(peer)} (${(figure.value / peer.value).toFixed(2)} ×)` : '–']
      : []),
    references,
    target,
  ];
}

/** Columns as wide as what is in them. */
export function table(results: readonly Result[], withPeer: boolean): string {
  const rows = [
    ['measure', 'gcs', ...(withPeer ? ['peer (gcs/peer)'] : []), 'against (gcs/it)', 'target'],
    ...results.map((result) => row(result, withPeer)),
  ];
  const widths = rows.reduce<number[]>(
    (all, cells) => cells.map((cell, column) => Math.max(all[column] ?? 0, cell.length)),
    [],
  );
  return rows
    .map((cells) =>
      cells
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
