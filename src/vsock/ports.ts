/** Ports hosts and guests agree on; numbers are part of the wire contract. */
export const BRIDGE_PORT = 0x40000000;
/** First port the host hands out for stdio; it counts upward and never reuses one. */
export const FIRST_STDIO_PORT = 0x40000001;
/** Entropy for init: the guest reads 512 bytes. */
export const ENTROPY_PORT = 1;
/** Log lines of the agent, forwarded by init. */
export const LOG_PORT = 109;
