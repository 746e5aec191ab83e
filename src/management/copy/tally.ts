/** What a copy has done so far. */
export interface Tally {
  entries: number;
  /** Of the contents of files. */
  bytes: number;
}
