import { AgentError } from '../../errors.ts';
import { SchemaError } from '../../schema/schema.ts';
import type { Request } from '../catalogue.ts';
import { negotiate } from '../negotiation.ts';
import {
  containerOf,
  type Handler,
  type HandlerDependencies,
  type Handlers,
  targetOf,
  UNANSWERED,
} from './handler.ts';

/** Version 2.1 is the first that carries an OCI specification. */
function checkSchemaVersion({ ContainerConfig }: Request<'Create'>): void {
  const { Major, Minor } = ContainerConfig.SchemaVersion;
  if (Major > 2 || (Major === 2 && Minor >= 1)) return;
  throw new SchemaError(
    'ContainerConfig.SchemaVersion',
    `invalid schema version ${Major}.${Minor}, 2.1 is the lowest`,
  );
}

function create({ uvm, activityIds }: HandlerDependencies): Handler<'Create'> {
  return async (request) => {
    checkSchemaVersion(request);
    const id = request.ContainerId;
    if (targetOf(id) === null) {
      throw new AgentError('invalid-container-id', 'this id means the VM itself', {
        operation: 'create',
        field: 'ContainerId',
      });
    }
    const { OciBundlePath, OciSpecification, ScratchDirPath } = request.ContainerConfig;
    await uvm.createContainer({
      id,
      bundle: OciBundlePath,
      spec: OciSpecification,
      ...(ScratchDirPath === '' ? {} : { scratchDir: ScratchDirPath }),
    });
    activityIds.created(id, request.ActivityId);
    return { SelectedProtocolVersion: 0 };
  };
}

function shutdown(
  { uvm }: HandlerDependencies,
  how: 'graceful' | 'forced',
): Handler<'ShutdownGraceful' | 'ShutdownForced'> {
  return async ({ ContainerId }) => {
    const target = targetOf(ContainerId);
    if (target === null) {
      await uvm.shutdownUvm(how);
      return UNANSWERED;
    }
    await uvm.shutdownContainer(target, how);
    return {};
  };
}

export function lifecycleHandlers(
  dependencies: HandlerDependencies,
): Pick<
  Handlers,
  | 'NegotiateProtocol'
  | 'Create'
  | 'Start'
  | 'ShutdownGraceful'
  | 'ShutdownForced'
  | 'DeleteContainerState'
> {
  return {
    NegotiateProtocol: negotiate,
    Create: create(dependencies),
    Start: () => ({}),
    ShutdownGraceful: shutdown(dependencies, 'graceful'),
    ShutdownForced: shutdown(dependencies, 'forced'),
    DeleteContainerState: async ({ ContainerId }) => {
      await dependencies.uvm.deleteContainer(containerOf(ContainerId, 'delete'));
      dependencies.activityIds.deleted(ContainerId);
      return {};
    },
  };
}
