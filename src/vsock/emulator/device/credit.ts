/**
 * The flow control of one connection (virtio 1.2, 5.10.6.3), both halves. Counters are of bytes
 * since the beginning, modulo 2^32. What the guest says of itself is believed only as far as it
 * harms nobody else: nonsense makes the room 0.
 */
export class Credit {
  /** What we can hold for this connection. */
  readonly allocation: number;
  #sent = 0;
  #peerAllocation = 0;
  #peerForwarded = 0;
  #received = 0;
  #forwarded = 0;
  #announced = 0;

  constructor(allocation: number) {
    this.allocation = allocation;
  }

  /** buf_alloc and fwd_cnt of a packet from the guest. */
  heard(allocation: number, forwarded: number): void {
    this.#peerAllocation = allocation;
    this.#peerForwarded = forwarded;
  }

  /** Bytes the guest has room for now. */
  get room(): number {
    const onTheWay = (this.#sent - this.#peerForwarded) >>> 0;
    return Math.max(0, this.#peerAllocation - onTheWay);
  }

  sent(bytes: number): void {
    this.#sent = (this.#sent + bytes) >>> 0;
  }

  /** Counts bytes from the guest; false when it sends more than it was allowed. */
  received(bytes: number): boolean {
    const held = (this.#received - this.#forwarded) >>> 0;
    if (held + bytes > this.allocation) return false;
    this.#received = (this.#received + bytes) >>> 0;
    return true;
  }

  /** Counts bytes that have gone on to the host. */
  forwarded(bytes: number): void {
    this.#forwarded = (this.#forwarded + bytes) >>> 0;
  }

  /** fwd_cnt for a packet to the guest, which then knows. */
  announce(): number {
    this.#announced = this.#forwarded;
    return this.#forwarded;
  }

  /**
   * Whether the guest must be told that there is room again. Linux sends no more than its own
   * buffer's size at a time, however large ours is: a quarter of the smaller one is always less
   * than what a guest that has stopped is waiting for, so that both never wait for each other.
   */
  get announcementDue(): boolean {
    const news = (this.#forwarded - this.#announced) >>> 0;
    return news > 0 && news >= Math.min(this.allocation, this.#peerAllocation) >>> 2;
  }
}
