import type { Scenario } from '../scenario.ts';
import { agentsRestart } from './agents-restart.ts';
import { caRotation } from './ca-rotation.ts';
import { certManager } from './cert-manager.ts';
import { drain } from './drain.ts';
import { eventToMail } from './event-to-mail.ts';
import { externalDatabase } from './external-database.ts';
import { helmTest } from './helm-test.ts';
import { hostAccess } from './host-access.ts';
import { install } from './install.ts';
import { laptop } from './laptop.ts';
import { nodeDeleted } from './node-deleted.ts';
import { nodeLabels } from './node-labels.ts';
import { prometheus } from './prometheus.ts';
import { refused } from './refused.ts';
import { restricted } from './restricted.ts';
import { serverRestart } from './server-restart.ts';
import { uninstall } from './uninstall.ts';
import { upgrade } from './upgrade.ts';

/** In the order in which they run. */
export const SCENARIOS: readonly Scenario[] = [
  install,
  helmTest,
  nodeLabels,
  hostAccess,
  laptop,
  eventToMail,
  refused,
  upgrade,
  serverRestart,
  agentsRestart,
  drain,
  nodeDeleted,
  caRotation,
  certManager,
  prometheus,
  externalDatabase,
  restricted,
  uninstall,
];
