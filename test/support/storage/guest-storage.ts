/** What is plugged into a guest for guest-cases.ts. */
export interface GuestStorage {
  /** Luns of controller 0. */
  readonly verity: { readonly lun: number; readonly rootDigest: string };
  readonly scratch: { readonly lun: number };
  readonly pmem: { readonly device: number; readonly size: number; readonly rootDigest: string };
  /** How often each is added and removed. */
  readonly cycles: { readonly share: number; readonly verity: number };
  readonly share: { readonly port: number; readonly name: string };
}
