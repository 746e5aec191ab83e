import { array, doc, object, omitZero, string } from '../schema.ts';

export const combinedLayers = object({
  ContainerID: omitZero(doc('For error texts', string)),
  ContainerRootPath: omitZero(
    doc('Where the root is mounted; made when missing, else it must be empty', string),
  ),
  Layers: omitZero(
    doc('Topmost first, 1 to 128', array(object({ Id: omitZero(string), Path: omitZero(string) }))),
  ),
  ScratchPath: omitZero(
    doc('Holds `upper` and `work`, made when missing; without it the root is read-only', string),
  ),
});

/** Settings by ResourceType, for the documentation. */
export const storageSettings = { CombinedLayers: combinedLayers } as const;
