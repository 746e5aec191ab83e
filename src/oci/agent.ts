import {
  connectManagement,
  type ManagementClient,
  ManagementConnectionError,
} from '../client/management/index.ts';
import { OciError } from './failure.ts';

/** The agent's management door. Throws OciError naming the remedy when nobody is there. */
export async function reachAgent(path: string): Promise<ManagementClient> {
  try {
    return await connectManagement(path, { client: { name: 'gcs-oci' } });
  } catch (error) {
    if (!(error instanceof ManagementConnectionError)) throw error;
    throw new OciError(
      `no agent on hybrid:${path} (${error.message}): start one with "gcsctl agent", or name it with --agent or $GCS_OCI_AGENT`,
    );
  }
}
