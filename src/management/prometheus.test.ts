import { expect, test } from 'vitest';
import { prometheusText } from './prometheus.ts';

test('counters and gauges with labels, whatever is in the labels', () => {
  const samples = [{ labels: { id: 'a"b\\c\nd', kind: 'x' }, value: 1.5 }, { value: 0 }];
  expect(
    prometheusText([{ name: 'gcs_x', help: 'of \\ and\nlines', type: 'gauge', samples }]),
  ).toBe(
    '# HELP gcs_x of \\\\ and\\nlines\n# TYPE gcs_x gauge\n' +
      'gcs_x{id="a\\"b\\\\c\\nd",kind="x"} 1.5\ngcs_x 0\n',
  );
});

test('a histogram has its buckets, sum and count', () => {
  const buckets = [
    { le: 0.01, count: 2 },
    { le: Number.POSITIVE_INFINITY, count: 3 },
  ];
  const family = { name: 'd', help: 'h', type: 'histogram', buckets, sum: 0.7, count: 3 } as const;
  expect(prometheusText([{ ...family, buckets }])).toBe(
    '# HELP d h\n# TYPE d histogram\nd_bucket{le="0.01"} 2\nd_bucket{le="+Inf"} 3\nd_sum 0.7\nd_count 3\n',
  );
});
