/** The door's tests that say nothing of where the agent runs, in the VM. */
import '../integration/management-copy.test.ts';
import '../integration/management-door.test.ts';
import '../integration/management-methods.test.ts';
