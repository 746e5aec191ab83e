import { type ManagementClient, ManagementRequestError } from '../../client/management/index.ts';
import type { Result } from '../../management/contract.ts';
import { processStartTime } from '../../os/process.ts';
import { reachAgent } from '../agent.ts';
import { defineOciCommand, oneId } from '../command.ts';
import { ContainerDirectory, type ContainerRecord } from '../records.ts';

/** Of the runtime specification that the agent's runtimes implement. */
const OCI_VERSION = '1.0.2-dev';

/** A row of `state` and `list`, in the field order of runc. */
export interface StateRow {
  ociVersion: string;
  id: string;
  pid: number;
  status: string;
  bundle: string;
  rootfs: string;
  created: string;
  annotations?: Readonly<Record<string, string>>;
  owner: string;
}

/** What is known of a remembered container; one the agent knows nothing of has stopped. */
export async function stateRow(
  client: ManagementClient,
  record: ContainerRecord,
): Promise<StateRow> {
  const { id, bundle, rootfs, created, annotations } = record;
  const state = await stateOf(client, id);
  return {
    ociVersion: OCI_VERSION,
    id,
    pid: pidOf(state, record),
    status: state?.status ?? 'stopped',
    bundle,
    rootfs,
    created,
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
    owner: '',
  };
}

type State = Result<'container.state'>;

async function stateOf(client: ManagementClient, id: string): Promise<State | undefined> {
  try {
    return await client.call('container.state', { id });
  } catch (error) {
    if (error instanceof ManagementRequestError && error.code === 'container-not-found')
      return undefined;
    throw error;
  }
}

/**
 * The pid of init where it can be seen from here: a process of that pid that began at that time.
 * Else that of the process that stands for it.
 */
function pidOf(state: State | undefined, { standIn }: ContainerRecord): number {
  if (state === undefined || state.pid === 0 || state.status === 'stopped') return 0;
  const here = processStartTime(state.pid);
  return here !== undefined && BigInt(here) === BigInt(state.startTime) ? state.pid : standIn.pid;
}

export const stateCommand = defineOciCommand({
  name: 'state',
  summary: 'print the state of a container',
  usage: 'ID',
  words: oneId,
  options: {},
  async run(_values, [id = ''], globals) {
    const record = new ContainerDirectory(globals.root, id).require();
    await using client = await reachAgent(record.agent);
    const row = await stateRow(client, record);
    process.stdout.write(JSON.stringify(row, undefined, 2));
    return 0;
  },
});
