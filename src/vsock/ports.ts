/** Ports hosts and guests agree on; numbers are part of the wire contract. */
export const BRIDGE_PORT = 0x40000000;
/** First port the host hands out for stdio; it counts upward and never reuses one. */
export const FIRST_STDIO_PORT = 0x40000001;
/** Entropy for init: the guest reads 512 bytes. */
export const ENTROPY_PORT = 1;
/** Log lines of the agent, forwarded by init. */
export const LOG_PORT = 109;
/** Guest port: JSON-RPC of the management door. Ports of guest and host are two spaces of numbers. */
export const MANAGEMENT_PORT = 0x40000001;
/** Guest port: streams of the management door, each named by a token. */
export const MANAGEMENT_STREAM_PORT = 0x40000002;
