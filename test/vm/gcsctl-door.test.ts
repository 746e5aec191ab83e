/** gcsctl --vm through the management door, across the device. */
import '../integration/gcsctl-door.test.ts';
