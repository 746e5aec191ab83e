/** gcsctl --vm: the commands of a user, across the device. */
import '../integration/gcsctl.test.ts';
