/** The client as the host of the VM's agent. */
import '../integration/client.test.ts';
import '../integration/bundle-directories.test.ts';
