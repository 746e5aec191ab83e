import { agentMain } from './agent/agent.ts';

void agentMain(process.argv.slice(2)).then((code) => {
  // What is still open (a detached stream, a log line on its way) does not keep an agent that has
  // been told to end.
  process.exit(code);
});
