/** ActivityId of the Create of each container, for its exit notification. */
export class ActivityIds {
  readonly #ids = new Map<string, string>();

  created(containerId: string, activityId: string): void {
    this.#ids.set(containerId, activityId);
  }

  deleted(containerId: string): void {
    this.#ids.delete(containerId);
  }

  /** "" for a container whose Create this bridge has not seen. */
  of(containerId: string): string {
    return this.#ids.get(containerId) ?? '';
  }
}
