import type { FieldShape, Shape } from '../../src/schema/schema.ts';

/** Name of a type for a table. */
export function typeName(shape: Shape): string {
  switch (shape.kind) {
    case 'scalar':
      return shape.name;
    case 'array':
      return `${typeName(shape.item)}[]`;
    case 'map':
      return `map of ${typeName(shape.value)}`;
    case 'object':
      return shape.keeps ? 'object, kept' : 'object';
    case 'embedded':
      return `${typeName(shape.content)}, as JSON in a string`;
  }
}

export const presenceText = {
  always: '',
  'omit-zero': 'left out when zero',
  optional: 'may be absent',
  required: 'required',
} as const;

/** The fields inside a shape, whatever it is wrapped in, with what leads to them. */
export function inner(shape: Shape): { step: string; fields: readonly FieldShape[] } {
  switch (shape.kind) {
    case 'scalar':
      return { step: '', fields: [] };
    case 'object':
      return { step: '', fields: shape.fields };
    case 'embedded':
      return inner(shape.content);
    case 'array': {
      const { step, fields } = inner(shape.item);
      return { step: `[]${step}`, fields };
    }
    case 'map': {
      const { step, fields } = inner(shape.value);
      return { step: `[name]${step}`, fields };
    }
  }
}
